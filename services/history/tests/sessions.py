"""Sessions and refusals as the gateway publishes them."""

from __future__ import annotations

import uuid

import msgspec
from nats.aio.client import Client
from nats.js.api import StreamConfig

from chargekey_common.published.envelope import Attributes, PublishedEvent, headers
from chargekey_common.published.sessions import (
    AuthorizationRefused,
    Inputs,
    SessionEnded,
    SessionStarted,
    StartRefused,
)
from chargekey_common.testing.streams import make_stream
from chargekey_history.projections.past import Event, Fact

FIRST = 217_000_000  # the sequence a new SESSIONS stream begins with, or thereabouts
NOON = 1_772_539_200_000_000_000  # 2026-03-03T12:00Z
HOUR = 3_600 * 10**9


def started(session: str, **changes: object) -> SessionStarted:
    event = SessionStarted(
        installation_id="home",
        charger_id="garage",
        session_id=session,
        connector=1,
        started_at=NOON,
        meter_start=1_000,
        status="Accepted",
        reason="installation_permission",
        inputs=Inputs(at=NOON),
        user_id="anna",
        identification_id="anna-pin",
    )
    return msgspec.structs.replace(event, **changes)


def ended(session: str, transaction_id: int, **changes: object) -> SessionEnded:
    event = SessionEnded(
        installation_id="home",
        charger_id="garage",
        session_id=session,
        transaction_id=transaction_id,
        connector=1,
        ended_at=NOON + HOUR,
        meter_stop=8_400,
        reason="Local",
        user_id="anna",
        identification_id="anna-pin",
    )
    return msgspec.structs.replace(event, **changes)


def refused(**changes: object) -> AuthorizationRefused:
    event = AuthorizationRefused(
        installation_id="home",
        charger_id="garage",
        status="Blocked",
        reason="user_blocked",
        inputs=Inputs(at=NOON),
        user_id="anna",
        identification_id="anna-pin",
    )
    return msgspec.structs.replace(event, **changes)


def start_refused(session: str, **changes: object) -> StartRefused:
    event = StartRefused(
        installation_id="home",
        charger_id="garage",
        session_id=session,
        connector=1,
        started_at=NOON,
        meter_start=1_000,
        status="Invalid",
        reason="identification_unknown",
        inputs=Inputs(at=NOON),
    )
    return msgspec.structs.replace(event, **changes)


def fact(event: Event, sequence: int, *, event_id: str = "", at: int = NOON) -> Fact:
    return Fact(event, event_id or f"event-{sequence}", at, sequence)


class Stream:
    """The SESSIONS stream: events, and the gateway's marks between them."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._js = client.jetstream()

    async def make(self, *, first: int = FIRST) -> None:
        config = StreamConfig(name="SESSIONS", subjects=["sessions.v1.>"], first_seq=first)
        await make_stream(self._js, config)

    async def make_again(self, *, first: int) -> None:
        await self._js.delete_stream("SESSIONS")
        await self.make(first=first)

    async def publish(self, event: PublishedEvent, *, event_id: str = "", at: int = NOON) -> int:
        """Store a mark and the event behind it; return the event's sequence."""
        await self._js.publish("sessions.v1.lock.anna-pin", b"held")
        about = Attributes(
            id=event_id or str(uuid.uuid4()), at=at, cause="", actor="charger:garage"
        )
        return await self.publish_raw(
            event.subject,
            msgspec.json.encode(event),
            headers(event, about, source="chargepoint-gateway"),
        )

    async def publish_raw(self, subject: str, payload: bytes, about: dict[str, str]) -> int:
        return (await self._js.publish(subject, payload, headers=about)).seq
