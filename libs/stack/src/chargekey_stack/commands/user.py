"""`chargekey user`: people, what they may use, and whether they may charge at all."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from chargekey.access.v1 import chargers_pb2, owners_pb2, permissions_pb2
from chargekey.audit.v1 import audit_pb2
from chargekey.gateway.v1 import decisions_pb2
from chargekey.history.v1 import history_pb2
from chargekey.identity.v1 import people_pb2, privacy_pb2
from chargekey.identity.v1 import users_pb2 as pb
from chargekey_common.audit.together import Kept, behind
from chargekey_common.pages import every
from chargekey_stack.answers import Answer, Document, done, fields, instant, show_file, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.commands.history import change_document
from chargekey_stack.commands.permission import document as permission_document
from chargekey_stack.commands.refusals import document as refusal_document
from chargekey_stack.commands.sessions import document as session_document
from chargekey_stack.errors import (
    DryRunImpossibleError,
    FileUnreadableError,
    ImportRefusedError,
    NothingToChangeError,
    TargetMissingError,
)
from chargekey_stack.options import (
    ChargerArgument,
    FirstName,
    Installation,
    LastName,
    OptionalInstallation,
    Search,
    SearchArgument,
    UserArgument,
    UsersInstallation,
)
from chargekey_stack.preview import DryRun, preview
from chargekey_stack.words import USERS

app = group("user", "People: local ones of an installation, and those who sign in.")

# Seconds; some thousand people take more than a call usually has.
LONGEST_IMPORT = 30.0

Everywhere = Annotated[
    bool, typer.Option("--everywhere", help="On the whole platform; for administrators.")
]


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
    added = await client.add_local_user(
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
    renamed = await client.users.RenameUser(
        pb.RenameUserRequest(user_id=user, first_name=first_name, last_name=last_name)
    )
    return done("Renamed.", position=renamed.position)


@command(app, "profile", "chargekey user profile 71aa... --language nb")
async def profile(
    client: Client,
    *,
    user: UserArgument,
    time_zone: Annotated[str | None, typer.Option("--time-zone", help="As in Europe/Oslo.")] = None,
    language: Annotated[str | None, typer.Option("--language", help="Of mails: en or nb.")] = None,
) -> Answer:
    """Change how a user's days are reckoned and his mails are written."""
    if time_zone is language is None:
        raise NothingToChangeError
    changed = await client.users.ChangeProfile(
        pb.ChangeProfileRequest(user_id=user, time_zone=time_zone, language=language)
    )
    return done("Changed.", position=changed.position)


@command(app, "block", "chargekey user block 71aa...")
async def block(
    client: Client,
    *,
    user: UserArgument,
    installation: UsersInstallation = None,
    everywhere: Everywhere = False,
    dry_run: DryRun = False,
) -> Answer:
    """Refuse a user with everything he presents, and stop what he charges."""
    if dry_run:
        site = installation or (await client.user(user)).installation_id
        if everywhere or not site:
            raise DryRunImpossibleError
        await client.check_home(user, installation)
        change = decisions_pb2.PreviewChangeRequest(installation_id=site, blocked_user_id=user)
        return await preview(client, change)
    if everywhere or await _is_local(client, user, installation):
        blocked: Any = await client.users.BlockUser(
            pb.BlockUserRequest(user_id=user, everywhere=everywhere)
        )
    else:
        blocked = await client.owners.BlockUserAtInstallation(
            owners_pb2.BlockUserAtInstallationRequest(
                installation_id=installation or "", user_id=user
            )
        )
    unenforced = (
        f" At {blocked.open_chargers} open chargers anybody may charge, this user too."
        if blocked.open_chargers
        else ""
    )
    return done(
        f"Blocked.{unenforced}", position=blocked.position, open_chargers=blocked.open_chargers
    )


@command(app, "unblock", "chargekey user unblock 71aa...")
async def unblock(
    client: Client,
    *,
    user: UserArgument,
    installation: UsersInstallation = None,
    everywhere: Everywhere = False,
) -> Answer:
    """Let a blocked user charge again."""
    if everywhere or await _is_local(client, user, installation):
        unblocked: Any = await client.users.UnblockUser(
            pb.UnblockUserRequest(user_id=user, everywhere=everywhere)
        )
    else:
        unblocked = await client.owners.UnblockUserAtInstallation(
            owners_pb2.UnblockUserAtInstallationRequest(
                installation_id=installation or "", user_id=user
            )
        )
    return done("Unblocked.", position=unblocked.position)


