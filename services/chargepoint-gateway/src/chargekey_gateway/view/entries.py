"""The entries of the view: small, linked directly, changed in place by the view alone.

Nothing here links back, so the entries form no cycles and the garbage collector
need not look at them (`gc=False`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from chargekey_common.published.access import Override

# "No end" as a number, so that a deadline is one comparison of integers.
NEVER = 2**63 - 1


class Grant(msgspec.Struct, frozen=True, gc=False):
    """A permission to charge on `target`, the id of a charger or an installation.

    `ends` is exclusive, in nanoseconds since the epoch; `NEVER` for no end.
    """

    target: str
    on: Literal["charger", "installation"]
    permission_id: str
    ends: int


class User(msgspec.Struct, gc=False):
    """A user as far as charging goes; may have grants before identity tells of him.

    `blocks` holds the scopes of his blocks: an installation's id for a LOCAL user,
    None for the whole platform. `grants` are sorted, the one that ends last first;
    `usable` are the same, or none while he is blocked.
    """

    id: str
    blocks: frozenset[str | None] = frozenset()
    grants: tuple[Grant, ...] = ()
    usable: tuple[Grant, ...] = ()


class Identification(msgspec.Struct, gc=False):
    """What a user presents. `deadline` is 0 unless ACTIVE, else its exclusive end."""

    id: str
    user: User
    type: str
    status: str
    valid_until: int | None
    deadline: int


class Installation(msgspec.Struct, gc=False):
    """A site. Until access has told its setting, something must be presented."""

    id: str
    authorisation_required: bool = True


class Charger(msgspec.Struct, gc=False):
    """A charger. One object for its whole life, so a connection may hold on to it.

    `registered` is false while access has not (or, in a new generation, not yet
    again) told of it.
    """

    id: str
    installation: Installation
    ocpp_identity: str = ""
    authorisation_override: Override = "INHERIT"
    identification_types: frozenset[str] = frozenset()
    password_hash: str | None = None
    registered: bool = False

    @property
    def authorisation_required(self) -> bool:
        """The effective requirement: the charger's own deviation, else the site's (R1)."""
        if self.authorisation_override == "INHERIT":
            return self.installation.authorisation_required
        return self.authorisation_override == "REQUIRED"
