"""The entries of the view: small, linked directly, changed in place by the view alone.

The garbage collector need not look at them (`gc=False`): nothing links back but a user and
what he presents, and these let go of each other when it is forgotten. There is one object for
each installation and each charger for as long as the process lives, so that being at a place
is being that object.
"""

from __future__ import annotations

import operator

import msgspec

from chargekey_common.keyed_ids import KeyedId
from chargekey_common.published.access import (
    OnOperatorTimeout,
    OnViewBehind,
    Override,
    RunningSessions,
)
from chargekey_common.published.identity import IdentificationStatus, IdentificationType

# "No end" as a number, so that a deadline is one comparison of integers.
NEVER = 2**63 - 1


class Installation(msgspec.Struct, gc=False, eq=False):
    """A site. Until access has told its setting, something must be presented.

    `external` where the operator that manages it decides, and `on_operator_timeout` says who
    does where it does not answer. `on_block` and `on_revoke` say
    what becomes of running sessions (R12); `offline_unknown_ids` and `offline_pins` what a
    charger without a connection may do: serve who is in no list, know PINs at all. With
    `master_pass`, chargers of OCPP 2.x let who looks after them and may not charge stop (C16).
    A view that was not known to be complete for `view_bound_minutes` lets nobody charge by a
    permission, unless it is to go on by what it knows (`on_view_behind`).
    """

    id: str
    authorisation_required: bool = True
    external: bool = False
    managed_by: str | None = None
    overrides_allowed: bool = True
    on_block: RunningSessions = "STOP"
    on_revoke: RunningSessions = "FINISH"
    on_operator_timeout: OnOperatorTimeout = "DENY"
    offline_unknown_ids: bool = False
    offline_pins: bool = False
    master_pass: bool = False
    view_bound_minutes: int = 1440
    on_view_behind: OnViewBehind = "DENY"

    @property
    def overrides_count(self) -> bool:
        """Whether chargers may deviate: always, unless an operator does not allow it (R2)."""
        return self.managed_by is None or self.overrides_allowed


class Quirks(msgspec.Struct, frozen=True, gc=False):
    """What a charger's reader makes of a card's number before the charger sends it (R15)."""

    reversed: bool
    truncated: bool
    prefix: str


class Charger(msgspec.Struct, gc=False, eq=False):
    """A charger. One object for its whole life, so a connection may hold on to it.

    `registered` is false while access has not (or, in a new generation, not yet
    again) told of it. `by_permission` are the types with which a permission is all it
    takes: the enabled ones but for what takes a remote start besides, or none where the charger
    is open, an operator decides, or the view is older than the site allows.
    `moves` counts how often it was moved: what holds until the next move holds for these.
    """

    id: str
    installation: Installation
    ocpp_identity: str = ""
    authorisation_override: Override = "INHERIT"
    identification_types: frozenset[str] = frozenset()
    by_permission: frozenset[str] = frozenset()
    quirks: Quirks | None = None
    password_hash: str | None = None
    moves: int = 0
    registered: bool = False

    @property
    def authorisation_required(self) -> bool:
        """The effective requirement: the charger's own deviation, else the site's (R1, R2)."""
        if self.authorisation_override == "INHERIT" or not self.installation.overrides_count:
            return self.installation.authorisation_required
        return self.authorisation_override == "REQUIRED"


class Right(msgspec.Struct, frozen=True, gc=False):
    """The right to charge on `target`, of which `on_charger` tells what it is.

    `ends` is exclusive, in nanoseconds since the epoch; `NEVER` for no end. One object for all
    whose permissions come to the same, so that it is in the processor's caches when one taps.
    """

    ends: int
    on_charger: bool
    target: Charger | Installation

    @property
    def installation(self) -> Installation:
        """The site it is for."""
        return self.target.installation if isinstance(self.target, Charger) else self.target


class Grant(msgspec.Struct, frozen=True, gc=False):
    """A permission, and the right that it gives."""

    permission_id: str
    right: Right


# Of what ends together, what is on the charger comes first.
_RANK = operator.attrgetter("right.ends", "right.on_charger", "permission_id")
_RIGHT_RANK = operator.attrgetter("ends", "on_charger", "target.id")


def ranked(*grants: Grant) -> tuple[Grant, ...]:
    """Return the grants in the order in which the decision tries them: what ends last, first."""
    if len(grants) < 2:  # noqa: PLR2004 - nothing to sort, as with most people
        return grants
    return tuple(sorted(grants, key=_RANK, reverse=True))


class Partner(msgspec.Struct, gc=False):
    """An organisation, whose every member holds its `grants`, which are ranked (R8)."""

    id: str
    grants: tuple[Grant, ...] = ()


class User(msgspec.Struct, gc=False, eq=False):
    """A user as far as charging goes; may have grants before identity tells of him.

    `blocks` holds the scopes of identity's blocks: an installation's id for a LOCAL
    user, None for the whole platform; either refuses him everywhere. `blocked_at` are
    the installations where access blocks him, and only there. What he is given does not
    count unless he is `verified`: a PENDING user is not, nor is one who was erased.
    `grants` are his own, ranked. A LOCAL user is `local_to` his installation. `presents` are
    his identifications, in the order in which they were added.
    """

    id: str
    local_to: str | None = None
    blocks: frozenset[str | None] = frozenset()
    verified: bool = True
    blocked_at: frozenset[str] = frozenset()
    grants: tuple[Grant, ...] = ()
    partners: tuple[Partner, ...] = ()
    presents: tuple[Identification, ...] = ()

    def __repr__(self) -> str:
        """Say who: his identifications lead back to him."""
        return f"User({self.id!r})"

    @property
    def held(self) -> tuple[Grant, ...]:
        """His grants and his partners', ranked, whether they count or not."""
        if not self.partners:
            return self.grants
        return ranked(*self.grants, *(grant for each in self.partners for grant in each.grants))

    @property
    def rights(self) -> tuple[Right, ...]:
        """What counts of what he holds, ranked; each once, whoever gave it to him how often."""
        held = self.held
        if not held or self.blocks or not self.verified:
            return ()
        if len(held) == 1 and not self.blocked_at:  # as with most people
            return (held[0].right,)
        rights = {
            grant.right for grant in held if grant.right.installation.id not in self.blocked_at
        }
        return tuple(sorted(rights, key=_RIGHT_RANK, reverse=True))


class Terms(msgspec.Struct, frozen=True, gc=False):
    """Of what type something presented is, and on what it counts. A million share some.

    `deadline` is 0 unless ACTIVE, else its exclusive end. At `site` only where there is one.
    """

    type: IdentificationType
    status: IdentificationStatus
    valid_until: int | None
    deadline: int
    site: Installation | None = None
    group_id: str | None = None
    group_card: bool = False


class Identification(msgspec.Struct, gc=False, eq=False):
    """What a user presents, found by `keyed_id` once that was told.

    At readers that truncate a longer card's number, by `alias` too. `rights` are its user's, one
    object for all who have the same: a tap touches neither him nor what he was granted, which
    with a million users would be a cache miss each.
    """

    id: str
    user: User
    terms: Terms
    keyed_id: KeyedId | None = None
    alias: KeyedId | None = None
    rights: tuple[Right, ...] = ()

    def __repr__(self) -> str:
        """Say which, and nothing of what finds it."""
        return f"Identification({self.id!r})"

    @property
    def type(self) -> IdentificationType:
        """What it is: a card, a PIN, or whatever else somebody has."""
        return self.terms.type

    @property
    def is_short(self) -> bool:
        """Whether it is a card of four bytes, which truncating readers make of longer ones."""
        return self.type == "RFID" and self.alias is None
