"""What a start and an end are as one atomic batch; pure.

    start, accepted:  lock of the identification · mark of the start key · SessionStarted
      of OCPP 2.x:    before these the mark of the transaction's charge
    start, refused:   mark of the start key · StartRefused
    start, again:     the same as accepted, in a stream that was lost
    end:              lock of the identification · mark of the transaction · SessionEnded
    end, told later:  mark of the correction · SessionCorrected
    first register:   its mark alone, where the start had none

At an open charger nothing is locked, nor is a group card. The event comes last, so the
sequence that the batch is acknowledged with is the transaction id.
"""

from __future__ import annotations

from typing import Any

import msgspec

from chargekey_common import tracing
from chargekey_common.jetstream import OutMessage
from chargekey_common.published.envelope import Attributes, PublishedEvent, headers
from chargekey_common.published.sessions import (
    Inputs,
    SessionCorrected,
    SessionEnded,
    SessionStarted,
    StartRefused,
)
from chargekey_gateway.decision import decided
from chargekey_gateway.sessions import keys
from chargekey_gateway.sessions.running import Beginning, Lock, RunningSession, locked_by
from chargekey_gateway.sessions.stream import (
    FREE,
    HELD,
    SOURCE,
    charge_subject,
    correction_subject,
    lock_subject,
    register_subject,
    start_subject,
    stop_subject,
)


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What a charger says of a start, without the token. Nanoseconds and watt-hours.

    `charge_key` is there in OCPP 2.x, where one transaction holds one charge and may hold
    several refused starts. `offline` where the charger had no connection (R23).
    `meter_start` is None where it does not say.
    """

    key: str
    charger_id: str
    installation_id: str
    connector: int
    started_at: int
    meter_start: int | None
    ocpp_transaction_id: str | None = None
    charge_key: str | None = None
    offline: bool = False


class End(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of an end. Nanoseconds and watt-hours.

    `presumed` where the charger does not say it. `actor` is who does where it is not the
    charger.
    """

    ended_at: int
    meter_stop: int
    reason: str
    presumed: bool = False
    messages_missing: int = 0
    actor: str | None = None


class Batch(msgspec.Struct, frozen=True):
    """Messages to be stored all or none. `locks` is whose lock changes, to `held`.

    `start_key` is the one of a start.
    """

    messages: tuple[OutMessage, ...]
    event: SessionStarted | StartRefused | SessionEnded | SessionCorrected
    locks: str | None = None
    held: bool = False
    start_key: str | None = None


def start_batch(start: Start, inputs: Inputs, lock: Lock, *, now: int) -> Batch:
    """Decide the start and put it into a batch; `lock` is the identification's last one.

    A charger's clock that is ahead counts as now: what began later than anything that
    follows would be left behind by no other start, and no reading would be its own.
    """
    inputs = msgspec.structs.replace(inputs, charging_elsewhere=lock.held)
    decision = decided(inputs)
    mark = OutMessage(start_subject(start.key), b"", expected_subject_sequence=0)
    event_id = keys.start_event_id(start.key)
    # Any: the fields that both events have, of every type.
    told: dict[str, Any] = {
        "installation_id": start.installation_id,
        "charger_id": start.charger_id,
        "session_id": keys.session_id(start.key),
        "connector": start.connector,
        "started_at": min(start.started_at, now),
        "meter_start": start.meter_start or 0,
        "meter_unknown": start.meter_start is None,
        "ocpp_transaction_id": start.ocpp_transaction_id,
        "status": decision.status,
        "reason": decision.reason,
        "inputs": inputs,
        "user_id": decision.user_id,
        "identification_id": decision.identification_id,
        "offline": start.offline,
    }
    if not decision.accepted:
        refused = StartRefused(**told)
        return Batch((mark, _message(refused, event_id, start.charger_id, now)), refused)
    started = SessionStarted(**told, valid_until=decision.valid_until)
    batch = _started(started, start.key, lock, now=now)
    if start.charge_key is None:
        return batch
    charge = OutMessage(
        charge_subject(start.charge_key), start.key.encode(), expected_subject_sequence=0
    )
    return msgspec.structs.replace(batch, messages=(charge, *batch.messages))


