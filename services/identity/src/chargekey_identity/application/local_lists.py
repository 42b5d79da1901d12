"""What chargers' own lists are made of: codes in plain, told to the gateway and recorded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Context, EventStore, Work, command
from chargekey_identity.domain import identification, local_list
from chargekey_identity.domain.errors import IdentificationUnknownError


class LocalLists:
    """Tells codes; how many for which charger is on record before the first is told."""

    def __init__(self, store: EventStore) -> None:
        self.store = store

    def reveal_codes(
        self, context: Context, *, charger_id: str, identification_ids: Sequence[str]
    ) -> Sequence[tuple[str, str]]:
        """Return ids with their codes, of those that can be read; one recorded event.

        None of an app: no charger reads it. Raises TooManyCodesError.
        """
        local_list.require_few(identification_ids)
        told = list(self._readable(dict.fromkeys(identification_ids)))
        if told:
            self.record(context, charger_id=charger_id, codes=len(told))
        return told

    @command
    def record(self, work: Work, *, charger_id: str, codes: int) -> None:
        """Record that so many codes are told for one charger's list."""
        loaded = work.load(local_list.evolve, new_id())
        work.record(loaded, *local_list.reveal(charger_id, codes))

    def _readable(self, identification_ids: dict[str, None]) -> Iterator[tuple[str, str]]:
        for key in identification_ids:
            with contextlib.suppress(IdentificationUnknownError):
                held = identification.readable(self.store.load(identification.evolve, key).state)
                if held.type != "APP":
                    yield key, held.code.text
