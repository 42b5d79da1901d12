"""Users and their identifications, from the IDENTITY stream."""

from __future__ import annotations

from chargekey_common.keyed_ids import KEYED_ID_SIZE, KeyedId
from chargekey_common.published import identity
from chargekey_common.published.envelope import PublishedEvent
from chargekey_gateway.view.entries import NEVER, Grant, Identification, User


class MalformedKeyError(ValueError):
    """A keyed id that is not one: not the hex digits of its bytes."""


class People:
    """Who presents what. Every method is plain memory."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.identifications: dict[str, Identification] = {}
        self.by_keyed_id: dict[KeyedId, Identification] = {}
        # A key comes before its identification, and may outlive a refill without one.
        self._keyed_ids: dict[str, KeyedId] = {}

    def forget(self) -> None:
        """Drop what identity told; what access told of the users stays."""
        self.identifications.clear()
        self.by_keyed_id.clear()
        self._keyed_ids.clear()
        for user in self.users.values():
            _block(user, frozenset())

    def user(self, user_id: str) -> User:
        """Return the user; one nobody told of yet is made, and nothing is lost."""
        user = self.users.get(user_id)
        if user is None:
            user = self.users[user_id] = User(user_id)
        return user

    def set_grants(self, user_id: str, grants: tuple[Grant, ...]) -> None:
        """Give the user exactly these grants, in any order."""
        user = self.user(user_id)
        user.grants = tuple(sorted(grants, key=_longest_first))
        user.usable = () if user.blocks else user.grants

    def apply(self, event: PublishedEvent) -> str | None:
        """Apply a published event; return the id of a user whose blocks it changed."""
        match event:
            case identity.LocalUserAdded(blocked=True) | identity.UserBlocked():
                user = self.user(event.user_id)
                _block(user, user.blocks | {event.installation_id})
                return user.id
            case identity.UserUnblocked():
                user = self.user(event.user_id)
                _block(user, user.blocks - {event.installation_id})
                return user.id
            case identity.IdentificationAdded():
                self._add(event)
            case identity.IdentificationStatusChanged():
                self._change(event.identification_id, status=event.status)
            case identity.IdentificationExpiryChanged():
                self._change(event.identification_id, valid_until=event.valid_until)
            case identity.IdentificationRemoved():
                self._remove(event.identification_id)
            case _:  # the rest of the stream does not bear on who may charge
                pass
        return None

    def set_key(self, event: identity.IdentificationKey) -> None:
        """Let the identification be found by this keyed id, and by no older one.

        Raises MalformedKeyError, and then it is found by none.
        """
        self._forget_key(event.identification_id)
        keyed_id = _keyed_id(event.keyed_id)
        self._keyed_ids[event.identification_id] = keyed_id
        known = self.identifications.get(event.identification_id)
        if known is not None:
            self.by_keyed_id[keyed_id] = known

    def state(self) -> dict[str, object]:
        """Return all of it as plain values in a fixed order, for the digest."""
        return {
            "users": [
                (user.id, sorted(map(str, user.blocks)), user.grants)
                for user in sorted(self.users.values(), key=lambda user: user.id)
                if user.blocks or user.grants
            ],
            "identifications": [
                (known.id, known.user.id, known.type, known.status, known.valid_until)
                for known in sorted(self.identifications.values(), key=lambda known: known.id)
            ],
            "keys": sorted((key.hex(), known.id) for key, known in self.by_keyed_id.items()),
        }

    def _add(self, event: identity.IdentificationAdded) -> None:
        added = Identification(
            id=event.identification_id,
            user=self.user(event.user_id),
            type=event.type,
            status=event.status,
            valid_until=event.valid_until,
            deadline=_deadline(event.status, event.valid_until),
        )
        self.identifications[added.id] = added
        keyed_id = self._keyed_ids.get(added.id)
        if keyed_id is not None:
            self.by_keyed_id[keyed_id] = added

    def _change(self, identification_id: str, **changes: str | int | None) -> None:
        known = self.identifications.get(identification_id)
        if known is not None:
            for name, value in changes.items():
                setattr(known, name, value)
            known.deadline = _deadline(known.status, known.valid_until)

    def _remove(self, identification_id: str) -> None:
        self._forget_key(identification_id)
        self.identifications.pop(identification_id, None)

    def _forget_key(self, identification_id: str) -> None:
        keyed_id = self._keyed_ids.pop(identification_id, None)
        if keyed_id is not None:
            self.by_keyed_id.pop(keyed_id, None)


def _keyed_id(text: str) -> KeyedId:
    try:
        keyed_id = bytes.fromhex(text)
    except ValueError:
        raise MalformedKeyError from None
    if len(keyed_id) != KEYED_ID_SIZE:
        raise MalformedKeyError
    return KeyedId(keyed_id)


def _block(user: User, blocks: frozenset[str | None]) -> None:
    user.blocks = blocks
    user.usable = () if blocks else user.grants


def _deadline(status: str, valid_until: int | None) -> int:
    if status != "ACTIVE":
        return 0
    return NEVER if valid_until is None else valid_until


def _longest_first(grant: Grant) -> tuple[int, str, str]:
    return (-grant.ends, grant.on, grant.permission_id)  # "charger" sorts before "installation"
