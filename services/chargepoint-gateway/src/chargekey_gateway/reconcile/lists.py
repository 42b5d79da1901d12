"""Who belongs into which charger's list right now, worked out once for all that share it.

Nearly everybody at a site holds his permission on the site, so chargers of one site that
take the same types share what follows from it. Who holds one on a single charger is looked
at there alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from chargekey_gateway.reconcile import local_list
from chargekey_gateway.reconcile.local_list import GroupToken, Wish
from chargekey_gateway.view.entries import NEVER, Charger, Installation, Quirks, User
from chargekey_gateway.view.view import View

# What chargers of one site have in common whose lists are the same.
_Kind = tuple[frozenset[str], Quirks | None]


class Wanted(msgspec.Struct, frozen=True):
    """What a list should be, and until when it should.

    `entries` by identification, ranked, are those of the `belonging` that fit, `digest` is
    another one where they are. `marks` are theirs, one dictionary for all who have that list.
    """

    entries: Mapping[str, Wish]
    marks: dict[str, str]
    belonging: int
    digest: str
    ends: int


class _OfUser(msgspec.Struct, frozen=True, gc=False):
    """What one user has in a list, and until when."""

    wishes: Sequence[Wish]
    ends: int


class _Belonging:
    """Who belongs into a list, those first that matter most; what fits is kept for the next."""

    __slots__ = ("_fitting", "ends", "wishes")

    def __init__(self, wishes: Sequence[Wish]) -> None:
        self.wishes = wishes
        self.ends = _first_end(wishes)
        self._fitting: dict[tuple[int | None, int], Wanted] = {}

    def fitting(self, capacity: int | None, others: int) -> Wanted:
        known = self._fitting.get((capacity, others))
        if known is None:
            entries = local_list.fitting(self.wishes, capacity)
            digest = local_list.digest(entries, others)
            marks = {each: wish.mark for each, wish in entries.items()}
            known = Wanted(entries, marks, len(self.wishes), digest, self.ends)
            self._fitting[capacity, others] = known
        return known


class Lists:
    """Answers from the view; `forget` what has changed there. Not thread-safe."""

    def __init__(self, view: View, group_token: GroupToken) -> None:
        self._view = view
        self._group_token = group_token
        self._shared: dict[str, dict[_Kind, _Belonging]] = {}  # by site
        # What of that is each user's, by site: one who changes is looked at alone.
        self._of_users: dict[str, dict[_Kind, dict[str, _OfUser]]] = {}
        self._taken: dict[str, int] = {}  # by site
        # What `takes` was asked last: chargers of one site ask the same, one after the other.
        self._asked: tuple[Wanted | None, Mapping[str, str] | None] = None, None
        self._takes = False

    def forget(self, installation_id: str) -> None:
        """Work out anew, when it is asked for, what concerns this site."""
        self._of_users.pop(installation_id, None)
        self._shared.pop(installation_id, None)
        self._taken.pop(installation_id, None)

    def forget_user(self, user_id: str, targets: Iterable[str]) -> None:
        """Work out anew what these sites have to do with this user."""
        for target in targets:
            for of_users in self._of_users.get(target, {}).values():
                of_users.pop(user_id, None)
            self._shared.pop(target, None)
            self._taken.pop(target, None)

    def forget_all(self) -> None:
        """Work out everything anew."""
        self._of_users.clear()
        self._shared.clear()
        self._taken.clear()

    def wanted(self, charger: Charger, capacity: int | None, at: int) -> Wanted:
        """Return what the charger's list should be at `at`, nanoseconds since the epoch."""
        others = local_list.confusable(charger, self._view)
        return self._belonging(charger, at).fitting(capacity, others)

    def takes(self, wanted: Wanted, known: Mapping[str, str] | None) -> bool:
        """Whether a charger that has `known` is to lose something by what is `wanted`."""
        asked_wanted, asked_known = self._asked
        if wanted is not asked_wanted or known is not asked_known:
            update = local_list.update(wanted.entries, known, lambda _: True)
            self._takes = local_list.takes(update, known)
            self._asked = wanted, known
        return self._takes

    def taken(self, charger: Charger) -> int:
        """Return when something was last taken from anybody at the charger."""
        site = charger.installation
        known = self._taken.get(site.id)
        if known is None:
            known = self._taken[site.id] = self._last_taken(site)
        return max(known, self._last_taken(charger))

    def changes(self, charger: Charger) -> Iterable[int]:
        """Yield when anything last changed for each of those whom the charger knows."""
        changes = self._view.changes
        yield changes.changed(charger.id)
        yield changes.changed(charger.installation.id)
        for target in (charger.id, charger.installation.id):
            for user in self._at(target):
                yield changes.changed(user.id)

    def _belonging(self, charger: Charger, at: int) -> _Belonging:
        if not local_list.has_list(charger):
            return _Belonging(())
        shared = self._of_site(charger, at)
        here = {user.id: user for user in self._at(charger.id)}
        if not here and not local_list.truncates(charger):
            return shared
        own = self._wishes(charger, here.values(), at)
        others = (wish for wish in shared.wishes if wish.user_id not in here)
        found = local_list.ranked((*own, *others))
        if local_list.truncates(charger):
            ambiguous = self._view.is_ambiguous_by_alias
            found = [wish for wish in found if not ambiguous(wish.identification_id)]
        return _Belonging(found)

    def _of_site(self, charger: Charger, at: int) -> _Belonging:
        kinds = self._shared.setdefault(charger.installation.id, {})
        kind = charger.identification_types, charger.quirks
        known = kinds.get(kind)
        if known is None or at >= known.ends:
            known = kinds[kind] = _Belonging(local_list.ranked(self._of_each(charger, kind, at)))
        return known

    def _of_each(self, charger: Charger, kind: _Kind, at: int) -> Iterable[Wish]:
        """Yield what all users of a site have in the lists of its chargers of this kind."""
        site = charger.installation.id
        of_users = self._of_users.setdefault(site, {}).setdefault(kind, {})
        # At a charger of this kind that nobody holds a permission on.
        any_charger = msgspec.structs.replace(charger, id="")
        for user in self._at(site):
            known = of_users.get(user.id)
            if known is None or at >= known.ends:
                wishes = tuple(self._wishes(any_charger, (user,), at))
                known = of_users[user.id] = _OfUser(wishes, _first_end(wishes))
            yield from known.wishes

    def _wishes(self, charger: Charger, users: Iterable[User], at: int) -> Iterable[Wish]:
        return local_list.wishes(charger, users, self._view, self._group_token, at)

    def _at(self, target: str) -> Iterable[User]:
        yield from self._view.holders(target)
        yield from self._view.departed(target)

    def _last_taken(self, target: Charger | Installation) -> int:
        taken = self._view.changes.taken
        return max(taken(target.id), *(taken(user.id) for user in self._at(target.id)), 0)


def _first_end(wishes: Iterable[Wish]) -> int:
    """Return from when on they are other ones, unless something happens before."""
    return min((wish.expires for wish in wishes if wish.expires is not None), default=NEVER)
