"""What can be done with users."""

from __future__ import annotations

from chargekey_common import names
from chargekey_common.accounts import is_administrator
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import EventStore, Work, command
from chargekey_identity.domain import user


class Users:
    """Every command on a user."""

    def __init__(self, store: EventStore) -> None:
        self.store = store

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
    def change_profile(
        self, work: Work, *, user_id: str, time_zone: str | None, language: str | None
    ) -> None:
        """Change how a user wants to be written to; None leaves a thing as it is."""
        loaded = work.load(user.evolve, user_id)
        events = user.change_profile(loaded.state, time_zone=time_zone, language=language)
        work.record(loaded, *events)

    @command
    def block_user(self, work: Work, *, user_id: str, everywhere: bool = False) -> None:
        """Refuse a user with everything he has, at his installation or everywhere (R12)."""
        loaded = work.load(user.evolve, user_id)
        events = user.block(
            loaded.state, everywhere=everywhere, by_administrator=_by_administrator(work)
        )
        work.record(loaded, *events)

    @command
    def unblock_user(self, work: Work, *, user_id: str, everywhere: bool = False) -> None:
        """Lift the block of this scope."""
        loaded = work.load(user.evolve, user_id)
        events = user.unblock(
            loaded.state, everywhere=everywhere, by_administrator=_by_administrator(work)
        )
        work.record(loaded, *events)


def _by_administrator(work: Work) -> bool:
    return is_administrator(work.actor)
