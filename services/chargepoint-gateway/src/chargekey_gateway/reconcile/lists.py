"""Who belongs into which charger's list right now, worked out once for all that share it.

Nearly everybody at a site holds his permission on the site, so chargers of one site that
take the same types share what follows from it. Who holds one on a single charger is looked
at there alone. A site may have a hundred thousand people: what is worked out for all of them
is so bit by bit, between taps.
"""

from __future__ import annotations

import asyncio
import bisect
import heapq
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from chargekey_gateway.reconcile import local_list
from chargekey_gateway.reconcile.local_list import GroupToken, Wish
from chargekey_gateway.reconcile.seen import Seen
from chargekey_gateway.reconcile.turns import Turns, Work, at_once
from chargekey_gateway.view.entries import NEVER, Charger, Installation, Quirks, User
from chargekey_gateway.view.view import View

# What chargers of one site have in common whose lists are the same.
_Kind = tuple[frozenset[str], Quirks | None]

# What is sorted, or copied, in one go; and how many people are looked at.
RUN = 10_000
BIT = 50
# How often something is worked out in turns that changes meanwhile; then it is in one go.
ATTEMPTS = 3


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

    def fitting(self, capacity: int | None, others: int) -> Work[Wanted]:
        """Work out what of them a list has."""
        known = self._fitting.get((capacity, others))
        if known is None:
            entries: dict[str, Wish] = {}
            marks: dict[str, str] = {}
            fitting = self.wishes[:capacity]
            for begin in range(0, len(fitting), RUN):
                yield
                some = fitting[begin : begin + RUN]
                entries |= {wish.identification_id: wish for wish in some}
                marks |= {wish.identification_id: wish.mark for wish in some}
            digest = yield from local_list.digest(entries, others)
            known = Wanted(entries, marks, len(self.wishes), digest, self.ends)
            self._fitting[capacity, others] = known
        return known