@command(app, "show", "chargekey user show 71aa...")
async def show(client: Client, *, user: UserArgument) -> Answer:
    """Show a user."""
    return fields(_document(await client.user(user)))


@command(app, "list", "chargekey user list --installation 3f0c...")
async def list_(client: Client, *, installation: Installation, search: Search = "") -> Answer:
    """List an installation's local users."""
    request = pb.ListUsersRequest(installation_id=installation, search=search)
    found = await every(client.users.ListUsers, request, "users")
    return table("users", [_document(each) for each in found], _COLUMNS)


@command(app, "search", "chargekey user search lovelace --installation 3f0c...")
async def search_(client: Client, *, text: SearchArgument, installation: Installation) -> Answer:
    """Search an installation's local users, and who was invited there, as far as you know them."""
    request = pb.SearchPeopleRequest(installation_id=installation, search=text)
    found = await every(client.users.SearchPeople, request, "users")
    return table("people", [{"id": each.id, "name": each.name} for each in found])


@command(app, "blocked", "chargekey user blocked --installation 3f0c...")
async def blocked_(client: Client, *, installation: Installation) -> Answer:
    """List who is blocked at an installation, besides its local users."""
    request = owners_pb2.ListBlockedUsersRequest(installation_id=installation)
    found = await every(client.owners.ListBlockedUsers, request, "user_ids")
    return table("blocked users", [{"id": each} for each in found])


@command(app, "chargers", "chargekey user chargers 71aa...")
async def chargers(
    client: Client,
    *,
    user: Annotated[
        str, typer.Argument(metavar="[USER]", help="The user's id; you, without one.")
    ] = "",
) -> Answer:
    """List the chargers that a user can use; a key marks where something must be presented."""
    request = chargers_pb2.ListUsableChargersRequest(user_id=user)
    found = await every(client.chargers.ListUsableChargers, request, "chargers")
    return table("chargers", [_usable(each) for each in found])


@command(app, "who-can-use", "chargekey user who-can-use CP-1")
async def who_can_use(client: Client, *, charger: ChargerArgument) -> Answer:
    """List who can use a charger, and by which permission."""
    here = await client.charger(charger)
    request = chargers_pb2.ListChargerUsersRequest(charger_id=here.id)
    found = await every(client.chargers.ListChargerUsers, request, "users")
    names = await _names(client, here.installation_id, [each.user_id for each in found])
    rows = [
        {
            "user_id": each.user_id,
            "name": names.get(each.user_id),
            "partner_id": each.partner_id or None,
            "permission_ids": list(each.permission_ids),
            "valid_until": instant(each.valid_until) if each.HasField("valid_until") else None,
            "blocked": each.blocked,
        }
        for each in found
    ]
    return table("users", rows)


@command(app, "import", "chargekey user import people.csv --installation 3f0c... --dry-run")
async def import_(
    client: Client,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file.")],
    installation: Installation,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would happen.")
    ] = False,
) -> Answer:
    """Add people with their cards and roles from a table: all of its lines, or none.

    Columns: first_name, last_name, email, roles, valid_until, pin, rfid, blocked; and
    user_id, as exported, for local users who are to be changed.
    """
    try:
        csv = file.read_bytes()
    except OSError as error:
        raise FileUnreadableError(error.strerror or "") from None
    answer = await client.people.ImportPeople(
        people_pb2.ImportPeopleRequest(installation_id=installation, csv=csv, dry_run=dry_run),
        timeout=LONGEST_IMPORT,
    )
    rows: list[Document] = [
        {
            "line": each.line,
            "user_id": each.user_id or None,
            "refused": each.refusal_code or None,
            "because": each.refusal_sentence or None,
        }
        for each in answer.lines
    ]
    document = {
        "lines": rows,
        "imported": answer.imported,
        "position": answer.position or None,
        "access_position": answer.access_position or None,
        "pending": answer.pending,
    }
    if answer.imported:
        return Answer(document, f"Imported {len(rows)} people.", rows)
    refused = [row for row in rows if row["refused"]]
    if dry_run:
        told = f"{len(rows)} lines, of which {len(refused)} cannot be imported."
        return Answer(document, told, refused or rows)
    client.show(Answer(document, "", refused))
    raise ImportRefusedError


