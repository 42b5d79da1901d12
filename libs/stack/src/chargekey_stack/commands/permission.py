"""`chargekey permission`: who may do what at an installation or a charger."""

from __future__ import annotations

from typing import Annotated

import typer

from chargekey.access.v1 import access_pb2 as pb
from chargekey_stack.answers import Answer, Document, done, instant, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.errors import TargetMissingError
from chargekey_stack.options import OptionalCharger, OptionalInstallation, User, ValidUntil
from chargekey_stack.words import ROLES, completed

app = group("permission", "Who may do what, on an installation or on one charger.")


@command(app, "grant", "chargekey permission grant --charger CP-1 --user 71aa... --roles user")
async def grant(
    client: Client,
    *,
    user: User,
    roles: Annotated[
        str,
        typer.Option(
            "--roles",
            metavar="ROLES",
            help="As in owner,user; of owner, user, service, operator.",
            autocompletion=completed(ROLES),
        ),
    ],
    installation: OptionalInstallation = None,
    charger: OptionalCharger = None,
    valid_until: ValidUntil = None,
) -> Answer:
    """Give a user exactly these roles; only the role user carries the right to charge."""
    request = pb.GrantPermissionRequest(
        user_id=user, roles=ROLES.numbers(roles), valid_until=valid_until or ""
    )
    await _aim(request, client, installation, charger)
    granted = await client.access.GrantPermission(request)
    return done(
        f"Granted by the permission {granted.permission_id}.",
        id=granted.permission_id,
        position=granted.position,
    )


@command(app, "revoke", "chargekey permission revoke 5d41...")
async def revoke(
    client: Client,
    *,
    permission: Annotated[str, typer.Argument(metavar="PERMISSION", help="The permission's id.")],
) -> Answer:
    """Take a permission away; others of the same user stay."""
    revoked = await client.access.RevokePermission(
        pb.RevokePermissionRequest(permission_id=permission)
    )
    return done("Revoked.", position=revoked.position)


@command(app, "list", "chargekey permission list --installation 3f0c...")
async def list_(
    client: Client, *, installation: OptionalInstallation = None, charger: OptionalCharger = None
) -> Answer:
    """List the permissions on an installation or on a charger."""
    request = pb.ListPermissionsRequest()
    await _aim(request, client, installation, charger)
    found = await client.access.ListPermissions(request)
    return table("permissions", [_document(each) for each in found.permissions])


async def _aim(
    request: pb.GrantPermissionRequest | pb.ListPermissionsRequest,
    client: Client,
    installation: str | None,
    charger: str | None,
) -> None:
    """Set the request's target; raises TargetMissingError unless exactly one is named."""
    if installation is not None and charger is None:
        request.installation_id = installation
    elif charger is not None and installation is None:
        request.charger_id = (await client.charger(charger)).id
    else:
        raise TargetMissingError


def _document(permission: pb.Permission) -> Document:
    ends = permission.HasField("valid_until")
    return {
        "id": permission.id,
        "user_id": permission.user_id,
        "installation_id": permission.installation_id,
        "charger_id": permission.charger_id or None,
        "roles": [ROLES.word(role) for role in permission.roles],
        "valid_until": instant(permission.valid_until) if ends else None,
    }
