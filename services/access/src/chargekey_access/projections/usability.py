"""Who can use which charger, and what lets him.

By what access knows: whether the person has anything to present, and whether he is
blocked everywhere, is identity's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

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


def of_holder(
    directory: Directory,
    permissions: Iterable[tuple[str, Permission]],
    user_id: str | None,
    *,
    now: int,
) -> Callable[[str], Usable | None]:
    """Return what tells of a charger, by its id, whether a holder of those can use it.

    An open charger counts where he holds anything at its site. Where an operator decides,
    permissions do not.
    """
    sites = directory.sites
    mine: set[str] = set()
    rights: defaultdict[Target, tuple[tuple[str, Permission], ...]] = defaultdict(tuple)
    for key, permission in permissions:
        if permission.counts(now=now):
            mine.add(permission.target.installation_id)
            if "USER" in permission.roles:
                rights[permission.target] += ((key, permission),)

    def usable(charger_id: str) -> Usable | None:
        charger = sites.charger(charger_id)
        here = charger.installation_id
        if here not in mine:
            return None
        site = sites.installation(here)
        held = rights[Target(here)] + rights[Target(here, charger_id)]
        blocked = user_id in directory.holdings.owners(here).blocked
        if blocked or site.authentication_type == "EXTERNAL":
            held = ()
        key = charger.authorisation_required(site)
        return Usable(key, Rights(held)) if held or not key else None

    return usable


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