@command(app, "export", "chargekey user export 71aa...")
async def export(
    client: Client,
    *,
    user: Annotated[
        str | None, typer.Argument(metavar="[USER]", help="Everything about this user.")
    ] = None,
    installation: OptionalInstallation = None,
    with_codes: Annotated[
        bool, typer.Option("--with-codes", help="Cards and PINs, too; that you looked is recorded.")
    ] = False,
) -> Answer | None:
    """Write all there is about one user as JSON, or an installation's people as CSV."""
    if (user is None) == (installation is None):
        raise TargetMissingError
    if user is not None:
        everything = await _everything(client, user)
        if not client.for_people:
            return Answer(everything)
        show_file(msgspec.json.format(msgspec.json.encode(everything)).decode())
        return None
    answer = await client.people.ExportPeople(
        people_pb2.ExportPeopleRequest(installation_id=installation or "", with_codes=with_codes)
    )
    if not client.for_people:
        return done("", csv=base64.b64encode(answer.csv).decode(), position=answer.position)
    show_file(answer.csv.decode().rstrip("\r\n"))
    return None


@command(app, "erase", "chargekey user erase 71aa... --yes")
async def erase(
    client: Client,
    *,
    user: UserArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> Answer:
    """Make everything personal of a user unreadable, for ever; what he charged still adds up."""
    if not yes and client.for_people:
        typer.confirm("Nobody can undo this. Erase the user?", abort=True, err=True)
    erased = await client.privacy.EraseUser(privacy_pb2.EraseUserRequest(user_id=user))
    return done(
        f"Erased{'; do not restore a backup just yet' if erased.pending else ''}.",
        position=erased.position,
        pending=erased.pending,
    )


async def _is_local(client: Client, user: str, installation: str | None) -> bool:
    """Whether identity blocks him: a local user, at his own installation."""
    found = await client.user(user)
    if found.kind == pb.USER_KIND_LOCAL:
        await client.check_home(user, installation)
        return True
    return installation is None


async def _names(client: Client, installation: str, users: list[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for first in range(0, len(users), 1000):
        request = pb.ListNamesRequest(
            installation_id=installation, user_ids=users[first : first + 1000]
        )
        told = await client.users.ListNames(request)
        names |= {each.id: each.name for each in told.users if each.name}
    return names


async def _everything(client: Client, user: str) -> Document:
    exported = await client.privacy.ExportUser(privacy_pb2.ExportUserRequest(user_id=user))
    held = permissions_pb2.ListPermissionsOfUserRequest(user_id=user)
    sessions = history_pb2.ListSessionsRequest(user_id=user)
    refusals = history_pb2.ListRefusalsRequest(user_id=user)
    changes = [
        (name, each)
        for name, audit in client.audits.items()
        for each in await every(
            audit.ListChanges, audit_pb2.ListChangesRequest(object=f"user:{user}"), "changes"
        )
    ]
    by_id = {change.id: change for _, change in changes}
    return {
        "identity": json.loads(exported.document),
        "permissions": [
            permission_document(each)
            for each in await every(client.permissions.ListPermissionsOfUser, held, "permissions")
        ],
        "sessions": [
            session_document(each)
            for each in await every(client.history.ListSessions, sessions, "sessions")
        ],
        "refusals": [
            refusal_document(each)
            for each in await every(client.history.ListRefusals, refusals, "refusals")
        ],
        "changes": [
            change_document(Kept(service, change, behind(change, by_id)))
            for service, change in sorted(changes, key=lambda each: each[1].at)
        ],
    }


_COLUMNS = ("id", "first_name", "last_name", "blocked")


def _document(user: pb.User) -> Document:
    return {
        "id": user.id,
        "kind": USERS.word(user.kind),
        "first_name": user.first_name or None,
        "last_name": user.last_name or None,
        "email": user.email or None,
        "installation_id": user.installation_id or None,
        "blocked": user.blocked,
        "blocked_everywhere": user.blocked_everywhere,
        "time_zone": user.time_zone or None,
        "language": user.language or None,
    }


def _usable(charger: chargers_pb2.UsableCharger) -> Document:
    ends = charger.HasField("valid_until")
    return {
        "ocpp_identity": charger.charger.ocpp_identity,
        "installation": charger.installation_name,
        "key": charger.key,
        "valid_until": instant(charger.valid_until) if ends else None,
        "permission_ids": list(charger.permission_ids),
    }
