"""A gateway in memory, a wire that judges what is sent by the official schemas, a real server."""

from __future__ import annotations

import asyncio
import functools
import json
import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable, Container
from typing import Any, Literal

import jsonschema
import ocpp
import pytest
import websockets
from nats.aio.client import Client
from websockets.headers import build_authorization_basic

from chargekey_common.published.chargers import SecurityEventReported
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.boots import Boots
from chargekey_gateway.application.charging import Started
from chargekey_gateway.application.reports import of
from chargekey_gateway.charger_states import ChargerState, ConnectorState
from chargekey_gateway.decision import Decision, Reason, Status
from chargekey_gateway.ocpp.connection import ChargerConnection
from chargekey_gateway.ocpp.dialect import Dialect
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.ocpp16.routes import OCPP16
from chargekey_gateway.ocpp20.routes import OCPP20
from chargekey_gateway.ocpp21.routes import OCPP21
from chargekey_gateway.reconcile.confirmed import Confirmed
from chargekey_gateway.sessions.errors import SessionsUnavailableError
from chargekey_gateway.sessions.transactions import Phase, TransactionMessage
from chargekey_gateway.view.entries import Charger, Installation

from .ends import ChargerEnd

# Where the official schemas of a version are, and what a request's name ends in there.
SCHEMAS = pathlib.Path(ocpp.__file__).parent
PLACES = {"1.6": ("v16", ""), "2.0.1": ("v201", "Request"), "2.1": ("v21", "Request")}
SENT = "NotifyPeriodicEventStream"  # 2.1: the one that is no request and has no answer
DIALECTS = {dialect.version: dialect for dialect in (OCPP16, OCPP20, OCPP21)}
NOW = 1_795_000_000_123_456_789


def folder(version: str) -> pathlib.Path:
    return SCHEMAS / PLACES[version][0] / "schemas"


@functools.cache
def schema(action: str, version: str = "1.6") -> dict[str, Any]:
    """Return the schema of a request or, where it is named so, of a response."""
    name = action if action.endswith("Response") or action == SENT else action + PLACES[version][1]
    return json.loads((folder(version) / f"{name}.json").read_text("utf-8-sig"))


@functools.cache
def validator(action: str, version: str) -> jsonschema.protocols.Validator:
    document = schema(action, version)
    return jsonschema.validators.validator_for(document)(document)


REASONS = {
    Status.ACCEPTED: Reason.OPEN_CHARGER,
    Status.BLOCKED: Reason.USER_BLOCKED,
    Status.EXPIRED: Reason.IDENTIFICATION_EXPIRED,
    Status.INVALID: Reason.IDENTIFICATION_UNKNOWN,
    Status.CONCURRENT_TX: Reason.ALREADY_CHARGING,
}


def decided(status: Status, valid_until: int | None = None) -> Decision:
    return Decision(status, REASONS[status], valid_until)


