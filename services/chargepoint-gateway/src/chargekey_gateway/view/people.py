"""Users and their identifications, from the IDENTITY stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import chain, repeat
from typing import Any

import msgspec

from chargekey_common.keyed_ids import KEYED_ID_SIZE, KeyedId
from chargekey_common.published import identity
from chargekey_common.published.envelope import PublishedEvent
from chargekey_gateway.view.entries import (
    NEVER,
    Identification,
    Installation,
    Right,
    Terms,
    User,
)
from chargekey_gateway.view.saved import SavedIdentification, SavedPeople, SavedTerms

# Of those that still differ, after a while: groups and ends are many.
TERMS_SHARED = 10_000
# Nearly as many as there are sites and chargers: most people may charge at one, without an end.
RIGHTS_SHARED = 100_000


class MalformedEventError(ValueError):
    """An event that has the form of its type and cannot be: a key that is none, nobody's grant."""


class _Key(msgspec.Struct, frozen=True, gc=False):
    """What an identification is found by."""

    keyed_id: KeyedId | None
    alias: KeyedId | None


class People:
    """Who presents what. Every method is plain memory."""

    def __init__(self, installation: Callable[[str], Installation]) -> None:
        """Know sites by `installation`, which always has one of that id."""
        self.users: dict[str, User] = {}
        self.identifications: dict[str, Identification] = {}
        self.by_keyed_id: dict[KeyedId, Identification] = {}
        # Nearly every long card has its own.
        self._by_alias: dict[KeyedId, Identification | tuple[Identification, ...]] = {}
        # Of all cards that have no more than four bytes: see `short_cards`.
        self._short_cards = 0
        # Keys come before their identification, and may outlive a refill without one.
        self._keys: dict[str, _Key] = {}
        self._installation = installation
        self._terms = lru_cache(TERMS_SHARED)(self._make_terms)
        self._shared_rights = lru_cache(RIGHTS_SHARED)(_unchanged)
        self._listeners: list[Callable[[str], None]] = []
        # A table, since a view is filled with a million of these.
        self.applied: Mapping[type[PublishedEvent], Callable[[Any], None]] = {
            identity.LocalUserAdded: self._add_local_user,
            identity.UserBlocked: self._block,
            identity.UserUnblocked: self._unblock,
            identity.PendingUserAdded: self._leave_unverified,
            identity.UserErased: self._leave_unverified,
            identity.EmailVerified: self._verify,
            identity.IdentificationAdded: self._add,
            identity.IdentificationStatusChanged: self._set_status,
            identity.IdentificationExpiryChanged: self._set_expiry,
            identity.IdentificationCodeChanged: self._change_code,
            identity.IdentificationGroupChanged: self._set_group,
            identity.IdentificationRemoved: self._remove,
            identity.IdentificationKey: self._set_key,
        }

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the id of every user whose rights may just have changed."""
        self._listeners.append(listener)

    @property
    def short_cards(self) -> int:
        """A number that is another one whenever there are other cards of four bytes.

        At a truncating reader any of them may make a longer card ambiguous (R15), and nothing
        that is known of them tells which.
        """
        return self._short_cards

    def by_alias(self, alias: KeyedId) -> tuple[Identification, ...]:
        """Return every card whose number a truncating reader makes the same four bytes of."""
        found = self._by_alias.get(alias, ())
        return found if isinstance(found, tuple) else (found,)

    def forget(self) -> None:
        """Drop what identity told; what access told of the users stays."""
        self.identifications.clear()
        self._short_cards = 0
        self.by_keyed_id.clear()
        self._by_alias.clear()
        self._keys.clear()
        for user in self.users.values():
            user.presents = ()
            user.local_to = None
            user.blocks = frozenset()
            user.verified = True
            self.arrange(user)

    def user(self, user_id: str) -> User:
        """Return the user; one nobody told of yet is made, and nothing is lost."""
        user = self.users.get(user_id)
        if user is None:
            user = self.users[user_id] = User(user_id)
        return user

    def arrange(self, user: User) -> None:
        """Work out anew what counts of what the user holds, and tell whoever listens."""
        self.arrange_unheard(user)
        self._tell(user.id)

    def arrange_unheard(self, user: User) -> None:
        """Let all that he presents go by what counts now of what he holds."""
        if user.presents:
            rights = self._shared_rights(user.rights)
            for each in user.presents:
                each.rights = rights

    def state(self) -> dict[str, object]:
        """Return all of it as plain values in a fixed order, for the digest."""
        return {
            "users": [
                (user.id, user.local_to, sorted(map(str, user.blocks)), user.verified)
                for user in sorted(self.users.values(), key=lambda user: user.id)
                if user.local_to is not None or user.blocks or not user.verified
            ],
            "identifications": [
                (
                    known.id,
                    known.user.id,
                    known.type,
                    known.terms.status,
                    known.terms.valid_until,
                    None if known.terms.site is None else known.terms.site.id,
                    known.terms.group_id,
                    known.terms.group_card,
                )
                for known in sorted(self.identifications.values(), key=lambda known: known.id)
            ],
            "keys": sorted((key.hex(), known.id) for key, known in self.by_keyed_id.items()),
            "aliases": sorted(
                (alias.hex(), sorted(known.id for known in self.by_alias(alias)))
                for alias in self._by_alias
            ),
        }

    def saved(self) -> SavedPeople:
        """Return all of it, for a snapshot: users in the order of `users`."""
        users = list(self.users.values())
        presented = [known for user in users for known in user.presents]
        places: dict[int, int] = {}  # of terms, by the object
        all_terms: list[Terms] = []
        for known in presented:
            if id(known.terms) not in places:
                places[id(known.terms)] = len(all_terms)
                all_terms.append(known.terms)
        return SavedPeople(
            users=[user.id for user in users],
            local_to=[user.local_to for user in users],
            presented=[len(user.presents) for user in users],
            blocks={place: list(user.blocks) for place, user in enumerate(users) if user.blocks},
            unverified=[place for place, user in enumerate(users) if not user.verified],
            ids=[known.id for known in presented],
            terms=[places[id(known.terms)] for known in presented],
            all_terms=[_saved_terms(each) for each in all_terms],
            keyed_ids=[known.keyed_id for known in presented],
            aliases=[known.alias for known in presented],
            keys={name: (key.keyed_id, key.alias) for name, key in self._keys.items()},
        )

    def restore(self, saved: SavedPeople) -> None:
        """Know what was saved; nothing may be known yet, and no rights are arranged."""
        users = list(map(User, saved.users, saved.local_to))
        self.users = dict(zip(saved.users, users, strict=True))
        for place, blocks in saved.blocks.items():
            users[place].blocks = frozenset(blocks)
        for place in saved.unverified:
            users[place].verified = False
        owners = chain.from_iterable(map(repeat, users, saved.presented))
        all_terms = [self._restored_terms(each) for each in saved.all_terms]
        presented = list(
            map(
                Identification,
                saved.ids,
                owners,
                map(all_terms.__getitem__, saved.terms),
                saved.keyed_ids,
                saved.aliases,
            )
        )
        self.identifications = dict(zip(saved.ids, presented, strict=True))
        first = 0
        for user, several in zip(users, saved.presented, strict=True):
            user.presents = tuple(presented[first : first + several])
            first += several
        for known in presented:
            self._index(known)
        self._keys = {name: _Key(*key) for name, key in saved.keys.items()}

    def restored(self, saved: SavedIdentification) -> Identification:
        """Return an identification as it was saved, of the user that there is."""
        return Identification(
            saved.id,
            self.user(saved.user),
            self._restored_terms(saved.terms),
            None if saved.keyed_id is None else KeyedId(saved.keyed_id),
            None if saved.alias is None else KeyedId(saved.alias),
        )

    def _restored_terms(self, saved: SavedTerms) -> Terms:
        return self._terms(
            saved.type,
            saved.status,
            saved.valid_until,
            saved.site,
            saved.group_id,
            saved.group_card,
        )

    # What events do.

    def _add_local_user(self, event: identity.LocalUserAdded) -> None:
        user = self.user(event.user_id)
        user.local_to = event.installation_id
        if event.blocked:
            user.blocks |= {event.installation_id}
        self.arrange(user)

    def _block(self, event: identity.UserBlocked) -> None:
        user = self.user(event.user_id)
        user.blocks |= {event.installation_id}
        self.arrange(user)

    def _unblock(self, event: identity.UserUnblocked) -> None:
        user = self.user(event.user_id)
        user.blocks -= {event.installation_id}
        self.arrange(user)

    def _verify(self, event: identity.EmailVerified) -> None:
        user = self.user(event.user_id)
        user.verified = True
        self.arrange(user)

    def _leave_unverified(self, event: identity.PendingUserAdded | identity.UserErased) -> None:
        user = self.user(event.user_id)
        user.verified = False
        self.arrange(user)

    def _set_key(self, event: identity.IdentificationKey) -> None:
        """Let the identification be found by this keyed id and alias, and by no older ones.

        Raises MalformedEventError, and then it is found by none.
        """
        known = self.identifications.get(event.identification_id)
        if known is None:
            self._keys.pop(event.identification_id, None)
            self._keys[event.identification_id] = _key(event)
            return
        self._forget_key(known)
        key = _key(event)
        self._find_by(known, key)
        self._tell(known.user.id)

    def _add(self, event: identity.IdentificationAdded) -> None:
        key = self._keys.pop(event.identification_id, None)
        known = self.identifications.get(event.identification_id)
        if known is not None:  # told again
            key = _Key(known.keyed_id, known.alias)
            self._let_go(known)
        user = self.user(event.user_id)
        added = Identification(
            event.identification_id,
            user,
            self._terms(
                event.type,
                event.status,
                event.valid_until,
                event.installation_id,
                event.group_id,
                event.group_card,
            ),
            rights=user.presents[0].rights if user.presents else self._shared_rights(user.rights),
        )
        self.identifications[added.id] = added
        user.presents = (*user.presents, added)
        if key is not None:
            self._find_by(added, key)
        self._tell(user.id)

    def _set_status(self, event: identity.IdentificationStatusChanged) -> None:
        self._change(event.identification_id, status=event.status)

    def _set_expiry(self, event: identity.IdentificationExpiryChanged) -> None:
        self._change(event.identification_id, valid_until=event.valid_until)

    def _set_group(self, event: identity.IdentificationGroupChanged) -> None:
        self._change(event.identification_id, group_id=event.group_id, group_card=event.group_card)

    def _change(self, identification_id: str, **changes: str | int | None) -> None:
        known = self.identifications.get(identification_id)
        if known is not None:
            terms = msgspec.structs.replace(known.terms, **changes)
            # Through the table of those that are shared.
            known.terms = self._terms(
                terms.type,
                terms.status,
                terms.valid_until,
                None if terms.site is None else terms.site.id,
                terms.group_id,
                terms.group_card,
            )
            self._tell(known.user.id)

    def _change_code(self, event: identity.IdentificationCodeChanged) -> None:
        self._tell(event.user_id)  # the key came just before

    def _remove(self, event: identity.IdentificationRemoved) -> None:
        self._keys.pop(event.identification_id, None)
        known = self.identifications.pop(event.identification_id, None)
        if known is not None:
            self._let_go(known)
            self._tell(known.user.id)

    def _tell(self, user_id: str) -> None:
        for listener in self._listeners:
            listener(user_id)

    def _make_terms(
        self,
        type_: identity.IdentificationType,
        status: identity.IdentificationStatus,
        valid_until: int | None,
        site: str | None,
        group_id: str | None,
        group_card: bool,  # noqa: FBT001 - keywords cost time, and a view has a million of these
    ) -> Terms:
        return Terms(
            type_,
            status,
            valid_until,
            _deadline(status, valid_until),
            None if site is None else self._installation(site),
            group_id,
            group_card,
        )

    # What they are found by.

    def _find_by(self, known: Identification, key: _Key) -> None:
        known.keyed_id, known.alias = key.keyed_id, key.alias
        self._index(known)

    def _index(self, known: Identification) -> None:
        if known.keyed_id is not None:
            self.by_keyed_id[known.keyed_id] = known
            if known.is_short:
                self._short_cards ^= int.from_bytes(known.keyed_id)
        if known.alias is not None:
            first = self._by_alias.setdefault(known.alias, known)
            if first is not known:
                self._by_alias[known.alias] = (*self.by_alias(known.alias), known)

    def _forget_key(self, known: Identification) -> None:
        if known.keyed_id is not None:
            if self.by_keyed_id.get(known.keyed_id) is known:
                del self.by_keyed_id[known.keyed_id]
            if known.is_short:
                self._short_cards ^= int.from_bytes(known.keyed_id)
        if known.alias is not None:
            rest = tuple(each for each in self.by_alias(known.alias) if each is not known)
            if rest:
                self._by_alias[known.alias] = rest if len(rest) > 1 else rest[0]
            else:
                self._by_alias.pop(known.alias, None)
        known.keyed_id = known.alias = None

    def _let_go(self, known: Identification) -> None:
        """Have it found by nothing, and presented by nobody."""
        self._forget_key(known)
        known.rights = ()
        user = known.user
        user.presents = tuple(each for each in user.presents if each is not known)


def saved_identification(known: Identification) -> SavedIdentification:
    """Return it as a snapshot has it."""
    terms = _saved_terms(known.terms)
    return SavedIdentification(known.id, known.user.id, terms, known.keyed_id, known.alias)


def _saved_terms(terms: Terms) -> SavedTerms:
    site = None if terms.site is None else terms.site.id
    return SavedTerms(
        terms.type, terms.status, terms.valid_until, site, terms.group_id, terms.group_card
    )


def _key(event: identity.IdentificationKey) -> _Key:
    return _Key(_keyed_id(event.keyed_id), _keyed_id(event.alias) if event.alias else None)


def _keyed_id(text: str) -> KeyedId:
    try:
        keyed_id = bytes.fromhex(text)
    except ValueError:
        raise MalformedEventError from None
    if len(keyed_id) != KEYED_ID_SIZE:
        raise MalformedEventError
    return KeyedId(keyed_id)


def _unchanged(rights: tuple[Right, ...]) -> tuple[Right, ...]:
    return rights


def _deadline(status: str, valid_until: int | None) -> int:
    if status != "ACTIVE":
        return 0
    return NEVER if valid_until is None else valid_until
