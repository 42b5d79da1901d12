"""Sending a charger its own list: its version, the codes in it, portions, and what it can hold."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet

import msgspec
import structlog

from chargekey_common.published.chargers import LocalListConfirmed
from chargekey_gateway.commands import GetLocalListVersion, ListEntry, Outcome, SendLocalList
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.reconcile import local_list
from chargekey_gateway.reconcile.codes import Codes
from chargekey_gateway.reconcile.confirmed import Confirmed
from chargekey_gateway.reconcile.convergence import Convergence, Step
from chargekey_gateway.reconcile.kept import UNANSWERED, Kept, LaterError, MismatchError, Tell
from chargekey_gateway.reconcile.local_list import Update, Wish
from chargekey_gateway.reconcile.turns import Turns
from chargekey_gateway.view.entries import Charger, Quirks
from chargekey_gateway.view.view import View

# Codes that are looked up in one turn.
CODES_A_TURN = 200

# A portion of a list that was read, and not taken.
_REFUSED = frozenset({Outcome.REJECTED, Outcome.REFUSED})

log = structlog.get_logger()


class ListSending:
    """Brings a charger's own list in line with the view."""

    def __init__(
        self,
        view: View,
        confirmed: Confirmed,
        convergence: Convergence,
        turns: Turns,
        *,
        codes: Codes,
        look_up: Lookup,
        tell: Tell,
    ) -> None:
        """Send the `codes` that `look_up` finds; `tell` publishes what chargers confirmed."""
        self._view = view
        self._confirmed = confirmed
        self._convergence = convergence
        self._turns = turns
        self._codes = codes
        self._look_up = look_up
        self._tell = tell

    async def send(self, kept: Kept) -> None:
        """Ask which list the charger has, or send what that one lacks.

        Raises LaterError, CodesUnavailableError.
        """
        if not kept.list_checked:
            await self._ask_for_version(kept)
            return
        wishes = self._convergence.of(kept.charger)
        if Step.LOCAL_LIST not in wishes.pending:
            return
        kept.unsettled_since = None
        quirks = kept.charger.quirks  # those that the wishes are about
        entries, content = wishes.wanted.entries, wishes.confirmed.list_content
        if local_list.truncates(kept.charger):
            # A card may be ambiguous there for another's sake, which its code alone tells.
            clear = await self._read_codes(kept, quirks, entries)
            entries = {each: wish for each, wish in entries.items() if each in clear}
        readable = self._is_readable(kept.charger, content or {})
        update = local_list.update(entries, content, readable)
        codes = await self._read_codes(kept, quirks, _named(update))
        if not update.full and not _named(update) <= codes.keys():
            update = Update(full=True, put=tuple(entries.values()))
            codes = await self._read_codes(kept, quirks, _named(update))
        conflicts = kept.conflicts
        await self._send_update(kept, update, codes, wishes.wanted.marks, content or {})
        if kept.conflicts != conflicts:  # it complained while it was being sent
            self._confirmed.forget_list(kept.charger.id)
            raise MismatchError
        record = self._confirmed.change(
            kept.charger.id, list_digest=wishes.wanted.digest, list_wanted=wishes.wanted.belonging
        )
        self._tell(
            LocalListConfirmed(
                **kept.about,
                version=record.list_version,
                entries=record.list_entries,
                entries_wanted=record.list_wanted,
            )
        )

    async def _ask_for_version(self, kept: Kept) -> None:
        result = await kept.connection.carry_out(GetLocalListVersion())
        if result.outcome in UNANSWERED:
            raise LaterError
        kept.list_checked = True
        there = result.version
        if there is None or there < 0:  # -1 of OCPP 1.6: it knows no lists
            self._confirmed.change(kept.charger.id, list_supported=False, list_entries=0)
            return
        record = self._confirmed.change(kept.charger.id, list_supported=True)
        kept.version_tried = max(kept.version_tried, there)
        if there == 0:
            # The empty list, whatever was confirmed before.
            if record.list_content != {} or record.list_version:
                record = self._confirmed.change(
                    kept.charger.id, list_version=0, list_content={}, list_digest="", list_entries=0
                )
            wishes = self._convergence.of(kept.charger)
            if not wishes.wanted.entries:
                self._confirmed.change(
                    kept.charger.id, list_digest=wishes.wanted.digest, list_wanted=0
                )
        elif there != record.list_version:
            self._confirmed.forget_list(kept.charger.id)

    async def _read_codes(
        self, kept: Kept, quirks: Quirks | None, wanted: Collection[str]
    ) -> Mapping[str, str]:
        """Return what a reader of these quirks sends, by identification.

        Who would not be found by it there is left out: what a reader makes of two cards is
        neither of them, and a code that was just changed is on its way. Raises
        MismatchError where the reader is another one meanwhile.
        """
        if not wanted:
            return {}
        found = {}
        codes = await self._codes.read(kept.charger.id, wanted)
        for number, (identification_id, code) in enumerate(codes.items()):
            if number % CODES_A_TURN == 0:
                await self._turns.mine()
            if kept.charger.quirks != quirks:
                raise MismatchError
            sent = local_list.as_read(quirks, code)
            presented = self._look_up(kept.charger, sent).identification
            if presented is not None and presented.id == identification_id:
                found[identification_id] = sent
        return found

    async def _send_update(
        self,
        kept: Kept,
        update: Update,
        codes: Mapping[str, str],
        marks: dict[str, str],
        content: Mapping[str, str],
    ) -> None:
        """Send it in portions, each confirmed before the next.

        `marks` are those of the list as it shall be: whose list is that, shares them.
        """
        have = {} if update.full else dict(content)
        put = {wish.identification_id: wish for wish in update.put}
        waiting = [each for each in (*update.removed, *put) if each in codes]
        portion = self._confirmed.of(kept.charger.id).limits.portion
        full = update.full
        while waiting or full:
            some, waiting = waiting[:portion], waiting[portion:]
            removed = [each for each in some if each not in put]
            changed = [put[each] for each in some if each in put]
            message = SendLocalList(
                version=self._next_version(kept),
                full=full,
                entries=tuple(_entry(wish, codes) for wish in changed),
                removed=tuple(ListEntry(code=codes[e], type=self._type(e)) for e in removed),
            )
            await self._send_portion(kept, message, len(have) if update.full else 0)
            await self._turns.mine()
            full = False
            for each in removed:
                del have[each]
            have |= {wish.identification_id: wish.mark for wish in changed}
            self._confirmed.change(
                kept.charger.id,
                list_version=message.version,
                list_content=marks if have == marks else dict(have),
                list_entries=len(have),
            )

    def _next_version(self, kept: Kept) -> int:
        confirmed = self._confirmed.of(kept.charger.id).list_version
        kept.version_tried = max(kept.version_tried, confirmed) + 1
        return kept.version_tried

    async def _send_portion(self, kept: Kept, message: SendLocalList, taken: int) -> None:
        """Send a portion; `taken` entries of the same whole list the charger has already."""
        result = await kept.connection.carry_out(message)
        log.info(
            "local_list_sent",
            charger=kept.charger.id,
            version=message.version,
            full=message.full,
            entries=len(message.entries),
            removed=len(message.removed),
            outcome=result.outcome.value,
        )
        if result.accepted:
            return
        if result.outcome is Outcome.NOT_SUPPORTED:
            self._confirmed.change(kept.charger.id, list_supported=False, list_entries=0)
            raise LaterError
        # It is asked what it has. Where it has been sent something, and did not refuse to read
        # it, nobody knows, and it gets the whole list (§5.15 of OCPP 1.6).
        kept.list_checked = False
        if result.outcome in {Outcome.DISCONNECTED, Outcome.TOO_MANY_QUEUED}:
            raise LaterError
        self._confirmed.forget_list(kept.charger.id)
        if taken and result.outcome in _REFUSED and kept.failures.get(Step.LOCAL_LIST):
            # It takes the beginning of a list every time, and not the rest: it is full. OCPP 2.x
            # has no variable that would have said so. Until it boots half a portion more is tried.
            capacity = taken + len(message.entries) // 2
            limits = self._confirmed.of(kept.charger.id).limits
            self._confirmed.change(
                kept.charger.id, limits=msgspec.structs.replace(limits, capacity=capacity)
            )
        raise LaterError if result.outcome is Outcome.TIMED_OUT else MismatchError

    def _is_readable(self, charger: Charger, content: Mapping[str, str]) -> Callable[[str], bool]:
        """Tell of those in a list whether their codes are still the ones there."""

        def readable(identification_id: str) -> bool:
            keyed_id = self._view.keyed_id(identification_id)
            return keyed_id is not None and content[identification_id].startswith(
                local_list.key_of(keyed_id, charger.quirks)
            )

        return readable

    def _type(self, identification_id: str) -> str:
        known = self._view.identification_by_id(identification_id)
        return "" if known is None else known.type


def _entry(wish: Wish, codes: Mapping[str, str]) -> ListEntry:
    return ListEntry(
        code=codes[wish.identification_id],
        type=wish.type,
        status=wish.status,
        expires=wish.expires,
        group=wish.group,
    )


def _named(update: Update) -> AbstractSet[str]:
    """Return whose codes it takes to send an update."""
    return {*update.removed, *(wish.identification_id for wish in update.put)}
