"""What a person may ask for about himself: everything, or that nothing is left (R20).

An erasure goes through four steps, and each can be repeated for ever: access takes away
what he holds; one save ends what he has here; tables beside the events forget him; his
data key is destroyed, which is what makes his past unreadable and tells that all before
it was done. Whatever ends the process in between, the next start finishes it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from chargekey_common.accounts import service_account
from chargekey_common.eventstore.records import DomainEvent, Record, new_id
from chargekey_common.eventstore.store import (
    Answer,
    CommandIdReusedError,
    Context,
    EventStore,
    Reaction,
    Work,
    command,
)
from chargekey_common.positions import Position
from chargekey_identity.domain import identification, user
from chargekey_identity.domain.errors import UserUnknownError
from chargekey_identity.domain.events import (
    CodeReleased,
    CodeReserved,
    EmailReleased,
    EmailReserved,
    IdentificationEvent,
    IdentificationRemoved,
    InvitationAccepted,
    InvitationEvent,
    InvitationRevoked,
    UserErased,
    UserExported,
)
from chargekey_identity.projections.belongings import Owned
from chargekey_identity.projections.directory import Directory
from chargekey_identity.tables.keyring import KeyRing

_ITSELF = service_account("identity")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# Derived from codes; of no use to anybody but the gateway.
_INTERNAL = frozenset({"keyed_id", "alias"})


Forget = Callable[[str], None]
"""Deletes what a table beside the events has about a user; blocking, harmless to repeat."""


class Privacy:
    """Erasing and exporting; blocking."""

    def __init__(
        self,
        store: EventStore,
        directory: Directory,
        keyring: KeyRing,
        tables: Collection[Forget],
        forget_codes: Callable[[Iterable[str]], None],
    ) -> None:
        """`forget_codes` drops codes, by their reservations, from what nobody knows."""
        self.store = store
        self.owned = Owned(store)
        self._directory = directory
        self._keyring = keyring
        self._tables = tables
        self._forget_codes = forget_codes

    def erase(self, context: Context, *, user_id: str) -> Answer[str]:
        """Do all that is identity's, once access has forgotten him; raises UserUnknownError."""
        recorded = self.erase_user(context, user_id=user_id)
        if recorded.result != user_id:
            raise CommandIdReusedError
        self._finish(user_id)
        return recorded

    @command
    def erase_user(self, work: Work, *, user_id: str) -> str:
        """End what he has and record that he is erased; return his id."""
        self._end(work, user_id)
        return user_id

    def react_to_user_forgotten(self, user_id: str, reaction: Reaction) -> Position:
        """Go on with an erasure that access has begun, and whose command may have been lost."""

        def decide(work: Work) -> None:
            try:
                self._end(work, user_id)
            except UserUnknownError:
                return  # of a store that was restored to before him

        position = self.store.react(reaction, decide)
        if not self._keyring.is_destroyed(user_id):
            self._finish(user_id)
        return position

    def is_recorded(self, user_id: str) -> bool:
        """Return whether a command has erased him, or there is nobody to erase."""
        try:
            return self.owned.of(user_id).erased
        except UserUnknownError:
            return True

    def finish(self, ledger: Iterable[str]) -> None:
        """Erase whoever is erased according to the events, the keys or the ledger, but not wholly.

        So what a process did not come to is done, and what a backup brought back is gone.
        """
        destroyed = self._keyring.destroyed()
        everybody = sorted({*self.owned.erased(), *destroyed, *ledger})
        self._finish(
            *(
                user_id
                for user_id in everybody
                if user_id not in destroyed or not self._is_gone(user_id)
            )
        )

    def export(self, context: Context, *, user_id: str) -> Answer[bytes]:
        """Record that everything is about to be shown, then answer it as a JSON document."""
        recorded = self.export_user(context, user_id=user_id)
        if recorded.result != user_id:
            raise CommandIdReusedError
        held = self._directory.every_identification(user_id)
        aggregates = (user_id, *held, *self._directory.invitations.of(user_id))
        document = {
            "user_id": user_id,
            "profile": self.store.load(user.evolve, user_id).state,
            "identifications": [
                self._identification(key) for key, state in held.items() if not state.removed
            ],
            "events": [_told(record) for key in aggregates for record in self.store.records(key)],
        }
        return Answer(msgspec.json.encode(document), recorded.position)

    @command
    def export_user(self, work: Work, *, user_id: str) -> str:
        """Record an export, and return the user's id; the receipt holds nothing that is shown."""
        if self.owned.of(user_id).erased:
            raise UserUnknownError
        work.record(work.load(_last, user_id), UserExported())
        return user_id

    def _finish(self, *user_ids: str) -> None:
        """Do what the save has not, and the save too where it was lost."""
        if not user_ids:
            return
        self._end_rest(user_ids)
        for forget in self._tables:
            for user_id in user_ids:
                forget(user_id)
        self._keyring.destroy(*user_ids)
        # What was sealed for them at the same moment: from here on nothing can be.
        self._end_rest(user_ids)

    def _end_rest(self, user_ids: Iterable[str]) -> None:
        for user_id in user_ids:
            if not self._is_gone(user_id):
                self.erase_user(Context(_ITSELF, new_id()), user_id=user_id)

    def _is_gone(self, user_id: str) -> bool:
        try:
            return self.owned.of(user_id).gone
        except UserUnknownError:
            return True

    def _identification(self, key: str) -> Mapping[str, Any]:
        state = identification.readable(self.store.load(identification.evolve, key).state)
        fields = msgspec.structs.asdict(state)
        return {"id": key, **fields, "code": state.code.text}

    def _end(self, work: Work, user_id: str) -> None:
        his = self.owned.of(user_id)
        # Before they are nobody's again, and would be shown as such.
        self._forget_codes(his.left)
        for key in (*his.left, user_id):
            last = work.load(_last, key)
            work.record(last, *_ending(last.state, user_id))


def _last(_: DomainEvent | None, event: DomainEvent) -> DomainEvent:
    """Know of an aggregate what happened last: to end it takes no more, and reads nothing."""
    return event


def _ending(last: DomainEvent | None, user_id: str) -> Sequence[DomainEvent]:
    """Return what ends whatever a user has, by what happened to it last."""
    match last:
        case (
            None
            | CodeReleased()
            | EmailReleased()
            | IdentificationRemoved()
            | InvitationAccepted()
            | InvitationRevoked()
            | UserErased()
        ):
            return []
        case CodeReserved():
            return [CodeReleased(user_id=user_id, identification_id=last.identification_id)]
        case EmailReserved():
            return [EmailReleased(user_id=user_id)]
        case _ if isinstance(last, IdentificationEvent):
            return [IdentificationRemoved(user_id=user_id)]
        case _ if isinstance(last, InvitationEvent):
            return [InvitationRevoked(user_id=user_id)]
        case _:
            return [UserErased()]


def _told(record: Record) -> Mapping[str, Any]:
    """Return an event as its person reads it."""
    at = _EPOCH + dt.timedelta(microseconds=record.at // 1000)
    fields = msgspec.structs.asdict(record.event)
    return {
        "at": at.isoformat(),
        "by": record.actor,
        "event": type(record.event).__name__,
        "about": record.originator_id,
        **{name: value for name, value in fields.items() if name not in _INTERNAL},
    }