class GatewayInMemory:
    """Answers as the real one promises to, and remembers what it was told."""

    def __init__(self) -> None:
        self.deciding = self.charging = self.transacting = self.reports = self
        self.confirmed = Confirmed(Client())
        self.boots = Boots(self.confirmed)
        self.chargers: dict[str, Charger] = {}
        self.passwords: dict[str, str] = {}
        self.decisions: dict[str, Decision] = {}
        self.starts: dict[tuple[Any, ...], Started] = {}
        self.ends: list[dict[str, Any]] = []
        self.told: list[tuple[Any, ...]] = []
        self.events: list[Any] = []
        self.messages: list[TransactionMessage] = []
        self.error: Exception | None = None
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.reached = asyncio.Event()
        for number in (1, 2):
            self.add(f"charger-{number}", f"CP/{number} ä", "a long enough password")

    def add(self, charger_id: str, identity: str, password: str) -> None:
        self.chargers[identity] = Charger(
            charger_id, Installation("site"), ocpp_identity=identity, registered=True
        )
        self.passwords[charger_id] = password

    def charger_by_identity(self, ocpp_identity: str) -> Charger | None:
        return self.chargers.get(ocpp_identity)

    def password_matches(self, charger: Charger, password: str) -> bool:
        return self.passwords[charger.id] == password

    def authorize(
        self, charger: Charger, token: str, _announced: object = None, **_how: bool
    ) -> Decision:
        self.told.append(("authorize", charger.id, token))
        if self.error is not None:
            raise self.error
        return self.decisions.get(token.upper(), decided(Status.INVALID))

    async def start(
        self,
        charger: Charger,
        *,
        connector: int,
        token: str,
        started_at: int | str,
        meter_start: int,
    ) -> Started:
        await self._durable()
        key = (charger.id, connector, token, started_at, meter_start)
        decision = self.decisions.get(token.upper(), decided(Status.INVALID))
        self.told.append(("start", token))
        return self.starts.setdefault(key, Started(len(self.starts) + 1001, decision))

    async def take(self, charger: Charger, message: TransactionMessage) -> Decision | None:
        await self._durable()
        self.told.append(("take", charger.id, message.phase, message.number))
        self.messages.append(message)
        if message.token is not None:
            return self.decisions.get(message.token.upper(), decided(Status.INVALID))
        started_open = message.phase is Phase.STARTED and not charger.authorisation_required
        return decided(Status.ACCEPTED) if started_open else None

    async def end(self, charger: Charger, **what: object) -> None:
        await self._durable()
        self.told.append(("end", what["transaction_id"]))
        self.ends.append({"charger": charger.id, **what})

    def metered(self, charger: Charger, **what: object) -> None:
        self.told.append(("metered", charger.id, what))

    async def _durable(self) -> None:
        self.reached.set()
        await self.go_on.wait()
        if self.error is not None:
            raise self.error

    def connected(self, connection: ChargerConnection) -> None:
        self.told.append(("connected", connection.charger.id))

    def disconnected(self, connection: ChargerConnection) -> None:
        self.told.append(("disconnected", connection.charger.id))

    def booted(
        self, charger: Charger, *, vendor: str, model: str, firmware_version: str | None
    ) -> None:
        self.told.append(("booted", charger.id, vendor, model, firmware_version))
        self.boots.booted(charger)

    def security_event(
        self, charger: Charger, kind: str, *, seen_by: Literal["CHARGER", "GATEWAY"]
    ) -> None:
        self.events.append(SecurityEventReported(**of(charger), kind=kind, seen_by=seen_by))

    def states(self, chargers: list[Charger], _online: Container[str]) -> list[ChargerState]:
        connectors = (ConnectorState(1, "Preparing", waiting_for_authorisation=True),)
        return [
            ChargerState(charger.id, online=True, connectors=connectors) for charger in chargers
        ]

    def connector_status(
        self,
        charger: Charger,
        *,
        connector: int,
        status: str,
        error_code: str,
        plug: int = 0,
    ) -> None:
        self.told.append(("status", charger.id, connector, plug, status, error_code))


class Line:
    """A charger's end of a connection without a socket.

    Every message the gateway sends is held against the official schema of its action.
    """

    def __init__(self, gateway: GatewayInMemory, limits: Limits, dialect: Dialect) -> None:
        self.gateway = gateway
        self.version = dialect.version
        self.sent: list[list[Any]] = []
        self.raw: list[bytes] = []
        self.closes: list[tuple[int, str]] = []
        self.something = asyncio.Event()
        self._actions: dict[str, str] = {}
        self._ids = 0
        self.connection = ChargerConnection(
            gateway.chargers["CP/1 ä"],
            gateway=gateway,  # type: ignore[arg-type]
            dialect=dialect,
            wire=self,
            limits=limits,
            clock=lambda: NOW,
        )

    def send(self, message: bytes) -> None:
        frame = json.loads(message)
        match frame:
            case [2, str(), str(action), dict(payload)]:
                validator(action, self.version).validate(payload)
            case [3, str(message_id), dict(payload)]:
                validator(f"{self._actions[message_id]}Response", self.version).validate(payload)
            case [4, str(), str(), str(), {}]:
                pass
            case _:
                pytest.fail(f"not OCPP: {message!r}")
        assert len(frame[1]) <= 36
        self.raw.append(message)
        self.sent.append(frame)
        self.something.set()

    def close(self, code: int, reason: str) -> None:
        self.closes.append((code, reason))

    def say(self, message: bytes | str | list[Any]) -> None:
        if isinstance(message, list):
            if message[:1] == [2]:
                self._actions.setdefault(message[1], message[2])
            message = json.dumps(message)
        self.connection.receive(message.encode() if isinstance(message, str) else message)

    def ask(self, action: str, payload: object) -> str:
        self._ids += 1
        self.say([2, f"id-{self._ids}", action, payload])
        return f"id-{self._ids}"

    def answer_to(self, message_id: str) -> list[Any] | None:
        answers = [frame for frame in self.sent if frame[0] != 2 and frame[1] == message_id]
        assert len(answers) <= 1, "answered twice"
        return answers[0] if answers else None

    def at_once(self, action: str, payload: object) -> list[Any]:
        """Ask, and demand the answer before anything else gets to run."""
        answer = self.answer_to(self.ask(action, payload))
        assert answer is not None
        return answer

    async def in_time(self, action: str, payload: object) -> list[Any]:
        return await self.answered(self.ask(action, payload))

    async def answered(self, message_id: str) -> list[Any]:
        while (answer := self.answer_to(message_id)) is None:
            self.something.clear()
            await self.something.wait()
        return answer

    def calls(self) -> list[list[Any]]:
        return [frame for frame in self.sent if frame[0] == 2]


