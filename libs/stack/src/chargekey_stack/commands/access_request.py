"""`chargekey access-request`: asking for access, and answering."""

from __future__ import annotations

from typing import Annotated

import typer

from chargekey.access.v1 import access_requests_pb2 as pb
from chargekey_common.pages import every
from chargekey_stack.answers import Answer, Document, done, fields, instant, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.errors import InstallationOrPartnerError, TargetMissingError
from chargekey_stack.options import (
    Installation,
    LinkToken,
    OptionalCharger,
    OptionalInstallation,
    ValidUntil,
    carried,
    given,
)
from chargekey_stack.words import ACCESS_REQUESTS, ROLES, completed

app = group("access-request", "Asking for access, for an owner to approve or deny.")

Id = Annotated[str, typer.Argument(metavar="REQUEST", help="The request's id.")]
_ROLES = typer.Option(
    "--roles",
    metavar="ROLES",
    help="As in service; of owner, user, service, operator.",
    autocompletion=completed(ROLES),
)


@command(app, "create", "chargekey access-request create --partner-id 2c9e... --roles service")
async def create(
    client: Client,
    *,
    roles: Annotated[str, _ROLES],
    partner_id: Annotated[
        str, typer.Option("--partner-id", help="Ask for a partner you are in, by its id.")
    ] = "",
    installation: OptionalInstallation = None,
) -> Answer:
    """Ask for roles, for yourself or a partner; the link is for the owner to approve."""
    asked = await client.access_requests.RequestAccess(
        pb.RequestAccessRequest(
            partner_id=partner_id, installation_id=installation or "", roles=ROLES.numbers(roles)
        )
    )
    return done(
        f"Asked by {asked.access_request_id}; send the owner what follows: {asked.link_token}",
        id=asked.access_request_id,
        link_token=asked.link_token,
        position=asked.position,
    )


@command(app, "show", "chargekey access-request show --token 'x7Qk...'")
async def show(client: Client, *, token: LinkToken) -> Answer:
    """Show who asks for what, by the link you were sent."""
    found = await client.access_requests.GetAccessRequest(
        pb.GetAccessRequestRequest(link_token=carried(token))
    )
    return fields(_document(found.access_request))


@command(app, "list", "chargekey access-request list --installation 3f0c...")
async def list_(
    client: Client,
    *,
    installation: OptionalInstallation = None,
    partner_id: Annotated[
        str | None, typer.Option("--partner-id", help="Those of a partner you are in, by its id.")
    ] = None,
) -> Answer:
    """List the requests that wait at an installation, or a partner's own."""
    if (installation is None) == (partner_id is None):
        raise InstallationOrPartnerError
    request = pb.ListAccessRequestsRequest(
        **given(installation_id=installation, partner_id=partner_id)
    )
    found = await every(client.access_requests.ListAccessRequests, request, "access_requests")
    return table("access requests", [_document(each) for each in found])


@command(
    app, "approve", "chargekey access-request approve --token 'x7Qk...' --installation 3f0c..."
)
async def approve(
    client: Client,
    *,
    request: Annotated[
        str | None, typer.Option("--request", metavar="ID", help="The request's id.")
    ] = None,
    token: Annotated[str | None, LinkToken.__metadata__[0]] = None,
    installation: OptionalInstallation = None,
    charger: OptionalCharger = None,
    roles: Annotated[str, _ROLES] = "",
    valid_until: ValidUntil = None,
) -> Answer:
    """Grant what was asked for, or less by --roles, at an installation or a charger."""
    if (request is None) == (token is None) or (installation is None) == (charger is None):
        raise TargetMissingError
    approved = await client.access_requests.ApproveAccessRequest(
        pb.ApproveAccessRequestRequest(
            **given(
                access_request_id=request,
                link_token=None if token is None else carried(token),
                installation_id=installation,
                charger_id=None if charger is None else (await client.charger(charger)).id,
            ),
            roles=ROLES.numbers(roles),
            valid_until=valid_until or "",
        )
    )
    return done(
        f"Granted by the permission {approved.permission_id}.",
        id=approved.permission_id,
        position=approved.position,
    )


@command(app, "deny", "chargekey access-request deny 90ab... --installation 3f0c...")
async def deny(client: Client, *, request: Id, installation: Installation) -> Answer:
    """Refuse a request."""
    denied = await client.access_requests.DenyAccessRequest(
        pb.DenyAccessRequestRequest(installation_id=installation, access_request_id=request)
    )
    return done("Denied.", position=denied.position)


@command(app, "withdraw", "chargekey access-request withdraw 90ab...")
async def withdraw(client: Client, *, request: Id) -> Answer:
    """Take back what you or your partner asked for."""
    withdrawn = await client.access_requests.WithdrawAccessRequest(
        pb.WithdrawAccessRequestRequest(access_request_id=request)
    )
    return done("Withdrawn.", position=withdrawn.position)


def _document(request: pb.AccessRequest) -> Document:
    return {
        "id": request.id,
        "user_id": request.user_id or None,
        "partner_id": request.partner_id or None,
        "partner": request.partner_name or None,
        "installation_id": request.installation_id or None,
        "roles": [ROLES.word(role) for role in request.roles],
        "state": ACCESS_REQUESTS.word(request.state),
        "requested_at": instant(request.requested_at),
        "expires_at": instant(request.expires_at),
    }
