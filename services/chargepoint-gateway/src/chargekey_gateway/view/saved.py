"""The view as plain values that a file can hold: what a snapshot is made of.

A million entries are read back by columns, in a third of the time of rows. What can be worked
out is not here. Whoever changes any of this counts `VERSION` up: an older file is not read.
"""

from __future__ import annotations

import msgspec

from chargekey_common.keyed_ids import KeyedId
from chargekey_common.published.access import Override
from chargekey_common.published.identity import IdentificationStatus, IdentificationType
from chargekey_gateway.view.entries import Installation, Quirks

VERSION = 2


class SavedGrant(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A grant; `target` is the id of a charger or an installation."""

    permission_id: str
    ends: int
    on_charger: bool
    target: str


class SavedCharger(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A charger at the installation of that id."""

    id: str
    installation: str
    ocpp_identity: str
    authorisation_override: Override
    identification_types: frozenset[str]
    quirks: Quirks | None
    password_hash: str | None
    moves: int
    registered: bool


class SavedTerms(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Of what type something presented is, and on what it counts, at the site of that id."""

    type: IdentificationType
    status: IdentificationStatus
    valid_until: int | None
    site: str | None
    group_id: str | None
    group_card: bool


class SavedIdentification(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An identification of the user of that id, as it was."""

    id: str
    user: str
    terms: SavedTerms
    keyed_id: bytes | None
    alias: bytes | None

    def __repr__(self) -> str:
        """Say which, and nothing of what finds it."""
        return f"SavedIdentification({self.id!r})"


class SavedSites(msgspec.Struct, frozen=True, array_like=True):
    """What stands where."""

    installations: list[Installation]
    chargers: list[SavedCharger]
    by_ocpp_identity: dict[str, str]
    password_hashes: dict[str, str]


class SavedPeople(msgspec.Struct, frozen=True, array_like=True):
    """Who presents what. Columns of users, then of what they present, user by user."""

    users: list[str]
    local_to: list[str | None]
    presented: list[int]  # how many each of them presents
    blocks: dict[int, list[str | None]]  # by a user's place
    unverified: list[int]
    ids: list[str]
    terms: list[int]  # places in what follows
    all_terms: list[SavedTerms]
    keyed_ids: list[KeyedId | None]
    aliases: list[KeyedId | None]
    keys: dict[str, tuple[KeyedId | None, KeyedId | None]]  # of what is still to come

    def __repr__(self) -> str:
        """Say nothing of what finds anything."""
        return "SavedPeople()"


class SavedGrants(msgspec.Struct, frozen=True, array_like=True):
    """Who may charge where. Columns of people's own grants, in the order of the users."""

    held: list[int]  # how many each of them holds
    permission_ids: list[str]
    ends: list[int]
    targets: list[int]  # places among installations, and behind them chargers
    blocked_at: dict[int, list[str]]  # by a user's place
    partners_of: dict[int, list[str]]
    partners: dict[str, list[SavedGrant]]
    members: dict[str, list[str]]
    care: dict[str, list[SavedGrant]]
    departed: dict[str, list[str]]


class SavedRights(msgspec.Struct, frozen=True, array_like=True):
    """What access told of a user, as it was."""

    grants: list[SavedGrant]
    partners: list[str]
    blocked_at: list[str]


class SavedPast(msgspec.Struct, frozen=True, array_like=True):
    """What things were, by their ids, until when."""

    since: int
    chargers: list[tuple[int, str, SavedCharger | None]]
    installations: list[tuple[int, str, Installation]]
    partners: list[tuple[int, str, list[SavedGrant]]]
    rights: list[tuple[int, str, SavedRights]]
    persons: list[tuple[int, str, list[str | None], bool]]
    cards: list[tuple[int, str, SavedIdentification | None]]
    erased: list[tuple[int, str]]


class SavedChanges(msgspec.Struct, frozen=True, array_like=True):
    """When something last changed for whom."""

    changed: dict[str, int]
    taken: dict[str, int]
    recoded: dict[str, int]


class SavedView(msgspec.Struct, frozen=True, array_like=True):
    """All of it, at `positions`."""

    positions: list[str]
    sites: SavedSites
    people: SavedPeople
    grants: SavedGrants
    changes: SavedChanges
    past: SavedPast