class Door:
    """A real server on a port the system chose, and how to knock."""

    def __init__(self, server: OcppServer, gateway: GatewayInMemory) -> None:
        self.server = server
        self.gateway = gateway
        self.scheme = "ws"
        self.port = server.port

    def connection(self) -> ChargerConnection | None:
        """Return the first charger's connection, as the server has it."""
        here = {connection.charger.id: connection for connection in self.server.connections()}
        return here.get("charger-1")

    def open(
        self,
        identity: str = "CP%2F1%20%C3%A4",
        *,
        user: str = "CP/1 ä",
        **options: Any,
    ) -> websockets.connect:
        options.setdefault("subprotocols", ["ocpp1.6"])
        password = options.pop("password", "a long enough password")
        if "additional_headers" not in options:
            options["additional_headers"] = {
                "Authorization": build_authorization_basic(user, password)
            }
        # No compression and no pings of its own: what is sent is what the test says.
        options = {"compression": None, "ping_interval": None, **options}
        return websockets.connect(
            f"{self.scheme}://127.0.0.1:{self.port}/ocpp/{identity}", proxy=None, **options
        )


def gateway_with_cards() -> GatewayInMemory:
    gateway = GatewayInMemory()
    gateway.decisions["CARD"] = decided(Status.ACCEPTED)
    gateway.decisions["#2468"] = decided(Status.ACCEPTED, valid_until=NOW + 10**9)
    gateway.decisions["BLOCKED"] = decided(Status.BLOCKED)
    gateway.decisions["EXPIRED"] = decided(Status.EXPIRED)
    gateway.decisions["BUSY"] = decided(Status.CONCURRENT_TX)
    return gateway


@pytest.fixture
async def gateway() -> GatewayInMemory:
    return gateway_with_cards()


@pytest.fixture(scope="session")
def on_a_line() -> Callable[..., None]:
    """Run one example of a property on a connection and a loop of its own."""

    async def example(exchange: Callable[[Line], Awaitable[None]], version: str) -> None:
        line = Line(gateway_with_cards(), Limits(), DIALECTS[version])
        await exchange(line)
        line.connection.lost()

    def run(exchange: Callable[[Line], Awaitable[None]], version: str = "1.6") -> None:
        asyncio.run(example(exchange, version))

    return run


@pytest.fixture
async def new_line(gateway: GatewayInMemory) -> AsyncIterator[Callable[..., Line]]:
    lines = []

    def make(version: str = "1.6", **limits: float) -> Line:
        lines.append(Line(gateway, Limits(**limits), DIALECTS[version]))
        return lines[-1]

    yield make
    for line in lines:
        task = line.connection.lost()
        if task is not None:
            task.cancel()


@pytest.fixture
async def new_end() -> AsyncIterator[Callable[..., ChargerEnd]]:
    ends = []

    def make(version: str, **limits: float) -> ChargerEnd:
        ends.append(ChargerEnd(version, **limits))
        return ends[-1]

    yield make
    for end in ends:
        end.connection.lost()


@pytest.fixture
async def line(new_line: Callable[..., Line]) -> Line:
    return new_line()


@pytest.fixture
async def new_door(gateway: GatewayInMemory) -> AsyncIterator[Callable[..., Any]]:
    servers = []

    async def make(**limits: float) -> Door:
        server = OcppServer(
            gateway,  # type: ignore[arg-type]
            limits=Limits(close_timeout=0.2, **limits),
        )
        servers.append(server)
        await server.start("127.0.0.1:0")
        return Door(server, gateway)

    yield make
    gateway.go_on.set()
    for server in servers:
        await server.stop()


@pytest.fixture
async def door(new_door: Callable[..., Any]) -> Door:
    return await new_door()


@pytest.fixture
def unavailable() -> Exception:
    return SessionsUnavailableError()


@pytest.fixture
def official_schema() -> Callable[..., dict[str, Any]]:
    return schema


@pytest.fixture
def official_actions() -> Callable[[str], set[str]]:
    def of(version: str) -> set[str]:
        names = {path.stem for path in folder(version).glob("*.json")}
        return {
            name.removesuffix(PLACES[version][1]) for name in names if not name.endswith("Response")
        }

    return of
