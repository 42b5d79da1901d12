"""Users and their identifications, from the IDENTITY stream."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from chargekey_common.keyed_ids import KEYED_ID_SIZE, KeyedId
from chargekey_common.published import identity
from chargekey_common.published.envelope import PublishedEvent
from chargekey_gateway.view.entries import NEVER, Identification, Installation, User


class MalformedEventError(ValueError):
    """An event that has the form of its type and cannot be: a key that is none, nobody's grant."""


class People:
    """Who presents what. Every method is plain memory."""

    def __init__(self, installation: Callable[[str], Installation]) -> None:
        """Know sites by `installation`, which always has one of that id."""
        self.users: dict[str, User] = {}
        self.identifications: dict[str, Identification] = {}
        self.by_keyed_id: dict[KeyedId, Identification] = {}
        self.by_alias: dict[KeyedId, tuple[Identification, ...]] = {}
        self._of_user: dict[str, list[Identification]] = {}
        # Of all cards that have no more than four bytes: see `short_cards`.
        self._short_cards = 0
        # Keys come before their identification, and may outlive a refill without one.
        self._keyed_ids: dict[str, KeyedId] = {}
        self._aliases: dict[str, KeyedId] = {}
        self._installation = installation
        self._listeners: list[Callable[[str], None]] = []

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

    def identifications_of(self, user_id: str) -> Collection[Identification]:
        """Return all that the user presents, in the order it was added."""
        return self._of_user.get(user_id, ())

    def keyed_id(self, identification_id: str) -> KeyedId | None:
        """Return what the identification is found by, if it is."""
        return self._keyed_ids.get(identification_id)

    def alias(self, identification_id: str) -> KeyedId | None:
        """Return what it is found by at readers that truncate, if its number is cut there."""
        return self._aliases.get(identification_id)

    def forget(self) -> None:
        """Drop what identity told; what access told of the users stays."""
        self.identifications.clear()
        self._of_user.clear()
        self._short_cards = 0
        self.by_keyed_id.clear()
        self.by_alias.clear()
        self._keyed_ids.clear()
        self._aliases.clear()
        for user in self.users.values():
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
        if user.blocks or not user.verified:
            user.usable = ()
        elif user.blocked_at:
            user.usable = tuple(
                grant for grant in user.held if grant.installation.id not in user.blocked_at
            )
        else:
            user.usable = user.held
        self._tell(user.id)

    def apply(self, event: PublishedEvent) -> None:
        """Apply a published event."""
        match event:
            case identity.LocalUserAdded():
                user = self.user(event.user_id)
                user.local_to = event.installation_id
                if event.blocked:
                    user.blocks |= {event.installation_id}
                self.arrange(user)
            case identity.UserBlocked():
                user = self.user(event.user_id)
                user.blocks |= {event.installation_id}
                self.arrange(user)
            case identity.UserUnblocked():
                user = self.user(event.user_id)
                user.blocks -= {event.installation_id}
                self.arrange(user)
            case identity.PendingUserAdded() | identity.UserErased():
                self._verify(event.user_id, verified=False)
            case identity.EmailVerified():
                self._verify(event.user_id, verified=True)
            case _:
                self._apply_to_identification(event)

    def _apply_to_identification(self, event: PublishedEvent) -> None:
        match event:
            case identity.IdentificationAdded():
                self._add(event)
            case identity.IdentificationStatusChanged():
                self._change(event.identification_id, status=event.status)
            case identity.IdentificationExpiryChanged():
                self._change(event.identification_id, valid_until=event.valid_until)
            case identity.IdentificationGroupChanged():
                self._change(
                    event.identification_id, group_id=event.group_id, group_card=event.group_card
                )
            case identity.IdentificationCodeChanged():  # the key came just before
                self._tell(event.user_id)
            case identity.IdentificationRemoved():
                self._remove(event.identification_id)
            case _:  # the rest of the stream does not bear on who may charge
                pass

    def set_key(self, event: identity.IdentificationKey) -> None:
        """Let the identification be found by this keyed id and alias, and by no older ones.

        Raises MalformedEventError, and then it is found by none.
        """
        identification_id = event.identification_id
        self._forget_key(identification_id)
        keyed_id = _keyed_id(event.keyed_id)
        if event.alias:
            self._aliases[identification_id] = _keyed_id(event.alias)
        self._keyed_ids[identification_id] = keyed_id
        known = self.identifications.get(identification_id)
        if known is not None:
            self._find_by_key(known)
            self._tell(known.user.id)

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
                    known.status,
                    known.valid_until,
                    None if known.site is None else known.site.id,
                    known.group_id,
                    known.group_card,
                )
                for known in sorted(self.identifications.values(), key=lambda known: known.id)
            ],
            "keys": sorted((key.hex(), known.id) for key, known in self.by_keyed_id.items()),
            "aliases": sorted(
                (alias.hex(), sorted(known.id for known in several))
                for alias, several in self.by_alias.items()
            ),
        }

    def _verify(self, user_id: str, *, verified: bool) -> None:
        user = self.user(user_id)
        user.verified = verified
        self.arrange(user)

    def _add(self, event: identity.IdentificationAdded) -> None:
        site = event.installation_id
        added = Identification(
            id=event.identification_id,
            user=self.user(event.user_id),
            type=event.type,
            status=event.status,
            valid_until=event.valid_until,
            deadline=_deadline(event.status, event.valid_until),
            site=None if site is None else self._installation(site),
            group_id=event.group_id,
            group_card=event.group_card,
        )
        known = self.identifications.get(added.id)
        if known is not None:  # told again
            self._of_user[known.user.id].remove(known)
        self.identifications[added.id] = added
        self._of_user.setdefault(added.user.id, []).append(added)
        self._find_by_key(added)
        self._tell(added.user.id)

    def _change(self, identification_id: str, **changes: str | int | None) -> None:
        known = self.identifications.get(identification_id)
        if known is not None:
            for name, value in changes.items():
                setattr(known, name, value)
            known.deadline = _deadline(known.status, known.valid_until)
            self._tell(known.user.id)

    def _remove(self, identification_id: str) -> None:
        self._forget_key(identification_id)
        known = self.identifications.pop(identification_id, None)
        if known is not None:
            self._of_user[known.user.id].remove(known)
            self._tell(known.user.id)

    def _tell(self, user_id: str) -> None:
        for listener in self._listeners:
            listener(user_id)

    def _find_by_key(self, known: Identification) -> None:
        keyed_id = self._keyed_ids.get(known.id)
        if keyed_id is not None:
            self.by_keyed_id[keyed_id] = known
            if _is_short(known, self._aliases):
                self._short_cards ^= int.from_bytes(keyed_id)
        alias = self._aliases.get(known.id)
        if alias is not None:
            self.by_alias[alias] = (*self.by_alias.get(alias, ()), known)

    def _forget_key(self, identification_id: str) -> None:
        keyed_id = self._keyed_ids.pop(identification_id, None)
        if keyed_id is not None:
            known = self.by_keyed_id.pop(keyed_id, None)
            if known is not None and _is_short(known, self._aliases):
                self._short_cards ^= int.from_bytes(keyed_id)
        alias = self._aliases.pop(identification_id, None)
        if alias is not None:
            several = self.by_alias.pop(alias, ())
            rest = tuple(known for known in several if known.id != identification_id)
            if rest:
                self.by_alias[alias] = rest


def _is_short(known: Identification, aliases: Mapping[str, KeyedId]) -> bool:
    return known.type == "RFID" and known.id not in aliases


def _keyed_id(text: str) -> KeyedId:
    try:
        keyed_id = bytes.fromhex(text)
    except ValueError:
        raise MalformedEventError from None
    if len(keyed_id) != KEYED_ID_SIZE:
        raise MalformedEventError
    return KeyedId(keyed_id)


def _deadline(status: str, valid_until: int | None) -> int:
    if status != "ACTIVE":
        return 0
    return NEVER if valid_until is None else valid_until
