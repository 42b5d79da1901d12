"""`chargekey user`: people, and whether they may charge at all."""

from __future__ import annotations

from typing import Annotated

import typer

from chargekey.identity.v1 import identity_pb2 as pb
from chargekey_stack.answers import Answer, Document, done, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.options import (
    FirstName,
    Installation,
    LastName,
    UserArgument,
    UsersInstallation,
)

app = group("user", "People: those who belong to one installation and cannot sign in.")


@command(
    app,
    "add-local",
    "chargekey user add-local --installation 3f0c... --first-name Ada --last-name Lovelace",
)
async def add_local(
    client: Client,
    *,
    installation: Installation,
    first_name: FirstName,
    last_name: LastName,
    blocked: Annotated[
        bool, typer.Option("--blocked", help="Prevent access from the start.")
    ] = False,
) -> Answer:
    """Add a user of one installation, who may charge there with what you give him next."""
    added = await client.identity.AddLocalUser(
        pb.AddLocalUserRequest(
            installation_id=installation,
            first_name=first_name,
            last_name=last_name,
            blocked=blocked,
        )
    )
    return done(
        f"Added the user {added.user_id}"
        f"{'; the permission to charge follows in a moment' if added.pending else ''}.",
        id=added.user_id,
        position=added.position,
        access_position=added.access_position or None,
        pending=added.pending,
    )


@command(app, "rename", "chargekey user rename 71aa... --first-name Ada --last-name King")
async def rename(
    client: Client, *, user: UserArgument, first_name: FirstName, last_name: LastName
) -> Answer:
    """Change a user's name."""
    renamed = await client.identity.RenameUser(
        pb.RenameUserRequest(user_id=user, first_name=first_name, last_name=last_name)
    )
    return done("Renamed.", position=renamed.position)


@command(app, "block", "chargekey user block 71aa...")
async def block(
    client: Client, *, user: UserArgument, installation: UsersInstallation = None
) -> Answer:
    """Refuse a user with everything he presents, and stop what he charges."""
    await client.check_home(user, installation)
    blocked = await client.identity.BlockUser(pb.BlockUserRequest(user_id=user))
    return done("Blocked.", position=blocked.position)


@command(app, "unblock", "chargekey user unblock 71aa...")
async def unblock(
    client: Client, *, user: UserArgument, installation: UsersInstallation = None
) -> Answer:
    """Let a blocked user charge again."""
    await client.check_home(user, installation)
    unblocked = await client.identity.UnblockUser(pb.UnblockUserRequest(user_id=user))
    return done("Unblocked.", position=unblocked.position)


@command(app, "list", "chargekey user list --installation 3f0c...")
async def list_(client: Client, *, installation: Installation) -> Answer:
    """List an installation's users."""
    found = await client.identity.ListUsers(pb.ListUsersRequest(installation_id=installation))
    return table("users", [_document(each) for each in found.users])


def _document(user: pb.User) -> Document:
    return {
        "id": user.id,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "blocked": user.blocked,
    }
