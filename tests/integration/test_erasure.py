"""People are added, used and erased, and then looked for in every byte that is kept (R20)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import grpc
import msgspec
import psycopg
import pytest
from grpc import aio
from psycopg import sql

from chargekey.access.v1 import permissions_pb2
from chargekey.history.v1 import history_pb2
from chargekey.identity.v1 import (
    identifications_pb2,
    invitations_pb2,
    people_pb2,
    privacy_pb2,
    sign_in_pb2,
    users_pb2,
)
from chargekey.identity.v1.identifications_pb2_grpc import IdentificationServiceStub
from chargekey.identity.v1.privacy_pb2_grpc import PrivacyServiceStub
from chargekey_common.grpc.client import channel, remote_error
from chargekey_stack.client import Client, connected
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.login import Token
from chargekey_stack.simulator import simulated_charger
from chargekey_stack.supervisor import running
from chargekey_stack.system import System

from .garage import CHARGER, Garage, authorize, create_garage, eventually, sessions
from .post import mailed
from .records import contents, messages

# Nothing that turns up by chance, in any case or spelling.
NAMES = ("Xantippe", "Quackenbush", "Wilhelmina", "Featherstone")
LOCAL_PIN, LOCAL_CARD, OWN_CARD = "#83520417", "04A1B2C3D4E5F6", "0499AA77BB66CC"
ADDRESS = "wilhelmina.featherstone@erasure.example"
GROUP = "zeppelinclub"
SECRETS = (*NAMES, "wilhelmina", "featherstone", LOCAL_PIN[1:], LOCAL_CARD, OWN_CARD, GROUP)
OTHERS_PIN = "#2468"


class Two(msgspec.Struct, frozen=True):
    """Those who will be erased, among others who stay."""

    garage: Garage
    local: str
    account: str
    access_token: str
    # What their codes are looked up by, as IDENTITY tells the gateway.
    keyed_ids: Sequence[str]


def disguises(secret: str) -> Iterator[bytes]:
    """Yield what it looks like as text, in hex, and in base64 wherever it begins."""
    plain = secret.encode()
    yield plain
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    for before in range(3):
        encoded = base64.b64encode(b"#" * before + plain)
        yield encoded[(before * 8 + 5) // 6 : (before + len(plain)) * 8 // 6]


def forms(keyed_id: str) -> Iterator[bytes]:
    """Yield what a keyed id looks like, raw and in letters."""
    yield bytes.fromhex(keyed_id)
    yield keyed_id.encode()
    yield from disguises(keyed_id)


def found(everything: dict[str, bytes], two: Two) -> list[tuple[str, str]]:
    """Return where which secret stands."""
    wanted = [(secret, form) for secret in SECRETS for form in disguises(secret)]
    wanted += [(keyed_id, form) for keyed_id in two.keyed_ids for form in forms(keyed_id)]
    return [
        (name, secret)
        for name, data in everything.items()
        for secret, form in wanted
        if form in data
    ]


def has_ended(session: history_pb2.Session) -> bool:
    return session.HasField("ended_at")


@pytest.fixture
def database(postgres_server: str) -> Iterator[str]:
    """Yield the URL of a database that no system was in before."""
    name = sql.Identifier("chargekey_erasure")
    with psycopg.connect(postgres_server, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(name))
        yield urlunsplit(urlsplit(postgres_server)._replace(path="/chargekey_erasure"))
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@contextlib.asynccontextmanager
async def as_person(system: System, token: str) -> AsyncIterator[aio.Channel]:
    to_identity = channel(system.grpc["identity"], Token(token))
    try:
        yield to_identity
    finally:
        await to_identity.close()


async def live(data: DataDirectory, system: System, client: Client) -> Two:
    """Let two people do all there is to do: be named, invited, sign in, charge, be blocked."""
    garage = await create_garage(client, OTHERS_PIN)
    home = garage.installation_id
    local = (
        await client.add_local_user(
            users_pb2.AddLocalUserRequest(
                installation_id=home, first_name=NAMES[0], last_name=NAMES[1]
            )
        )
    ).user_id
    last = ""
    for kind, code in (
        (identifications_pb2.IDENTIFICATION_TYPE_PIN, LOCAL_PIN),
        (identifications_pb2.IDENTIFICATION_TYPE_RFID, LOCAL_CARD),
    ):
        added = await client.identifications.AddIdentification(
            identifications_pb2.AddIdentificationRequest(
                user_id=local, type=kind, code=code, group=GROUP
            )
        )
        last = added.position
        await client.identifications.RevealCode(
            identifications_pb2.RevealCodeRequest(identification_id=added.identification_id)
        )
    await client.permissions.GrantPermission(
        permissions_pb2.GrantPermissionRequest(
            installation_id=home, email=ADDRESS.title(), roles=[permissions_pb2.ROLE_USER]
        )
    )
    arrived = await client.invitations.AcceptInvitation(
        invitations_pb2.AcceptInvitationRequest(
            token=await mailed(data, ADDRESS), first_name=NAMES[2], last_name=NAMES[3]
        )
    )
    await client.sign_in.RequestSignInLink(sign_in_pb2.RequestSignInLinkRequest(email=ADDRESS))
    async with as_person(system, arrived.access_token) as hers:
        own = await IdentificationServiceStub(hers).AddIdentification(
            identifications_pb2.AddIdentificationRequest(
                user_id=arrived.user_id,
                type=identifications_pb2.IDENTIFICATION_TYPE_RFID,
                code=OWN_CARD,
            )
        )
    await authorize(client, OWN_CARD, last, own.position)
    async with simulated_charger(system.ocpp, CHARGER, garage.password) as charger:
        await charger.boot()
        for code in (LOCAL_PIN, LOCAL_CARD, OWN_CARD, OTHERS_PIN):
            assert await charger.authorize(code) == "Accepted"
            await charger.start(code)
            await charger.stop()
        blocked = await client.users.BlockUser(users_pb2.BlockUserRequest(user_id=local))
        await authorize(client, LOCAL_PIN, blocked.position)
        assert await charger.authorize(LOCAL_PIN) == "Blocked"
    await eventually(lambda: sessions(client), lambda seen: sum(map(has_ended, seen)) == 4)
    told = await messages(data, system.nats, "IDENTITY")
    held = [
        held.id
        for user_id in (local, arrived.user_id)
        for held in (
            await client.identifications.ListIdentifications(
                identifications_pb2.ListIdentificationsRequest(user_id=user_id)
            )
        ).identifications
    ]
    keys = [
        json.loads(each.data or b"{}")
        for each in told
        if (each.subject or "").removeprefix("identity.v1.key.") in held
    ]
    assert len(keys) == len(held) == 4
    keyed = [value for key in keys for value in (key["keyed_id"], key.get("alias")) if value]
    return Two(garage, local, arrived.user_id, arrived.access_token, keyed)


async def erase(system: System, client: Client, two: Two) -> None:
    """The one is erased by his owner, or an administrator, and the other by herself."""
    await client.privacy.ExportUser(privacy_pb2.ExportUserRequest(user_id=two.local))
    await client.people.ExportPeople(
        people_pb2.ExportPeopleRequest(installation_id=two.garage.installation_id, with_codes=True)
    )
    await client.privacy.EraseUser(privacy_pb2.EraseUserRequest(user_id=two.local))
    async with as_person(system, two.access_token) as hers:
        request = privacy_pb2.EraseUserRequest(user_id=two.account)
        erased = await PrivacyServiceStub(hers).EraseUser(request)
        # Her token was somebody's a moment ago.
        with pytest.raises(aio.AioRpcError) as denied:
            await PrivacyServiceStub(hers).EraseUser(request)
        assert denied.value.code() is grpc.StatusCode.PERMISSION_DENIED
    await authorize(client, OTHERS_PIN, erased.position)


async def assert_the_rest_adds_up(system: System, client: Client, two: Two) -> None:
    """Sessions stand under opaque ids, decisions are what they should be, and Ada charges."""
    energy = {each.user_id: each.energy_wh for each in await sessions(client)}
    assert set(energy) == {two.local, two.account, two.garage.user_id}
    for gone in (two.local, two.account):
        request = history_pb2.ListSessionsRequest(user_id=gone)
        his = (await client.history.ListSessions(request)).sessions
        assert len(his) == (2 if gone == two.local else 1)
        with pytest.raises(aio.AioRpcError) as unknown:
            await client.users.GetUser(users_pb2.GetUserRequest(user_id=gone))
        assert remote_error(unknown.value).code == "user_unknown"
    async with simulated_charger(system.ocpp, CHARGER, two.garage.password) as charger:
        await charger.boot()
        for code in (LOCAL_PIN, LOCAL_CARD, OWN_CARD):
            assert await charger.authorize(code) == "Invalid"
        assert await charger.authorize(OTHERS_PIN) == "Accepted"
    # Their codes and the address are free for others.
    again = await client.identifications.AddIdentification(
        identifications_pb2.AddIdentificationRequest(
            user_id=two.garage.user_id,
            type=identifications_pb2.IDENTIFICATION_TYPE_PIN,
            code=LOCAL_PIN,
        )
    )
    await client.identifications.RemoveIdentification(
        identifications_pb2.RemoveIdentificationRequest(identification_id=again.identification_id)
    )


async def gone_from_mail(data: DataDirectory, two: Two) -> None:
    async def left() -> list[tuple[str, str]]:
        return await asyncio.to_thread(lambda: found(contents(data.mail), two))

    await eventually(left, lambda seen: not seen)


@pytest.mark.timeout(300)  # starts a whole system time and again
async def test_nothing_readable_of_the_erased_is_left_anywhere_and_a_backup_brings_nothing_back(
    tmp_path: Path,
) -> None:
    """R20: no store, stream, log, mail or file has a name, an address, a code or a keyed id.

    Of a backup every database is as it was before; what tells of the erasure is the ledger alone.
    """
    data = DataDirectory(tmp_path / "data")
    async with running(data, tell=print) as system, connected(data) as client:
        two = await live(data, system, client)
        before = await asyncio.to_thread(contents, data.path)
        kinds = {Path(name).suffix for name, _ in found(before, two)}
        assert {".eml", ".blk"} <= kinds  # so looking finds something
    databases = _backed_up(data, tmp_path)
    async with running(data, tell=print) as system, connected(data) as client:
        await erase(system, client, two)
        await gone_from_mail(data, two)
    assert found(await asyncio.to_thread(contents, data.path), two) == []
    # Everything is rebuilt from what is left, and nothing comes back.
    async with running(data, tell=print) as system, connected(data) as client:
        await assert_the_rest_adds_up(system, client, two)
    for file, backup in databases.items():
        for stale in file.parent.glob(f"{file.name}*"):
            stale.unlink()
        shutil.copy(backup, file)
    for service in ("access", "identity"):
        restored = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chargekey_stack", "restored", service),
            *("--data", str(data.path)),
        )
        assert await restored.wait() == 0
    async with running(data, tell=print) as system, connected(data) as client:
        await assert_the_rest_adds_up(system, client, two)
    assert found(await asyncio.to_thread(contents, data.path), two) == []


async def test_nothing_readable_of_the_erased_is_left_in_postgresql(
    tmp_path: Path, database: str
) -> None:
    """R20: in no table; what stays in PostgreSQL's files, and for how long, `scrub` says."""
    data = DataDirectory(tmp_path / "data")
    async with running(data, store=database, tell=print) as system, connected(data) as client:
        two = await live(data, system, client)
        await erase(system, client, two)
        await gone_from_mail(data, two)
        await assert_the_rest_adds_up(system, client, two)
    everything = await asyncio.to_thread(contents, data.path)
    everything |= await asyncio.to_thread(_dump, database)
    assert len([name for name in everything if name.startswith("identity.")]) > 3
    assert found(everything, two) == []
    with psycopg.connect(database) as connection:
        tombstones = "SELECT user_id FROM identity.data_keys WHERE wrapped IS NULL"
        erased = {row[0] for row in connection.execute(tombstones)}
    assert erased == {two.local, two.account}


def _backed_up(data: DataDirectory, to: Path) -> dict[Path, Path]:
    """Copy every database as a backup does, and return which file is whose copy."""
    copies = {
        file: to / file.name
        for service in ("access", "identity", "history", "notifier")
        for file in (data.path / service).glob("*.db")
    }
    for source, target in copies.items():
        with (
            contextlib.closing(sqlite3.connect(source)) as here,
            contextlib.closing(sqlite3.connect(target)) as there,
        ):
            here.backup(there)
    return copies


def _dump(url: str) -> dict[str, bytes]:
    """Return what every table has, as text, by its name."""
    tables = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s)"
    schemas = ["access", "chargekey", "history", "identity", "notifier"]
    with psycopg.connect(url) as connection:
        found = {}
        for schema, table in connection.execute(tables, [schemas]).fetchall():
            copy = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(schema, table))
            with connection.cursor().copy(copy) as rows:
                found[f"{schema}.{table}"] = b"".join(bytes(row) for row in rows)
        return found
