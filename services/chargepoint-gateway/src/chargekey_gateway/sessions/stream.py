"""The SESSIONS stream: its subjects and how the gateway declares it.

Beside the published events it holds six kinds of marks, each on a subject of its
own so that the stream itself can refuse a second one: the lock of an identification,
the start of a start key, the charge of a transaction of OCPP 2.x (its payload is the start
key), the stop of a transaction, the correction of a stop that was presumed, and the first
register of a transaction that began without one (its payload is the watt-hours).
"""

from __future__ import annotations

from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError as NothingThereError

from chargekey_common.jetstream import ensure_stream

STREAM = "SESSIONS"
SOURCE = "chargepoint-gateway"
LOCK_PREFIX = "sessions.v1.lock."
START_PREFIX = "sessions.v1.start."
REGISTER_PREFIX = "sessions.v1.register."

# Payloads of a lock: an identification is charging, or is not any more.
HELD = b"held"
FREE = b"free"

# In the batch of a start or an end the lock stands two before the event, whose
# sequence is the transaction id of a start.
LOCK_BEFORE_EVENT = 2

_SEQUENCES_SINCE = 1_577_836_800  # 2020-01-01 in seconds since the epoch
# More than can have been stored, here or by other replicas, and not come back by then.
_NOT_KNOWN = 10_000


def lock_subject(identification_id: str) -> str:
    """Return where the lock of an identification is."""
    return LOCK_PREFIX + identification_id


def start_subject(start_key: str) -> str:
    """Return where the mark of a start is."""
    return START_PREFIX + start_key


def charge_subject(charge_key: str) -> str:
    """Return where the mark of what began in a transaction of OCPP 2.x is."""
    return f"sessions.v1.charge.{charge_key}"


def correction_subject(transaction_id: int) -> str:
    """Return where the mark of a corrected stop is."""
    return f"sessions.v1.correction.{transaction_id}"


def stop_subject(transaction_id: int) -> str:
    """Return where the mark of a stop is."""
    return f"sessions.v1.stop.{transaction_id}"


def register_subject(transaction_id: int) -> str:
    """Return where the mark of a transaction's first register is."""
    return f"{REGISTER_PREFIX}{transaction_id}"


async def declare(js: JetStreamContext, *, now: int, replicas: int, last_known: int = 0) -> None:
    """Declare the stream or bring it in line; `now` in nanoseconds since the epoch.

    A new stream counts from the seconds since 2020, and above `last_known`, the last
    sequence known of one that was lost. So transaction ids are not given again: not
    as long as a gateway remembers, nor after that where no more than one message a
    second was stored on average. They stay below 2^31.
    """
    try:
        present = await js.stream_info(STREAM)
        first = present.config.first_seq
    except NothingThereError:
        first = max(1, now // 1_000_000_000 - _SEQUENCES_SINCE)
        if last_known:
            first = max(first, last_known + _NOT_KNOWN)
    config = StreamConfig(
        name=STREAM,
        subjects=["sessions.v1.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        num_replicas=replicas,
        first_seq=first,
        allow_atomic=True,
        allow_direct=False,  # a direct read may come from a replica that is behind
    )
    await ensure_stream(js, config)
