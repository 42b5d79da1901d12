"""What a charger knows, in no version's words: tokens, verdicts, states, reasons."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum

import msgspec

from chargekey_stack.errors import CodeTooLongError

ACCEPTED = "Accepted"
INVALID = "Invalid"
# OCPP 1.6's CiString20; 2.x would take 36, but one person's code works at every charger.
LONGEST_CODE = 20

KEY_CODE = "KeyCode"
CARD = "ISO14443"
NO_AUTHORIZATION = "NoAuthorization"


class Token(msgspec.Struct, frozen=True):
    """What is presented; `type` in the words of OCPP 2.x, which 1.6 does not say."""

    code: str
    type: str

    @classmethod
    def of(cls, code: str) -> Token:
        """Return what a reader makes of `code`; raises CodeTooLongError."""
        check_code(code)
        return cls(code, KEY_CODE if code.startswith("#") else CARD)

    @property
    def key(self) -> tuple[str, str]:
        """What two equal tokens have in common: case never counts."""
        return self.code.casefold(), self.type

    def __repr__(self) -> str:
        """Show nothing: it is a code."""
        return "Token"


NOTHING = Token("", NO_AUTHORIZATION)


class Verdict(msgspec.Struct, frozen=True):
    """What is said of a token. `expires` exclusive, in nanoseconds since the epoch."""

    status: str
    expires: int | None = None
    group: str | None = None

    def at(self, now: int) -> Verdict:
        """Return what it says at `now`: who was accepted until earlier is expired."""
        if self.status == ACCEPTED and self.expires is not None and self.expires <= now:
            return Verdict("Expired", self.expires, self.group)
        return self


class State(StrEnum):
    """How the connector is, in the words of OCPP 1.6."""

    AVAILABLE = "Available"
    PREPARING = "Preparing"
    CHARGING = "Charging"
    SUSPENDED = "SuspendedEVSE"
    UNAVAILABLE = "Unavailable"


class Reason(StrEnum):
    """Why a transaction ended, in the words of OCPP 1.6."""

    LOCAL = "Local"
    REMOTE = "Remote"
    DE_AUTHORIZED = "DeAuthorized"
    SOFT_RESET = "SoftReset"
    HARD_RESET = "HardReset"
    POWER_LOSS = "PowerLoss"
    UNLOCKED = "UnlockCommand"


class Started(msgspec.Struct, frozen=True):
    """What a start was answered; `offline` where the charger has answered itself.

    In OCPP 1.6 the gateway numbers transactions, and -1 is one that has no number yet.
    """

    transaction_id: int | str
    status: str
    offline: bool = False

    @property
    def accepted(self) -> bool:
        """Whether it may charge."""
        return self.status == ACCEPTED


def check_code(code: str) -> None:
    """Raise CodeTooLongError for what no charger can present."""
    if len(code) > LONGEST_CODE:
        raise CodeTooLongError


def written(at: int) -> str:
    """Write an instant as OCPP does, in milliseconds."""
    seconds, rest = divmod(at, 10**9)
    text = dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest // 10**6:03d}Z"


def read(instant: str | None) -> int | None:
    """Read an instant; None stays None."""
    if instant is None:
        return None
    at = dt.datetime.fromisoformat(instant)
    return int(at.timestamp()) * 10**9 + at.microsecond * 1000
