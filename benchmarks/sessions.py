"""Sessions of a population, as a gateway writes them: everybody charges at home, once."""

from __future__ import annotations

import uuid

import msgspec

from benchmarks.population import Population
from chargekey_common.jetstream import OutMessage
from chargekey_common.published.envelope import Attributes, headers
from chargekey_common.published.sessions import Inputs, SessionStarted, SessionUpdated
from chargekey_gateway.sessions.batches import Batch, End, Start, end_batch, start_batch
from chargekey_gateway.sessions.keys import update_event_id
from chargekey_gateway.sessions.running import NO_LOCK, Lock, RunningSession, running_session
from chargekey_gateway.sessions.stream import SOURCE
from chargekey_gateway.view.view import SERVICES

AT = 1_700_000_000_000_000_000
A_QUARTER = 15 * 60 * 10**9  # of an hour, between two readings
_POSITIONS = tuple(f"{service}:00000000000000f1:1000000" for service in SERVICES)


class NotBegunError(AssertionError):
    """Somebody was refused who may charge."""


def begin(population: Population, number: int) -> Batch:
    """Return how the identification's session begins."""
    charger = population.charger_of(number)
    start = Start(
        key=uuid.UUID(int=number).hex,
        charger_id=population.charger_id(charger),
        installation_id=population.installation_id(charger),
        connector=1,
        started_at=AT,
        meter_start=number,
    )
    inputs = Inputs(
        at=AT,
        token_type="RFID",  # noqa: S106 - a type
        identification_id=population.identification_id(number),
        identification_status="ACTIVE",
        user_id=population.user_id(population.holder(number)),
        permission_id=population.user_id(population.holder(number)),
        permission_on="installation",
        positions=_POSITIONS,
    )
    return start_batch(start, inputs, NO_LOCK, now=AT)


def running(sequence: int, batch: Batch) -> RunningSession:
    """Return the session that begins with what is stored at `sequence`."""
    if not isinstance(batch.event, SessionStarted):
        raise NotBegunError
    return running_session(sequence, batch.event)


def end(session: RunningSession, lock: Lock) -> Batch:
    """Return how it ends, some hours later."""
    ended = End(
        ended_at=AT + 16 * A_QUARTER, meter_stop=session.meter_start + 20_000, reason="Local"
    )
    return end_batch(session, ended, lock, now=ended.ended_at)


def reading(session: RunningSession, number: int) -> OutMessage:
    """Return what its meter says for the `number`th time."""
    at = AT + number * A_QUARTER
    event = SessionUpdated(
        installation_id=session.installation_id,
        charger_id=session.charger_id,
        session_id=session.session_id,
        transaction_id=session.transaction_id,
        connector=session.connector,
        at=at,
        meter=session.meter_start + number * 1_000,
        power=11_000,
        user_id=session.user_id,
        identification_id=session.identification_id,
    )
    about = Attributes(
        id=update_event_id(session.transaction_id, at),
        at=at,
        cause="",
        actor=f"charger:{session.charger_id}",
    )
    told = headers(event, about, source=SOURCE)
    return OutMessage(event.subject, msgspec.json.encode(event), told)
