"""Who may give and take which roles (R5)."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import get_args

from chargekey_access.domain.errors import RoleNotGrantableError
from chargekey_access.domain.events import Role

EVERY_ROLE: AbstractSet[Role] = frozenset(get_args(Role))


def grantable(
    at_installation: AbstractSet[Role], at_charger: AbstractSet[Role] = frozenset()
) -> AbstractSet[Role]:
    """Return the roles that whoever holds those may give and take.

    `at_installation` is what he holds on the installation, `at_charger` on the charger
    alone that it is about, if it is about one.
    """
    if "OWNER" in at_installation:
        return EVERY_ROLE
    roles: set[Role] = set()
    if "OWNER" in at_charger:
        roles |= {"USER", "OWNER"}
    if "OPERATOR" in at_installation:
        roles |= {"USER"}
    return roles


def require(
    may: AbstractSet[Role],
    *,
    before: Iterable[Role],
    after: Iterable[Role],
    other_end: bool = False,
) -> None:
    """Return where one who may give `may` may make the one set the other.

    With `other_end`, every role in either is touched. Raises RoleNotGrantableError.
    """
    had, wanted = set(before), set(after)
    touched = had | wanted if other_end else had ^ wanted
    if not touched <= may:
        raise RoleNotGrantableError
