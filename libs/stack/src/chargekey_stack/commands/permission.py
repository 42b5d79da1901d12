"""`chargekey permission`: who may do what at an installation or a charger."""

from __future__ import annotations

from typing import Annotated

import typer

from chargekey.access.v1 import permissions_pb2 as pb
from chargekey.gateway.v1 import decisions_pb2
from chargekey_common.pages import every
from chargekey_stack.answers import Answer, Document, done, instant, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.errors import NothingToChangeError, SubjectMissingError, TargetMissingError
from chargekey_stack.options import (
    Email,
    OptionalCharger,
    OptionalInstallation,
    OptionalUser,
    PartnerKey,
    ValidUntil,
    given,
)
from chargekey_stack.preview import DryRun, preview
from chargekey_stack.words import ROLES, completed

app = group("permission", "Who may do what, on an installation or on one charger.")

Id = Annotated[str, typer.Argument(metavar="PERMISSION", help="The permission's id.")]
ROLES_HELP = "As in owner,user; of owner, user, service, operator."


@command(app, "grant", "chargekey permission grant --charger CP-1 --user 71aa... --roles user")
async def grant(
    client: Client,
    *,
    roles: Annotated[
        str,
        typer.Option("--roles", metavar="ROLES", help=ROLES_HELP, autocompletion=completed(ROLES)),
    ],
    user: OptionalUser = None,
    email: Email = None,
    partner: PartnerKey = None,
    installation: OptionalInstallation = None,
    charger: OptionalCharger = None,
    valid_until: ValidUntil = None,
) -> Answer:
    """Give a user, an address or a partner exactly these roles; user alone is the right to charge.

    To an address, an invitation goes out.
    """
    if [user, email, partner].count(None) != 2:  # noqa: PLR2004 - one of three
        raise SubjectMissingError
    request = pb.GrantPermissionRequest(
        **given(user_id=user, email=email, lookup_key=partner),
        roles=ROLES.numbers(roles),
        valid_until=valid_until or "",
    )
    await _aim(request, client, installation, charger)
    granted = await client.permissions.GrantPermission(request)
    return done(
        f"Granted by the permission {granted.permission_id}.",
        id=granted.permission_id,
        position=granted.position,
    )


@command(app, "change", "chargekey permission change 5d41... --roles user,service")
async def change(
    client: Client,
    *,
    permission: Id,
    roles: Annotated[
        str,
        typer.Option("--roles", metavar="ROLES", help=ROLES_HELP, autocompletion=completed(ROLES)),
    ] = "",
    valid_until: Annotated[
        str | None,
        typer.Option(
            "--valid-until",
            metavar="YYYY-MM-DD",
            help="The last day it holds, in the installation's time zone; '' for no end.",
        ),
    ] = None,
) -> Answer:
    """Change what is given and leave the rest."""
    if not roles and valid_until is None:
        raise NothingToChangeError
    changed = await client.permissions.ChangePermission(
        pb.ChangePermissionRequest(
            permission_id=permission, roles=ROLES.numbers(roles), valid_until=valid_until
        )
    )
    return done("Changed.", position=changed.position)


@command(app, "revoke", "chargekey permission revoke 5d41...")
async def revoke(client: Client, *, permission: Id, dry_run: DryRun = False) -> Answer:
    """Take a permission away, or give up your own; others of the same user stay."""
    if dry_run:
        asked = pb.GetPermissionRequest(permission_id=permission)
        found = (await client.permissions.GetPermission(asked)).permission
        change = decisions_pb2.PreviewChangeRequest(
            installation_id=found.installation_id, revoked_permission_id=permission
        )
        return await preview(client, change)
    revoked = await client.permissions.RevokePermission(
        pb.RevokePermissionRequest(permission_id=permission)
    )
    return done("Revoked.", position=revoked.position)


@command(app, "list", "chargekey permission list --installation 3f0c...")
async def list_(
    client: Client,
    *,
    installation: OptionalInstallation = None,
    charger: OptionalCharger = None,
    user: OptionalUser = None,
) -> Answer:
    """List the permissions on an installation or on a charger, or those of a user."""
    if user is not None and installation is None and charger is None:
        of_user = pb.ListPermissionsOfUserRequest(user_id=user)
        found = await every(client.permissions.ListPermissionsOfUser, of_user, "permissions")
    else:
        request = pb.ListPermissionsRequest()
        await _aim(request, client, installation, charger)
        found = await every(client.permissions.ListPermissions, request, "permissions")
    rows = [document(each) for each in found if user in (None, each.user_id)]
    return table("permissions", rows)


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


def document(permission: pb.Permission) -> Document:
    """Return a permission as it is shown."""
    ends = permission.HasField("valid_until")
    return {
        "id": permission.id,
        "user_id": permission.user_id or None,
        "partner_id": permission.partner_id or None,
        "installation_id": permission.installation_id,
        "charger_id": permission.charger_id or None,
        "roles": [ROLES.word(role) for role in permission.roles],
        "valid_until": instant(permission.valid_until) if ends else None,
    }
