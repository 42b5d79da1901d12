"""Gateways that only meet in NATS, at a site of three chargers and two people."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from nats.aio.client import Client

from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.follower import Follower, Message
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.published import access, identity
from chargekey_common.published.envelope import Catalogue
from chargekey_common.published.sessions import EVENTS
from chargekey_gateway.application.charging import Started
from chargekey_gateway.application.deciding import Operators
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.decision import Decision
from chargekey_gateway.reconcile.reconciler import GREETING
from chargekey_gateway.sessions import stream
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.sessions.transactions import Phase, TransactionMessage
from chargekey_gateway.unknown_codes import UnknownCode
from chargekey_gateway.view.entries import Charger
from chargekey_gateway.view.view import View

SECRET = b"a secret of 24 bytes, so"
NOW = 1_800_000_000_000_000_000
MINUTE = 60 * 10**9
PIN = "#2468"
CARD = "04A1B2C3"
OTHERS_CARD = "04D1E2F3"
# Seconds for a write, and for one answer to it, on a machine that has other things to do: a write
# that is answered later is made a second time, and the memory of who made it learns of it only
# where it follows the stream.
PATIENCE = 30.0
ATTEMPT = 20.0
# Seconds for a write of whom a test has wait through an outage.
IMPATIENCE = 2.0
GRACE = 0.02


class Replica:
    """A gateway with its own view and memory, as one process would have."""

    def __init__(
        self,
        client: Client,
        *,
        patience: float = PATIENCE,
        grace: float = GRACE,
        greeting: float = GREETING,
        operators: Operators | None = None,
    ) -> None:
        self.client = client
        self.now = NOW
        self.view = View(lambda: self.now)
        self.running = RunningSessions()
        self.unknown: list[UnknownCode] = []
        fill(self.view)
        self.gateway = Gateway(
            client,
            view=self.view,
            running=self.running,
            keyed_ids=KeyedIds(SECRET),
            start_keys=StartKeys(SECRET),
            passwords=ChargerPasswords(SECRET),
            unknown=self.unknown.append,
            clock=lambda: self.now,
            operators=operators,
            patience=patience,
            grace=grace,
            greeting=greeting,
        )

    def charger(self, charger_id: str = "first") -> Charger:
        charger = self.view.charger(charger_id)
        assert charger is not None
        return charger

    async def start(
        self,
        charger_id: str = "first",
        *,
        token: str = PIN,
        connector: int = 1,
        started_at: int | str = NOW - MINUTE,
        meter_start: int = 100,
    ) -> Started:
        return await self.gateway.charging.start(
            self.charger(charger_id),
            connector=connector,
            token=token,
            started_at=started_at,
            meter_start=meter_start,
        )

    async def end(
        self,
        transaction_id: int,
        charger_id: str = "first",
        *,
        token: str | None = PIN,
        ended_at: int = NOW,
    ) -> None:
        await self.gateway.charging.end(
            self.charger(charger_id),
            transaction_id=transaction_id,
            token=token,
            ended_at=ended_at,
            meter_stop=900,
            reason="Local",
        )

    async def take(  # noqa: PLR0913 - a TransactionEvent has so many fields
        self,
        phase: Phase = Phase.STARTED,
        *,
        number: int = 0,
        charger_id: str = "first",
        transaction: str = "tx",
        at: int = NOW - MINUTE,
        connector: int = 1,
        token: str | None = PIN,
        stops: bool = False,
        offline: bool = False,
        meter: int | None = 100,
        meter_began: int | None = None,
        power: int | None = None,
    ) -> Decision | None:
        message = TransactionMessage(
            phase=phase,
            transaction=transaction,
            number=number,
            at=at,
            connector=connector,
            token=token,
            stops=stops,
            offline=offline,
            meter=meter,
            meter_began=meter_began,
            power=power,
        )
        return await self.gateway.transacting.take(self.charger(charger_id), message)


def fill(view: View) -> None:
    """One site: chargers `first`, `second` and the open one `open`; two users."""
    keyed_ids = KeyedIds(SECRET)
    view.apply(
        access.InstallationCreated(
            installation_id="site", name="", time_zone="UTC", authorisation_required=True
        )
    )
    for charger_id in ("first", "second", "open"):
        view.apply(
            access.ChargerAdded(
                charger_id=charger_id,
                installation_id="site",
                ocpp_identity=charger_id,
                authorisation_override="NOT_REQUIRED" if charger_id == "open" else "INHERIT",
                identification_types=("RFID", "PIN"),
            )
        )
    for name, user_id, token in (
        ("pin", "ada", PIN),
        ("card", "ada", CARD),
        ("others", "bob", OTHERS_CARD),
    ):
        key = keyed_ids.of_token(token, "site")[1].hex()
        view.apply(identity.IdentificationKey(identification_id=name, keyed_id=key))
        view.apply(
            identity.IdentificationAdded(
                identification_id=name, user_id=user_id, type="RFID", status="ACTIVE"
            )
        )
    for user_id in ("ada", "bob"):
        view.apply(
            access.PermissionGranted(
                installation_id="site", permission_id=user_id, user_id=user_id, roles=("USER",)
            )
        )


@contextlib.asynccontextmanager
async def following(replica: Replica) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Feed the replica from the stream; yields what waits until it has everything."""
    progress = asyncio.Condition()

    async def handle(messages: Sequence[Message]) -> None:
        async with progress:
            await replica.running.follow(messages)
            progress.notify_all()

    follower = Follower(replica.client, stream.STREAM, handle)
    task = asyncio.create_task(follower.run())

    async def caught_up() -> None:
        last = (await replica.client.jetstream().stream_info(stream.STREAM)).state.last_seq
        async with progress:
            await progress.wait_for(lambda: replica.running.followed >= last)

    yield caught_up
    await caught_up()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def messages_of(client: Client, *, after: int = 0) -> list[Message]:
    """Everything in the stream behind this sequence, in order."""
    js = client.jetstream()
    state = (await js.stream_info(stream.STREAM)).state
    found = []
    for sequence in range(max(state.first_seq, after + 1), state.last_seq + 1):
        raw = await js.get_msg(stream.STREAM, seq=sequence)
        found.append(Message(raw.subject or "", sequence, raw.data or b"", raw.headers or {}))
    return found


async def events_of(client: Client) -> list[object]:
    """The published events in the stream, in order."""
    decoded = [Catalogue(*EVENTS).decode(m.subject, m.data) for m in await messages_of(client)]
    return [event for event in decoded if event is not None]


Replicas = tuple[Replica, Replica]
