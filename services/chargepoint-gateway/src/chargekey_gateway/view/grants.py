"""Who may charge where: permissions, partners and blocks at a site, from the ACCESS stream."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from chargekey_common.published import access
from chargekey_common.published.envelope import PublishedEvent
from chargekey_gateway.view.entries import (
    NEVER,
    Charger,
    Grant,
    Installation,
    Partner,
    Right,
    User,
    ranked,
)
from chargekey_gateway.view.people import RIGHTS_SHARED, MalformedEventError, People
from chargekey_gateway.view.saved import SavedGrant, SavedGrants
from chargekey_gateway.view.sites import Sites

# Whoever has one of these may stop what charges there (R22).
_CARE = frozenset({"OWNER", "SERVICE", "OPERATOR"})
_NOWHERE: frozenset[str] = frozenset()
# Of those who have lost their permission on a thing, how many are remembered there: chargers'
# own lists may say no to them. The caches were emptied when they lost it.
MOST_DEPARTED = 200


class Grants:
    """What people hold, themselves and as members of partners. Every method is plain memory."""

    def __init__(self, people: People, sites: Sites) -> None:
        self._people = people
        self._sites = sites
        self._right = lru_cache(RIGHTS_SHARED)(_right)
        self._partners: dict[str, Partner] = {}
        self._members: dict[str, dict[str, User]] = {}  # by partner
        # The holders of permissions on a charger, by charger and permission.
        self._on_chargers: dict[str, dict[str, User | Partner]] = {}
        # What gives somebody the care of a place, by holder and permission: few have any.
        self._care: dict[str, dict[str, Grant]] = {}
        # By the id of a charger or installation; and back, by that of a user.
        self._holders: dict[str, dict[str, User]] = {}
        self._departed: dict[str, dict[str, User]] = {}
        self._departed_from: dict[str, frozenset[str]] = {}
        # A table, since a view is filled with a million of these.
        self.applied: Mapping[type[PublishedEvent], Callable[[Any], None]] = {
            access.PermissionGranted: self._grant,
            access.PermissionChanged: self._grant,
            access.PermissionRevoked: self._revoke,
            access.PartnerMemberAdded: self._join,
            access.PartnerMemberRemoved: self._leave,
            access.UserBlockedAtInstallation: self._block,
            access.UserUnblockedAtInstallation: self._unblock,
            access.ChargerMoved: self._drop_all_on,
            access.UserForgotten: self._forget,
        }

    def holders(self, target: str) -> Collection[User]:
        """Return who holds a permission on just this charger or installation."""
        return self._holders.get(target, {}).values()

    def departed(self, target: str) -> Collection[User]:
        """Return who held one there once: the last few, who left last at the end."""
        return self._departed.get(target, {}).values()

    def holders_on(self, charger_id: str) -> Collection[User | Partner]:
        """Return who, also which partners, holds a permission on just this charger; some twice."""
        return self._on_chargers.get(charger_id, {}).values()

    def of_partner(self, partner_id: str) -> tuple[Grant, ...]:
        """Return what the partner's members hold by it."""
        partner = self._partners.get(partner_id)
        return () if partner is None else partner.grants

    def concerned(self, user_id: str) -> frozenset[str]:
        """Return the chargers and installations where he holds a permission, or held one."""
        user = self._people.users.get(user_id)
        holds = frozenset() if user is None else _targets(user)
        return holds | self._departed_from.get(user_id, frozenset())

    def looks_after(self, user: User, charger: Charger, at: int) -> bool:
        """Whether he, or a partner he is in, has the care of the charger or its site at `at`."""
        if user.blocks or not user.verified or charger.installation.id in user.blocked_at:
            return False
        here = charger, charger.installation
        holders: tuple[User | Partner, ...] = (user, *user.partners)
        return any(
            at < grant.right.ends and any(grant.right.target is each for each in here)
            for holder in holders
            for grant in self._care.get(holder.id, {}).values()
        )

    def forget(self) -> None:
        """Drop all of it; what identity told of the users stays."""
        self._partners.clear()
        self._members.clear()
        self._on_chargers.clear()
        self._care.clear()
        self._holders.clear()
        self._departed.clear()
        self._departed_from.clear()
        for user in self._people.users.values():
            user.grants = ()
            user.partners = ()
            user.blocked_at = frozenset()
            self._people.arrange(user)

    def state(self) -> dict[str, object]:
        """Return all of it as plain values in a fixed order, for the digest."""
        return {
            "care": [
                (holder, _told(tuple(care[each] for each in sorted(care))))
                for holder, care in sorted(self._care.items())
            ],
            "holders": [
                (
                    user.id,
                    _told(user.grants),
                    sorted(user.blocked_at),
                    sorted((each.id, _rights_told(each.rights)) for each in user.presents),
                )
                for user in sorted(self._people.users.values(), key=lambda user: user.id)
                if user.grants or user.partners or user.blocked_at
            ],
            "partners": [
                (partner.id, _told(partner.grants), sorted(self._members.get(partner.id, ())))
                for partner in sorted(self._partners.values(), key=lambda partner: partner.id)
            ],
        }

    def saved(self) -> SavedGrants:
        """Return all of it, for a snapshot: users in the order in which people have them."""
        users = list(self._people.users.values())
        grants = [grant for user in users for grant in user.grants]
        places = {each.id: place for place, each in enumerate(self._sites.targets())}
        return SavedGrants(
            held=[len(user.grants) for user in users],
            permission_ids=[grant.permission_id for grant in grants],
            ends=[grant.right.ends for grant in grants],
            targets=[places[grant.right.target.id] for grant in grants],
            blocked_at={
                place: list(user.blocked_at) for place, user in enumerate(users) if user.blocked_at
            },
            partners_of={
                place: [each.id for each in user.partners]
                for place, user in enumerate(users)
                if user.partners
            },
            partners={each.id: saved_grants(each.grants) for each in self._partners.values()},
            members={partner: list(users) for partner, users in self._members.items()},
            care={holder: saved_grants(care.values()) for holder, care in self._care.items()},
            departed={target: list(users) for target, users in self._departed.items()},
        )

    def restore(self, saved: SavedGrants) -> None:
        """Know what was saved; sites and people are restored already, and nothing is held."""
        users = list(self._people.users.values())
        targets = self._sites.targets()
        grants = list(
            map(
                Grant,
                saved.permission_ids,
                map(self._right, saved.ends, map(targets.__getitem__, saved.targets)),
            )
        )
        first = 0
        for user, several in zip(users, saved.held, strict=True):
            if several:
                user.grants = tuple(grants[first : first + several])
                self._people.arrange_unheard(user)
                for grant in user.grants:
                    self._index(grant, user)
                    self._holders.setdefault(grant.right.target.id, {})[user.id] = user
                first += several
        for partner_id, held in saved.partners.items():
            self.partner(partner_id).grants = tuple(self.restored(each) for each in held)
        for place, partners in saved.partners_of.items():
            users[place].partners = tuple(map(self.partner, partners))
            for target in _targets(users[place]):
                self._holders.setdefault(target, {})[users[place].id] = users[place]
        for place, blocked_at in saved.blocked_at.items():
            users[place].blocked_at = frozenset(blocked_at)
        for place in {*saved.partners_of, *saved.blocked_at}:
            self._people.arrange_unheard(users[place])
        self._restore_rare(saved)

    def restored(self, saved: SavedGrant) -> Grant:
        """Return a grant as it was saved, on what there is."""
        target = (
            self._sites.chargers[saved.target]
            if saved.on_charger
            else self._sites.installation(saved.target)
        )
        return Grant(saved.permission_id, self._right(saved.ends, target))

    def partner(self, partner_id: str) -> Partner:
        """Return the partner; one nobody told of yet is made, and nothing is lost."""
        known = self._partners.get(partner_id)
        if known is None:
            known = self._partners[partner_id] = Partner(partner_id)
        return known

    def _restore_rare(self, saved: SavedGrants) -> None:
        users = self._people.users
        self._members = {
            partner: {each: users[each] for each in members}
            for partner, members in saved.members.items()
        }
        for holder_id, care in saved.care.items():
            grants = list(map(self.restored, care))
            self._care[holder_id] = {each.permission_id: each for each in grants}
            for grant in grants:
                self._index(grant, self._partners.get(holder_id) or users[holder_id])
        for partner in self._partners.values():
            for grant in partner.grants:
                self._index(grant, partner)
        for target, departed in saved.departed.items():
            self._departed[target] = {each: users[each] for each in departed}
            for each in departed:
                self._departed_from[each] = self._departed_from.get(each, frozenset()) | {target}

    def _index(self, grant: Grant, holder: User | Partner) -> None:
        if grant.right.on_charger:
            self._on_chargers.setdefault(grant.right.target.id, {})[grant.permission_id] = holder

    def _holder(
        self, event: access.PermissionGranted | access.PermissionChanged | access.PermissionRevoked
    ) -> User | Partner:
        if event.partner_id is not None:
            return self.partner(event.partner_id)
        if event.user_id is None:
            raise MalformedEventError
        return self._people.user(event.user_id)

    def _grant(self, event: access.PermissionGranted | access.PermissionChanged) -> None:
        holder = self._holder(event)
        rest = self._without(holder, event.permission_id)
        if _CARE.isdisjoint(event.roles) and "USER" not in event.roles:
            self._set(holder, rest)
            return
        ends = NEVER if event.valid_until is None else event.valid_until
        if event.charger_id is None:
            right = self._right(ends, self._sites.installation(event.installation_id))
        else:
            right = self._right(ends, self._sites.charger(event.charger_id, event.installation_id))
        grant = Grant(event.permission_id, right)
        self._index(grant, holder)
        if not _CARE.isdisjoint(event.roles):
            self._care.setdefault(holder.id, {})[event.permission_id] = grant
        # No other role carries the right to charge.
        self._set(holder, (*rest, grant) if "USER" in event.roles else rest)

    def _revoke(self, event: access.PermissionRevoked) -> None:
        self._drop(self._holder(event), event.permission_id)

    def _drop(self, holder: User | Partner, permission_id: str) -> None:
        self._set(holder, self._without(holder, permission_id))

    def _drop_all_on(self, event: access.ChargerMoved) -> None:
        for permission_id, holder in list(self._on_chargers.get(event.charger_id, {}).items()):
            self._drop(holder, permission_id)

    def _without(self, holder: User | Partner, permission_id: str) -> tuple[Grant, ...]:
        care = self._care.get(holder.id, {})
        for grant in (*holder.grants, *care.values()):
            if grant.permission_id == permission_id and grant.right.on_charger:
                self._on_chargers[grant.right.target.id].pop(permission_id, None)
        if care.pop(permission_id, None) is not None and not care:
            del self._care[holder.id]
        return tuple(grant for grant in holder.grants if grant.permission_id != permission_id)

    def _set(self, holder: User | Partner, grants: tuple[Grant, ...]) -> None:
        if isinstance(holder, User):
            users = [holder]
        else:
            users = list(self._members.get(holder.id, {}).values())
        before = [_targets(user) for user in users]
        holder.grants = ranked(*grants)
        for user, targets in zip(users, before, strict=True):
            self._arrange(user, targets)

    def _arrange(self, user: User, before: frozenset[str]) -> None:
        """Work out anew what counts of what he holds, and where he is found as its holder.

        `before` are the targets of what he held.
        """
        now = _targets(user)
        for target in now - before:
            self._holders.setdefault(target, {})[user.id] = user
            self._departs(user, target, has=False)
        for target in before - now:
            del self._holders[target][user.id]
            self._departs(user, target, has=True)
        self._people.arrange(user)

    def _departs(self, user: User, target: str, *, has: bool) -> None:
        departed = self._departed.setdefault(target, {})
        if not has:
            if departed.pop(user.id, None) is not None:
                self._departed_from[user.id] -= {target}
            return
        departed[user.id] = user
        self._departed_from[user.id] = self._departed_from.get(user.id, frozenset()) | {target}
        if len(departed) > MOST_DEPARTED:
            oldest = next(iter(departed))
            del departed[oldest]
            self._departed_from[oldest] -= {target}

    def _join(self, event: access.PartnerMemberAdded) -> None:
        user, partner = self._people.user(event.user_id), self.partner(event.partner_id)
        members = self._members.setdefault(partner.id, {})
        if user.id not in members:  # told again, he manages it, or no longer
            members[user.id] = user
            before = _targets(user)
            user.partners = (*user.partners, partner)
            self._arrange(user, before)

    def _leave(self, event: access.PartnerMemberRemoved) -> None:
        self._part(event.partner_id, event.user_id)

    def _part(self, partner_id: str, user_id: str) -> None:
        user = self._members.get(partner_id, {}).pop(user_id, None)
        if user is not None:
            before = _targets(user)
            user.partners = tuple(each for each in user.partners if each.id != partner_id)
            self._arrange(user, before)

    def _block(self, event: access.UserBlockedAtInstallation) -> None:
        user = self._people.user(event.user_id)
        user.blocked_at |= {event.installation_id}
        self._people.arrange(user)

    def _unblock(self, event: access.UserUnblockedAtInstallation) -> None:
        user = self._people.user(event.user_id)
        user.blocked_at -= {event.installation_id}
        self._people.arrange(user)

    def _forget(self, event: access.UserForgotten) -> None:
        user = self._people.user(event.user_id)
        for grant in (*user.grants, *self._care.get(user.id, {}).values()):
            self._drop(user, grant.permission_id)
        for partner in user.partners:
            self._part(partner.id, user.id)
        user.blocked_at = frozenset()


def _targets(user: User) -> frozenset[str]:
    """Return what he holds permissions on, whether they count or not."""
    held = user.held
    return frozenset([grant.right.target.id for grant in held]) if held else _NOWHERE


def saved_grants(grants: Iterable[Grant]) -> list[SavedGrant]:
    """Return them as a snapshot has them."""
    return [
        SavedGrant(each.permission_id, each.right.ends, each.right.on_charger, each.right.target.id)
        for each in grants
    ]


def _told(grants: tuple[Grant, ...]) -> list[tuple[str, str, int]]:
    return [(each.permission_id, each.right.target.id, each.right.ends) for each in grants]


def _rights_told(rights: tuple[Right, ...]) -> list[tuple[str, int]]:
    return [(each.target.id, each.ends) for each in rights]


def _right(ends: int, target: Charger | Installation) -> Right:
    return Right(ends, isinstance(target, Charger), target)
