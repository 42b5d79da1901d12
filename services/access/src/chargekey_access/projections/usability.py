"""Who can use which charger, and what lets him.

By what access knows: whether the person has anything to present, and whether he is
blocked everywhere, is identity's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

import msgspec

from chargekey_access.domain.permission import Permission, Target
from chargekey_access.projections.directory import Directory


class Rights(msgspec.Struct, frozen=True):
    """The permissions that let somebody charge, with their ids."""

    held: tuple[tuple[str, Permission], ...] = ()

    @property
    def permission_ids(self) -> list[str]:
        """Their ids alone."""
        return [key for key, _ in self.held]

    @property
    def valid_until(self) -> int | None:
        """When the last of them ends, exclusive, in nanoseconds; None where one has no end."""
        ends = [each.valid_until for _, each in self.held if each.valid_until is not None]
        return max(ends) if ends and len(ends) == len(self.held) else None

    @property
    def partner_id(self) -> str | None:
        """The partner they come from, where none is the person's own."""
        partners = [each.subject.partner_id for _, each in self.held]
        return None if None in partners else next(iter(partners), None)


class Usable(msgspec.Struct, frozen=True):
    """That somebody can use a charger: with the key something must be presented there."""

    key: bool
    rights: Rights


class Reach:
    """Which chargers a holder of these permissions can use, at `now`.

    An open charger counts where he holds anything at its site. Where an operator decides,
    permissions do not.
    """

    def __init__(
        self,
        directory: Directory,
        permissions: Iterable[tuple[str, Permission]],
        user_id: str | None,
        *,
        now: int,
    ) -> None:
        self._directory = directory
        self._user_id = user_id
        self._mine: set[str] = set()
        self._rights: dict[Target, tuple[tuple[str, Permission], ...]] = {}
        for key, permission in permissions:
            if permission.counts(now=now):
                here = permission.target
                self._mine.add(here.installation_id)
                if "USER" in permission.roles and self._lets(here.installation_id):
                    self._rights[here] = (*self._rights.get(here, ()), (key, permission))

    def chargers(self) -> AbstractSet[str]:
        """Return the ids of all that he can use, and maybe of some that he cannot."""
        sites = self._directory.sites
        return frozenset[str]().union(
            *map(sites.open_at, self._mine),
            *(sites.at(each.installation_id) for each in self._rights if not each.charger_id),
            (each.charger_id for each in self._rights if each.charger_id),
        )

    def usable(self, charger_id: str) -> Usable | None:
        """Tell of a charger whether, and how, he can use it; raises ChargerUnknownError."""
        charger = self._directory.sites.charger(charger_id)
        here = charger.installation_id
        if here not in self._mine:
            return None
        site = self._directory.sites.installation(here)
        held = tuple(
            right
            for target in (Target(here), Target(here, charger_id))
            for right in self._rights.get(target, ())
        )
        key = charger.authorisation_required(site)
        return Usable(key, Rights(held)) if held or not key else None

    def _lets(self, installation_id: str) -> bool:
        """Return whether what he holds there lets him: he is not blocked, no operator decides."""
        if self._user_id in self._directory.holdings.owners(installation_id).blocked:
            return False
        return self._directory.sites.installation(installation_id).authentication_type != "EXTERNAL"


def users_of(directory: Directory, charger_id: str, *, now: int) -> Mapping[str, Rights]:
    """Return who holds the right to charge there, by user id; ChargerUnknownError.

    Members of a partner hold what it holds. Nobody does where an operator decides.
    """
    charger = directory.sites.charger(charger_id)
    site = directory.sites.installation(charger.installation_id)
    if site.authentication_type == "EXTERNAL":
        return {}
    above = Target(charger.installation_id)
    found: defaultdict[str, tuple[tuple[str, Permission], ...]] = defaultdict(tuple)
    for target in (above, Target(charger.installation_id, charger_id)):
        for key, permission in directory.holdings.on(target):
            if "USER" in permission.roles and permission.counts(now=now):
                for user_id in _people(directory, permission):
                    found[user_id] += ((key, permission),)
    return {user_id: Rights(held) for user_id, held in found.items()}


def _people(directory: Directory, permission: Permission) -> Iterable[str]:
    subject = permission.subject
    if subject.partner_id is not None:
        return directory.partners.partner(subject.partner_id).members
    return (subject.user_id,) if subject.user_id is not None else ()
