"""Commands: what this side may ask of a charger, in one vocabulary for all OCPP versions.

Each version carries them out in its own words, one file an action. They travel as they
are from the replica that is asked to the one that has the charger, but for
`SendLocalList`: it holds readable codes, and only whoever has the connection sends it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

# The CALLERRORs that say of an action that there is none, and not how it went, in every version.
_NO_SUCH_ACTION = frozenset({"NotImplemented", "NotSupported"})
# What a charger is started with where nobody has to present anything; no code can be this.
ANONYMOUS = "ANONYMOUS"


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something a charger shall do. `connector` 0 or None is the charger as a whole.

    In OCPP 2.x `connector` is the number of the EVSE: what one vehicle charges at.
    """

    def __repr__(self) -> str:
        """Show the class only: tokens are codes, and reprs end up in logs."""
        return type(self).__name__


class RemoteStart(Command, frozen=True, kw_only=True, tag=True):
    """Begin a transaction as if `token` had been presented; `group` as it is told to chargers.

    `connector` None leaves the choice to the charger. `request_id` comes back in OCPP 2.x
    with the transaction (remoteStartId). `identification_id` is whose token it is, where it is
    anybody's, and `asked_at` when that began to count (`remote_starts`). `allowed_by` is the
    operator that had it sent and so allows it, under its own name `reference` for that.
    """

    token: str
    connector: int | None = None
    group: str | None = None
    request_id: int = 0
    identification_id: str | None = None
    asked_at: int = 0
    allowed_by: str | None = None
    reference: str | None = None


class RemoteStop(Command, frozen=True, kw_only=True, tag=True):
    """End a transaction: by the id it got from us (1.6) or by the charger's own (2.x)."""

    transaction_id: int
    ocpp_transaction_id: str | None = None


class ClearCache(Command, frozen=True, kw_only=True, tag=True):
    """Forget what was accepted before; a charger without a cache says REJECTED."""


class GetLocalListVersion(Command, frozen=True, kw_only=True, tag=True):
    """Tell which list is there: `version` 0 for none, no version where lists are not known."""


class ListEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who is in a local list. `status` in OCPP 1.6's words, `expires` exclusive, in ns.

    `code` is what the charger's reader sends, quirks included; `type` is ours. `group` as
    it is told to chargers.
    """

    code: str
    type: str
    status: str = "Accepted"
    expires: int | None = None
    group: str | None = None

    def __repr__(self) -> str:
        """Show nothing: it is a code."""
        return "ListEntry"


class SendLocalList(Command, frozen=True, kw_only=True, tag=True):
    """One message of a list: `full` replaces, else `entries` are put and `removed` taken.

    As many entries as the charger takes in one message. Nothing else than this is sent
    for `version`, unless `full` is followed by differentials of higher ones.
    """

    version: int
    full: bool
    entries: tuple[ListEntry, ...] = ()
    removed: tuple[ListEntry, ...] = ()


class ReadSettings(Command, frozen=True, kw_only=True, tag=True):
    """Tell settings by the version's own names: `LocalPreAuthorize`, `AuthCtrlr.Enabled`.

    In OCPP 2.x `component.variable`, each with `:instance` where it has one. No names
    stand for those that bear on who may charge. `ours` is for the system alone, which sees
    there what is nobody's to see.
    """

    names: tuple[str, ...]
    ours: bool = False


class ChangeSetting(Command, frozen=True, kw_only=True, tag=True):
    """Change one setting, named as above; `ours` is the system's own to change, and nobody's."""

    name: str
    value: str
    ours: bool = False


class Trigger(Command, frozen=True, kw_only=True, tag=True):
    """Send `message` (an action by its OCPP name) now."""

    message: str
    connector: int | None = None


class Reset(Command, frozen=True, kw_only=True, tag=True):
    """Start again: at once, or once nothing charges any more."""

    at_once: bool = False


class Unlock(Command, frozen=True, kw_only=True, tag=True):
    """Unlock a connector's cable."""

    connector: int


class ChangeAvailability(Command, frozen=True, kw_only=True, tag=True):
    """Serve vehicles, or none any more."""

    operative: bool
    connector: int | None = None


class Send(Command, frozen=True, kw_only=True, tag=True):
    """Any action of the charger's version, its payload held against the official schema."""

    action: str
    payload: dict[str, Any]


AnyCommand = (
    RemoteStart
    | RemoteStop
    | ClearCache
    | GetLocalListVersion
    | SendLocalList
    | ReadSettings
    | ChangeSetting
    | Trigger
    | Reset
    | Unlock
    | ChangeAvailability
    | Send
)


class Outcome(StrEnum):
    """What came of a command; from `REFUSED` on the charger gave no result.

    From `ACTION_UNKNOWN` on it was not asked.
    """

    ACCEPTED = "accepted"
    REBOOT_REQUIRED = "reboot_required"  # done, and counts after the next boot
    REJECTED = "rejected"
    NOT_SUPPORTED = "not_supported"  # the charger, or its version, has no such thing
    VERSION_MISMATCH = "version_mismatch"  # of a local list
    REFUSED = "refused"  # with a CALLERROR
    MALFORMED = "malformed"
    TIMED_OUT = "timed_out"
    DISCONNECTED = "disconnected"
    TOO_MANY_QUEUED = "too_many_queued"
    ACTION_UNKNOWN = "action_unknown"  # in this version, or not for this side to call
    PAYLOAD_INVALID = "payload_invalid"
    NOT_FOR_HERE = "not_for_here"  # not for people, or not for anybody


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of a command. `status` is the charger's own word, where it has one.

    Of REFUSED it is the code of the CALLERROR: one of the version's, or "GenericError".

    `version` answers GetLocalListVersion, `settings` ReadSettings (those that are not there
    are left out), `payload` Send. `where` tells of PAYLOAD_INVALID what is wrong in which
    place, in the words of the standard, never in those that were sent; `instead`, of
    NOT_FOR_HERE, why not and what to do instead.
    """

    outcome: Outcome
    status: str = ""
    version: int | None = None
    settings: dict[str, str] = {}
    payload: dict[str, Any] = {}
    where: str = ""
    instead: str = ""

    def __repr__(self) -> str:
        """Show the outcome only: settings and payloads may be secrets."""
        return f"Result({self.outcome})"

    @property
    def accepted(self) -> bool:
        """Whether the charger does, or will do, as it was told."""
        return self.outcome in {Outcome.ACCEPTED, Outcome.REBOOT_REQUIRED}

    @property
    def unsupported(self) -> bool:
        """Whether the charger, or its version, has no such thing: no trouble, and for good."""
        no_such = self.outcome is Outcome.REFUSED and self.status in _NO_SUCH_ACTION
        return no_such or self.outcome is Outcome.NOT_SUPPORTED
