"""`chargekey invitation`: what became of access that was given to an address."""

from __future__ import annotations

from typing import Annotated

import typer

from chargekey.identity.v1 import invitations_pb2 as pb
from chargekey_common.pages import every
from chargekey_stack import login as logins
from chargekey_stack.answers import Answer, done, fields, instant, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.login import Login
from chargekey_stack.options import Installation, LinkToken, carried
from chargekey_stack.words import INVITATIONS

app = group("invitation", "Invitations: access that was given to an address.")

Id = Annotated[str, typer.Argument(metavar="INVITATION", help="The invitation's id.")]


@command(app, "list", "chargekey invitation list --installation 3f0c...")
async def list_(client: Client, *, installation: Installation) -> Answer:
    """List an installation's invitations."""
    request = pb.ListInvitationsRequest(installation_id=installation)
    found = await every(client.invitations.ListInvitations, request, "invitations")
    return table(
        "invitations",
        [
            {
                "id": each.id,
                "email": each.email,
                "user_id": each.user_id,
                "charger_id": each.charger_id or None,
                "permission_id": each.permission_id or None,
                "state": INVITATIONS.word(each.state),
                "expires_at": instant(each.expires_at),
                "times_sent": each.times_sent,
            }
            for each in found
        ],
    )


@command(app, "resend", "chargekey invitation resend 6a0f...")
async def resend(client: Client, *, invitation: Id) -> Answer:
    """Send a new link; the old one is void."""
    sent = await client.invitations.ResendInvitation(
        pb.ResendInvitationRequest(invitation_id=invitation)
    )
    return done("A new link is on its way.", position=sent.position)


@command(app, "revoke", "chargekey invitation revoke 6a0f...")
async def revoke(client: Client, *, invitation: Id) -> Answer:
    """Take an invitation back, and what was given by it; its link opens nothing."""
    revoked = await client.invitations.RevokeInvitation(
        pb.RevokeInvitationRequest(invitation_id=invitation)
    )
    return done("Revoked.", position=revoked.position)


@command(app, "show", "chargekey invitation show --token 'x7Qk...'", whoever_calls=True)
async def show(client: Client, *, token: LinkToken) -> Answer:
    """Show what a mailed link invites to, and who gave that."""
    found = await client.invitations.GetInvitation(pb.GetInvitationRequest(token=carried(token)))
    return fields(
        {
            "installation": found.installation_name or None,
            "charger": found.ocpp_identity or None,
            "partner": found.partner_name or None,
            "roles": [role.lower() for role in found.roles],
            "ownership": found.ownership,
            "invited_by": found.invited_by or None,
        }
    )


@command(
    app,
    "accept",
    "chargekey invitation accept --token 'x7Qk...' --first-name Ada --last-name King",
    whoever_calls=True,
)
async def accept(
    client: Client,
    *,
    token: LinkToken,
    first_name: Annotated[str, typer.Option("--first-name", help="First name.")] = "",
    last_name: Annotated[str, typer.Option("--last-name", help="Last name.")] = "",
) -> Answer:
    """Confirm your address by the mailed link, with your names, and sign in."""
    accepted = await client.invitations.AcceptInvitation(
        pb.AcceptInvitationRequest(token=carried(token), first_name=first_name, last_name=last_name)
    )
    # When the access token ends is not told: the first command asks for another.
    logins.keep(
        client.data.login,
        Login(accepted.user_id, accepted.access_token, accepted.refresh_token, expires_at=0),
    )
    return done(
        "Welcome; commands are yours from now on, until `chargekey logout`.",
        user_id=accepted.user_id,
        position=accepted.position,
    )