def started_again_batch(transaction_id: int, beginning: Beginning, lock: Lock) -> Batch:
    """Tell of a session that a lost stream knew of; `lock` is the identification's now."""
    event = msgspec.structs.replace(beginning.event, transaction_id=transaction_id)
    return _started(event, beginning.start_key, lock, now=event.inputs.at)


def _started(started: SessionStarted, start_key: str, lock: Lock, *, now: int) -> Batch:
    mark = OutMessage(start_subject(start_key), b"", expected_subject_sequence=0)
    event_id = keys.start_event_id(start_key)
    messages = (mark, _message(started, event_id, started.charger_id, now))
    identification_id = locked_by(started)
    # Told again, it may find the lock held by a session that has begun since.
    if identification_id is None or lock.held:
        return Batch(messages, started, start_key=start_key)
    taken = _lock(identification_id, HELD, lock.sequence)
    return Batch((taken, *messages), started, identification_id, held=True, start_key=start_key)


def end_batch(session: RunningSession, end: End, lock: Lock, *, now: int) -> Batch:
    """Put the end into a batch that frees `lock`, if that is held (by this session).

    No session ends before it began, nor later than now, whatever a charger's clock says.
    """
    ended = SessionEnded(
        installation_id=session.installation_id,
        charger_id=session.charger_id,
        session_id=session.session_id,
        transaction_id=session.transaction_id,
        connector=session.connector,
        ended_at=_ended_at(session, end, now),
        meter_stop=end.meter_stop,
        reason=end.reason,
        user_id=session.user_id,
        identification_id=session.identification_id,
        presumed=end.presumed,
        messages_missing=end.messages_missing,
    )
    mark = OutMessage(stop_subject(session.transaction_id), b"", expected_subject_sequence=0)
    event_id = keys.end_event_id(session.transaction_id)
    messages = (mark, _message(ended, event_id, session.charger_id, now, end.actor))
    if session.identification_id is None or not lock.held:
        return Batch(messages, ended)
    freed = _lock(session.identification_id, FREE, lock.sequence)
    return Batch((freed, *messages), ended, session.identification_id)


def correction_batch(session: RunningSession, end: End, *, now: int) -> Batch:
    """Tell what the charger says of an end that was presumed."""
    corrected = SessionCorrected(
        installation_id=session.installation_id,
        charger_id=session.charger_id,
        session_id=session.session_id,
        transaction_id=session.transaction_id,
        ended_at=_ended_at(session, end, now),
        meter_stop=end.meter_stop,
        reason=end.reason,
    )
    subject = correction_subject(session.transaction_id)
    mark = OutMessage(subject, b"", expected_subject_sequence=0)
    event_id = keys.correction_event_id(session.transaction_id)
    return Batch((mark, _message(corrected, event_id, session.charger_id, now)), corrected)


def first_register(transaction_id: int, register: int) -> OutMessage:
    """Return the mark of the first register, in watt-hours, of a transaction."""
    subject = register_subject(transaction_id)
    return OutMessage(subject, str(register).encode(), expected_subject_sequence=0)


def _ended_at(session: RunningSession, end: End, now: int) -> int:
    return max(min(end.ended_at, now), session.started_at)


def _lock(identification_id: str, state: bytes, expected: int) -> OutMessage:
    return OutMessage(lock_subject(identification_id), state, expected_subject_sequence=expected)


def _message(
    event: PublishedEvent, event_id: str, charger_id: str, now: int, actor: str | None = None
) -> OutMessage:
    about = Attributes(
        id=event_id,
        at=now,
        cause="",
        actor=actor or f"charger:{charger_id}",
        trace=tracing.current(),
    )
    return OutMessage(
        event.subject, msgspec.json.encode(event), headers(event, about, source=SOURCE)
    )
