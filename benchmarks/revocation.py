"""From a block's commit to chargers: the session asked to stop, and a thousand lists replaced.

Access's command, store and relay, a real nats-server, a gateway in a process of its own, and a
thousand connected chargers of one site. Chargers, access and relay share a process; that, the
gateway's and the nats-server share the machine's cores.
"""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.bus import nats_server
from benchmarks.figures import ROUNDS, Figure, alone, at_most
from benchmarks.revocation_gateway import SECRET, card
from chargekey_access.application.chargers import Chargers
from chargekey_access.application.installations import Installations
from chargekey_access.application.owners import Owners
from chargekey_access.application.permissions import Permissions
from chargekey_access.domain.events import EVENTS
from chargekey_access.domain.permission import Subject, Target
from chargekey_access.projections.directory import Directory
from chargekey_access.published import publication
from chargekey_common import jetstream
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.eventstore.store import Context, EventStore
from chargekey_common.nats_server import NatsServer
from chargekey_common.process import cancel
from chargekey_common.relay import Relay

CHARGERS = 1_000
LOOK = 0.05  # seconds
AT_REST = 2.0
PATIENCE = 120.0  # seconds


def figures() -> Iterator[Figure]:
    """Block one user after the other, each with a session, and a card in every list."""
    rounds = asyncio.run(_measured())
    for name, times in (
        ("his session asked to stop", [stopped for stopped, _ in rounds]),
        (f"{CHARGERS:,} lists replaced, p99", [listed for _, listed in rounds]),
    ):
        yield alone(
            f"from a block to {name}",
            times,
            unit="s",
            against="from the commit",
            goal=at_most(1),
        )


