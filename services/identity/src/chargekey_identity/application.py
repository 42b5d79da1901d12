"""What can be done in identity, as a table of contents.

Commands get a `Work` (see chargekey_common.eventstore.store) and are called with
the caller's `Context` in its place; they block, and answer result and position.
A code goes in as plain text and into nothing but the sealed events: receipts
hold ids.
"""

from __future__ import annotations

import uuid

import msgspec

from chargekey_common import local_days, names
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import (
    Answer,
    CommandIdReusedError,
    Context,
    EventStore,
    Loaded,
    Work,
    command,
)
from chargekey_common.keyed_ids import KeyedIds
from chargekey_identity.domain import codes, identification, reservation, user
from chargekey_identity.domain.codes import Code
from chargekey_identity.domain.errors import CodeChangedSinceError
from chargekey_identity.domain.events import IdentificationStatus, IdentificationType
from chargekey_identity.domain.identification import Identification

_NAMESPACE = uuid.UUID("2b7c5f6e-6a4b-5d0c-9f55-7d1e0c9a4b83")


class Revelation(msgspec.Struct, frozen=True):
    """What a reveal was recorded for: which of an identification's codes."""

    identification_id: str
    code_number: int


class Identity:
    """The application: every command of the service."""

    def __init__(self, store: EventStore, keyed_ids: KeyedIds) -> None:
        self.store = store
        self._keyed_ids = keyed_ids

    @command
    def add_local_user(
        self, work: Work, *, installation_id: str, first_name: str, last_name: str, blocked: bool
    ) -> str:
        """Add a user of an installation that exists, and return his id."""
        loaded = work.load(user.evolve, new_id())
        events = user.add_local(
            installation_id=installation_id,
            first_name=names.name(first_name),
            last_name=names.name(last_name),
            blocked=blocked,
        )
        work.record(loaded, *events)
        return loaded.id

    @command
    def rename_user(self, work: Work, *, user_id: str, first_name: str, last_name: str) -> None:
        """Give a user another name."""
        loaded = work.load(user.evolve, user_id)
        events = user.rename(
            loaded.state, first_name=names.name(first_name), last_name=names.name(last_name)
        )
        work.record(loaded, *events)

    @command
    def block_user(self, work: Work, *, user_id: str) -> None:
        """Refuse a user with everything he has."""
        loaded = work.load(user.evolve, user_id)
        work.record(loaded, *user.block(loaded.state))

    @command
    def unblock_user(self, work: Work, *, user_id: str) -> None:
        """Let a user charge again."""
        loaded = work.load(user.evolve, user_id)
        work.record(loaded, *user.unblock(loaded.state))

    @command
    def add_identification(
        self,
        work: Work,
        *,
        user_id: str,
        identification_type: IdentificationType,
        code: str,
        status: IdentificationStatus,
        valid_until: str,
        time_zone: str,
    ) -> str:
        """Give a user something to present, and return its id.

        `valid_until` is a local day in `time_zone`, empty for no end.
        """
        holder = user.existing(work.load(user.evolve, user_id).state)
        checked = self._code(identification_type, code, holder.installation_id)
        loaded = work.load(identification.evolve, new_id())
        events = identification.add(
            user_id=user_id,
            identification_type=identification_type,
            installation_id=holder.installation_id,
            status=status,
            valid_until=local_days.end_of(valid_until, time_zone, now=work.at),
            code=checked,
        )
        self._reserve(work, checked, identification_type, user_id, loaded.id)
        work.record(loaded, *events)
        return loaded.id

    @command
    def change_identification(
        self,
        work: Work,
        *,
        identification_id: str,
        code: str | None,
        status: IdentificationStatus | None,
        valid_until: str | None,
        time_zone: str,
    ) -> None:
        """Change what is given; None leaves a thing as it is, an empty day takes the end away."""
        loaded = work.load(identification.evolve, identification_id)
        identification.existing(loaded.state)
        if code is not None:
            self._change_code(work, loaded, code)
        if status is not None:
            work.record(loaded, *identification.change_status(loaded.state, status))
        if valid_until is not None:
            end = local_days.end_of(valid_until, time_zone, now=work.at)
            work.record(loaded, *identification.change_expiry(loaded.state, end))

    @command
    def remove_identification(self, work: Work, *, identification_id: str) -> None:
        """Take an identification away; its code is free again."""
        loaded = work.load(identification.evolve, identification_id)
        events = identification.remove(loaded.state)
        held = identification.readable(loaded.state)
        self._release(work, held.code, held.user_id, loaded.id)
        work.record(loaded, *events)

    def reveal_code(self, context: Context, *, identification_id: str) -> Answer[Code]:
        """Record that the caller is shown the code, then answer it in plain (R17).

        The recorded command holds for this identification and this code alone: sent
        again for anything else it is refused, or one audited command would open
        everything after it. Raises CommandIdReusedError or CodeChangedSinceError.
        """
        recorded = self.record_reveal(context, identification_id=identification_id)
        shown = recorded.result
        if shown.identification_id != identification_id:
            raise CommandIdReusedError
        held = identification.readable(
            self.store.load(identification.evolve, identification_id).state
        )
        if held.code_number != shown.code_number:
            raise CodeChangedSinceError
        return Answer(held.code, recorded.position)

    @command
    def record_reveal(self, work: Work, *, identification_id: str) -> Revelation:
        """Record a reveal; the receipt says of what, never the code."""
        loaded = work.load(identification.evolve, identification_id)
        work.record(loaded, *identification.reveal(loaded.state))
        number = identification.readable(loaded.state).code_number
        return Revelation(identification_id, number)

    def _change_code(self, work: Work, loaded: Loaded[Identification], text: str) -> None:
        held = identification.readable(loaded.state)
        installation_id = held.installation_id or ""  # only a PIN's keyed id depends on it
        code = self._code(held.type, text, installation_id)
        events = identification.change_code(held, code)
        if events:
            self._release(work, held.code, held.user_id, loaded.id)
            self._reserve(work, code, held.type, held.user_id, loaded.id)
            work.record(loaded, *events)

    def _code(
        self, identification_type: IdentificationType, text: str, installation_id: str
    ) -> Code:
        code_class, canonical = codes.canonical(identification_type, text)
        return Code(canonical, self._keyed_ids.of(code_class, canonical, installation_id).hex())

    def _reserve(
        self,
        work: Work,
        code: Code,
        identification_type: IdentificationType,
        user_id: str,
        identification_id: str,
    ) -> None:
        loaded = work.load(reservation.evolve, _reservation_id(code))
        events = reservation.reserve(
            loaded.state, identification_type, user_id=user_id, identification_id=identification_id
        )
        work.record(loaded, *events)

    def _release(self, work: Work, code: Code, user_id: str, identification_id: str) -> None:
        loaded = work.load(reservation.evolve, _reservation_id(code))
        events = reservation.release(
            loaded.state, user_id=user_id, identification_id=identification_id
        )
        work.record(loaded, *events)


def _reservation_id(code: Code) -> str:
    """One reservation per keyed id, so that the same code meets itself."""
    return str(uuid.uuid5(_NAMESPACE, code.keyed_id))