class Lists:
    """Answers from the view; `forget` what has changed there. Not thread-safe."""

    def __init__(self, view: View, seen: Seen, group_token: GroupToken) -> None:
        self._view = view
        self._seen = seen
        self._group_token = group_token
        self._shared: dict[str, dict[_Kind, _Belonging]] = {}  # by site
        # What of that is each user's, by site: one who changes is looked at alone.
        self._of_users: dict[str, dict[_Kind, dict[str, _OfUser]]] = {}
        self._taken: dict[str, int] = {}  # by site
        self._changed: dict[str, Sequence[int]] = {}  # by site, in their order
        # What was worked out last that no other charger has, and of which charger that fits how
        # much. Another number whenever something was forgotten that may bear on it.
        self._last: tuple[str, int | None, int, Wanted] | None = None
        self._version = 0
        self._rooms: dict[str, asyncio.Lock] = {}  # by site
        # What `takes` was asked last: chargers of one site ask the same, one after the other.
        self._asked: tuple[Wanted | None, Mapping[str, str] | None] = None, None
        self._takes = False

    def forget(self, installation_id: str) -> None:
        """Work out anew, when it is asked for, what concerns this site."""
        self._of_users.pop(installation_id, None)
        self._forget_shared(installation_id)
        self.forget_charger()

    def forget_charger(self) -> None:
        """Work out anew what a single charger has that no other has."""
        self._last = None
        self._version += 1

    def forget_user(self, user_id: str, targets: Iterable[str]) -> None:
        """Work out anew what these sites have to do with this user."""
        for target in targets:
            for of_users in self._of_users.get(target, {}).values():
                of_users.pop(user_id, None)
            self._forget_shared(target)
        self.forget_charger()

    def forget_all(self) -> None:
        """Work out everything anew."""
        self._of_users.clear()
        self._shared.clear()
        self._taken.clear()
        self._changed.clear()
        self.forget_charger()

    async def prepare(self, charger: Charger, capacity: int | None, at: int, turns: Turns) -> None:
        """Work out in turns what `wanted` would in one go, if it is asked right after this.

        Where nothing is to be done this does not wait.
        """
        site = charger.installation.id
        # Chargers of one site would work out the same beside each other.
        async with self._rooms.setdefault(site, asyncio.Lock()):
            for _ in range(ATTEMPTS):
                version = self._version
                shared = self._shared.setdefault(site, {})
                await turns.spend(self._wanted(charger, capacity, at))
                if self._shared.get(site) is shared and (
                    version == self._version or not self._has_own(charger)
                ):
                    return

    def wanted(self, charger: Charger, capacity: int | None, at: int) -> Wanted:
        """Return what the charger's list should be at `at`, nanoseconds since the epoch."""
        return at_once(self._wanted(charger, capacity, at))

    def _wanted(self, charger: Charger, capacity: int | None, at: int) -> Work[Wanted]:
        others = local_list.confusable(charger, self._view)
        if self._last is not None:
            *about, known = self._last
            if about == [charger.id, capacity, others] and at < known.ends:
                return known
        version = self._version
        belonging = yield from self._belonging(charger, at)
        wanted = yield from belonging.fitting(capacity, others)
        if version == self._version and self._has_own(charger):
            self._last = charger.id, capacity, others, wanted
        return wanted

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

    def first_change(self, charger: Charger, after: int) -> int | None:
        """Return when the first thing changed after that, of the last of each the charger knows."""
        site, changed = charger.installation, self._view.changes.changed
        of_site = self._changed.get(site.id)
        if of_site is None:
            of_site = sorted(changed(user.id) for user in self._at(site.id))
            self._changed[site.id] = of_site
        first = bisect.bisect_right(of_site, after)
        others = (charger.id, site.id, *(user.id for user in self._at(charger.id)))
        later = (at for each in others if (at := changed(each)) > after)
        return min((*of_site[first : first + 1], *later), default=None)

    def _forget_shared(self, target: str) -> None:
        self._shared.pop(target, None)
        self._taken.pop(target, None)
        self._changed.pop(target, None)

    def _has_own(self, charger: Charger) -> bool:
        """Whether a charger may have another list than those that share what follows."""
        return local_list.truncates(charger) or any(self._at(charger.id))

    def _belonging(self, charger: Charger, at: int) -> Work[_Belonging]:
        if not local_list.has_list(charger):
            return _Belonging(())
        shared = yield from self._of_site(charger, at)
        if not self._has_own(charger):
            return shared
        here = {user.id: user for user in self._at(charger.id)}
        own = self._wishes(charger, here.values(), at)
        others = (wish for wish in shared.wishes if wish.user_id not in here)
        found = yield from _ranked((*own, *others))
        if local_list.truncates(charger):
            ambiguous = self._view.is_ambiguous_by_alias
            found = [wish for wish in found if not ambiguous(wish.identification_id)]
        return _Belonging(found)

    def _of_site(self, charger: Charger, at: int) -> Work[_Belonging]:
        # What is forgotten meanwhile is another dictionary by then.
        kinds = self._shared.setdefault(charger.installation.id, {})
        kind = charger.identification_types, charger.quirks
        known = kinds.get(kind)
        if known is None or at >= known.ends:
            everybody = yield from self._of_each(charger, kind, at)
            found = yield from _ranked(everybody)
            known = kinds[kind] = _Belonging(found)
        return known

    def _of_each(self, charger: Charger, kind: _Kind, at: int) -> Work[Sequence[Wish]]:
        """Work out what all users of a site have in the lists of its chargers of this kind."""
        site = charger.installation.id
        of_users = self._of_users.setdefault(site, {}).setdefault(kind, {})
        # At a charger of this kind that nobody holds a permission on.
        any_charger = msgspec.structs.replace(charger, id="")
        found: list[Wish] = []
        for number, user in enumerate(tuple(self._at(site))):
            if number % BIT == 0:
                yield
            known = of_users.get(user.id)
            if known is None or at >= known.ends:
                wishes = tuple(self._wishes(any_charger, (user,), at))
                known = of_users[user.id] = _OfUser(wishes, _first_end(wishes))
            found += known.wishes
        return found

    def _wishes(self, charger: Charger, users: Iterable[User], at: int) -> Iterable[Wish]:
        return local_list.wishes(charger, users, self._view, self._seen.has, self._group_token, at)

    def _at(self, target: str) -> Iterable[User]:
        yield from self._view.holders(target)
        yield from self._view.departed(target)

    def _last_taken(self, target: Charger | Installation) -> int:
        taken = self._view.changes.taken
        return max(taken(target.id), *(taken(user.id) for user in self._at(target.id)), 0)


def _ranked(wishes: Sequence[Wish]) -> Work[Sequence[Wish]]:
    runs = []
    for begin in range(0, len(wishes), RUN):
        yield
        runs.append(local_list.ranked(wishes[begin : begin + RUN]))
    if len(runs) == 1:
        return runs[0]
    found = []
    for number, wish in enumerate(heapq.merge(*runs, key=local_list.rank)):
        if number % BIT == 0:
            yield
        found.append(wish)
    return found


def _first_end(wishes: Iterable[Wish]) -> int:
    """Return from when on they are other ones, unless something happens before."""
    return min((wish.expires for wish in wishes if wish.expires is not None), default=NEVER)