class _Charger(WSListener):
    """It takes what it is asked, and notes when it was asked to stop and got a list."""

    def __init__(self) -> None:
        self.transport: WSTransport
        self.transaction = 0
        self.stop_asked = 0.0
        self.blocked: dict[str, float] = {}
        self.listed: set[str] = set()
        self._version = 0
        self._answers: dict[str, asyncio.Future[Mapping[str, Any]]] = {}

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the way back."""
        self.transport = transport

    def on_ws_frame(self, _: WSTransport, frame: WSFrame) -> None:
        """Take what is asked, or an answer."""
        if frame.msg_type != WSMsgType.TEXT:
            return
        kind, call_id, *rest = msgspec.json.decode(frame.get_payload_as_bytes())
        if kind == 2:
            answer = self._asked(*rest)
            self.transport.send(WSMsgType.TEXT, msgspec.json.encode([3, call_id, answer]))
            if rest[0] == "RemoteStopTransaction":
                self._stop()
        elif call_id in self._answers:
            self._answers.pop(call_id).set_result(rest[0])

    async def call(self, action: str, **payload: object) -> Mapping[str, Any]:
        """Return what the gateway answers."""
        call_id = str(uuid.uuid4())
        answer = self._answers[call_id] = asyncio.get_running_loop().create_future()
        frame = msgspec.json.encode([2, call_id, action, payload])
        self.transport.send(WSMsgType.TEXT, frame)
        async with asyncio.timeout(PATIENCE):
            told: Mapping[str, Any] = await answer
        return told

    def _asked(self, action: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        match action:
            case "GetConfiguration":
                return {"configurationKey": [], "unknownKey": payload.get("key", [])}
            case "GetLocalListVersion":
                return {"listVersion": self._version}
            case "SendLocalList":
                self._take(payload)
            case "RemoteStopTransaction":
                self.stop_asked = perf_counter()
        return {"status": "Accepted"}

    def _take(self, payload: Mapping[str, Any]) -> None:
        self._version = payload["listVersion"]
        for entry in payload.get("localAuthorizationList", ()):
            if entry.get("idTagInfo", {}).get("status") == "Accepted":
                self.listed.add(entry["idTag"])
            else:
                self.blocked[entry["idTag"]] = perf_counter()

    def _stop(self) -> None:
        stop = {"transactionId": self.transaction, "meterStop": 1, "timestamp": _now()}
        frame = msgspec.json.encode([2, str(uuid.uuid4()), "StopTransaction", stop])
        self.transport.send(WSMsgType.TEXT, frame)


class _Access:
    """A site with its chargers and people, and whoever blocks there."""

    def __init__(self, store: EventStore) -> None:
        directory = Directory(store)
        self._permissions = Permissions(store, directory)
        self._owners = Owners(store, directory, self._permissions)
        self.users = [str(uuid.UUID(int=9 << 120 | each)) for each in range(ROUNDS)]
        sites, chargers = (
            Installations(store),
            Chargers(store, ChargerPasswords(SECRET), directory),
        )
        self._site = sites.create_installation(_context(), name="Site", time_zone="UTC").result
        self.passwords: dict[str, str] = {}
        for number in range(CHARGERS):
            asked = _context()
            added = chargers.add_charger(
                asked, installation_id=self._site, ocpp_identity=f"CP-{number}"
            )
            self.passwords[f"CP-{number}"] = chargers.password(added.result, asked.command_id)
        for user_id in self.users:
            self._permissions.grant_permission(
                _context(),
                target=Target(self._site),
                subject=Subject(user_id),
                roles=["USER"],
                valid_until="",
                invited=True,
            )

    def block(self, user_id: str) -> float:
        """Block him there, and return when that was committed."""
        self._owners.block_user_at_installation(
            _context(), installation_id=self._site, user_id=user_id
        )
        return perf_counter()


async def _measured() -> Sequence[tuple[float, float]]:
    async with AsyncExitStack() as ending:
        directory = Path(
            ending.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        )
        server = ending.enter_context(nats_server())
        store = ending.enter_context(closing(EventStore("access", directory / "a.db", EVENTS)))
        access = _Access(store)
        client = await jetstream.connect(server.bus, "access")
        ending.push_async_callback(jetstream.close, client)
        await client.jetstream().add_stream(
            StreamConfig(name="IDENTITY", subjects=["identity.v1.>"])
        )
        relay = asyncio.create_task(Relay(client, store, publication).run())
        ending.push_async_callback(cancel, relay)
        await _all_told(client, store)
        port = await ending.enter_async_context(_gateway(server, access.users))
        chargers = [await _connected(port, *each) for each in access.passwords.items()]
        for each in chargers:
            ending.callback(each.transport.disconnect)
        return [
            await _blocked(access, chargers, number, user_id)
            for number, user_id in enumerate(access.users)
        ]


async def _blocked(
    access: _Access, chargers: Sequence[_Charger], number: int, user_id: str
) -> tuple[float, float]:
    """Have him charge, block him, and return when he was stopped and the last but ten know."""
    token, here = card(number), chargers[number]
    started = await here.call(
        "StartTransaction", connectorId=1, idTag=token, meterStart=0, timestamp=_now()
    )
    if started["idTagInfo"]["status"] != "Accepted":
        message = f"he may not charge: {started}"
        raise AssertionError(message)
    here.transaction = started["transactionId"]
    async with asyncio.timeout(PATIENCE):
        # Who hears a frame is busy enough: nothing is set there for whoever looks.
        while not all(token in each.listed for each in chargers):  # noqa: ASYNC110 - as above
            await asyncio.sleep(LOOK)
        await asyncio.sleep(AT_REST)  # whatever else follows from the start
        committed = await asyncio.to_thread(access.block, user_id)
        while not (  # noqa: ASYNC110 - as above
            here.stop_asked and all(token in each.blocked for each in chargers)
        ):
            await asyncio.sleep(LOOK)
    most = len(chargers) * 99 // 100
    listed = sorted(each.blocked[token] for each in chargers)
    return here.stop_asked - committed, listed[most] - committed


async def _all_told(client: Client, store: EventStore) -> None:
    async with asyncio.timeout(PATIENCE):
        end = str(store.position(store.end()))
        while True:
            try:
                last = await client.jetstream().get_last_msg("ACCESS", "access.v1.>")
            except NotFoundError:
                last = None
            if last is not None and end in (last.headers or {}).values():
                return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def _gateway(server: NatsServer, users: Sequence[str]) -> AsyncIterator[int]:
    module = "benchmarks.revocation_gateway"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, server.url, server.token, *users, stdout=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            said = b"" if process.stdout is None else await process.stdout.readline()
        if not said.startswith(b"listening"):
            message = f"{module} has not started"
            raise RuntimeError(message)
        yield int(said.split()[1])
    finally:
        process.kill()
        await process.wait()


async def _connected(port: int, identity: str, password: str) -> _Charger:
    authorization = base64.b64encode(f"{identity}:{password}".encode()).decode()
    connected = _Charger()
    await ws_connect(
        lambda: connected,
        f"ws://127.0.0.1:{port}/ocpp/{identity}",
        extra_headers={
            "Authorization": f"Basic {authorization}",
            "Sec-WebSocket-Protocol": "ocpp1.6",
        },
    )
    await connected.call("BootNotification", chargePointVendor="Figures", chargePointModel="One")
    return connected


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _context() -> Context:
    return Context(actor="administrator:local", command_id=str(uuid.uuid4()))
