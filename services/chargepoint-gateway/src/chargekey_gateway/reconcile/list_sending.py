"""Sending a charger its own list: its version, the codes in it, portions, and what it can hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

import msgspec
import structlog

from chargekey_common.published.chargers import LocalListConfirmed
from chargekey_gateway.commands import GetLocalListVersion, ListEntry, Outcome, SendLocalList
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.reconcile import local_list
from chargekey_gateway.reconcile.codes import Codes
from chargekey_gateway.reconcile.confirmed import MOST_REMEMBERED, Confirmed
from chargekey_gateway.reconcile.convergence import Convergence, Step
from chargekey_gateway.reconcile.kept import Kept, LaterError, MismatchError, Tell
from chargekey_gateway.reconcile.local_list import Update, Wish
from chargekey_gateway.reconcile.turns import Turns
from chargekey_gateway.view.entries import Charger, Quirks
from chargekey_gateway.view.view import View

# Codes that are asked of identity at once, and known here until the charger has them.
CODES_AT_ONCE = 200
# Seconds before a charger that has lost its list, or complains of it, once more gets it again:
# every time costs identity as many codes as are in it. The last one repeats.
LOSSES = (5.0, 60.0, 300.0, 1200.0)
# Seconds without, after which that is forgotten.
FORGIVEN = 2 * 3600.0

# A portion of a list that was read, and not taken.
_REFUSED = frozenset({Outcome.REJECTED, Outcome.REFUSED})

log = structlog.get_logger()


class UnreadableError(Exception):
    """A code has to be named that cannot be read."""


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
        losses: tuple[float, ...] = LOSSES,
    ) -> None:
        """Send the `codes` that `look_up` finds; `tell` publishes what chargers confirmed.

        A list that was lost is sent again at once, and after `losses` (seconds) from then on.
        """
        self._view = view
        self._confirmed = confirmed
        self._convergence = convergence
        self._turns = turns
        self._codes = codes
        self._look_up = look_up
        self._tell = tell
        self._losses = losses
        # By charger: how often, and when last in the time of the event loop.
        self._lost: dict[str, tuple[int, float]] = {}

    def lost(self, charger_id: str) -> None:
        """Know that nobody knows which list the charger has; that is a loss if somebody did."""
        record = self._confirmed.of(charger_id)
        if record.list_digest or record.list_content is not None:
            self._count_loss(charger_id)
            self._confirmed.forget_list(charger_id)

    def not_before(self, charger_id: str) -> float:
        """Return from when on it may be sent one, in the time of the event loop.

        Whether it boots meanwhile, or connects anew, makes no difference.
        """
        times, at = self._lost.get(charger_id, (0, 0.0))
        return at + self._losses[min(times - 2, len(self._losses) - 1)] if times > 1 else 0.0

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
        if content and local_list.truncates(kept.charger):
            # A card that is there may be ambiguous for another's sake by now.
            entries = await self._clear(kept, quirks, entries)
        readable = self._is_readable(kept.charger, content or {})
        update = local_list.update(entries, content, readable)
        conflicts = kept.conflicts
        marks = wishes.wanted.marks
        try:
            await self._send_update(kept, update, quirks, marks, content or {})
        except UnreadableError:
            update = Update(full=True, put=tuple(entries.values()))
            await self._send_update(kept, update, quirks, marks, {})
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

    def _count_loss(self, charger_id: str) -> None:
        now = asyncio.get_running_loop().time()
        times, at = self._lost.get(charger_id, (0, now))
        self._lost[charger_id] = (times if now - at < FORGIVEN else 0) + 1, now

    async def _ask_for_version(self, kept: Kept) -> None:
        result = await kept.connection.carry_out(GetLocalListVersion())
        there = result.version
        if there is None and not result.unsupported:  # whatever its trouble, it may have a list
            raise LaterError
        kept.list_checked = True
        if there is None or there < 0:  # -1 of OCPP 1.6: it knows no lists
            self._confirmed.change(kept.charger.id, list_supported=False, list_entries=0)
            return
        record = self._confirmed.change(kept.charger.id, list_supported=True)
        kept.version_tried = max(kept.version_tried, there)
        if there == 0:
            # The empty list, whatever was confirmed before.
            if record.list_content != {} or record.list_version:
                if record.list_content:
                    self._count_loss(kept.charger.id)
                record = self._confirmed.change(
                    kept.charger.id, list_version=0, list_content={}, list_digest="", list_entries=0
                )
            await self._convergence.prepare(kept.charger)
            wishes = self._convergence.of(kept.charger)
            if not wishes.wanted.entries:
                self._confirmed.change(
                    kept.charger.id, list_digest=wishes.wanted.digest, list_wanted=0
                )
        elif there != record.list_version:
            self.lost(kept.charger.id)

    async def _clear(
        self, kept: Kept, quirks: Quirks | None, entries: Mapping[str, Wish]
    ) -> Mapping[str, Wish]:
        """Return those that are nobody else's to a reader that truncates, as codes alone tell."""
        clear: dict[str, Wish] = {}
        several = tuple(entries)
        for begin in range(0, len(several), CODES_AT_ONCE):
            some = several[begin : begin + CODES_AT_ONCE]
            clear |= {each: entries[each] for each in await self._read_codes(kept, quirks, some)}
        return clear

    async def _read_codes(
        self, kept: Kept, quirks: Quirks | None, wanted: Sequence[str]
    ) -> Mapping[str, str]:
        """Return what a reader of these quirks sends, by identification; few in one turn.

        Who would not be found by it there is left out: what a reader makes of two cards is
        neither of them, and a code that was just changed is on its way. Raises
        MismatchError where the reader is another one meanwhile.
        """
        if not wanted:
            return {}
        found = {}
        codes = await self._codes.read(kept.charger.id, wanted)
        await self._turns.mine()
        if kept.charger.quirks != quirks:
            raise MismatchError
        for identification_id, code in codes.items():
            sent = local_list.as_read(quirks, code)
            presented = self._look_up(kept.charger, sent).identification
            if presented is not None and presented.id == identification_id:
                found[identification_id] = sent
        return found

    async def _send_update(
        self,
        kept: Kept,
        update: Update,
        quirks: Quirks | None,
        marks: dict[str, str],
        content: Mapping[str, str],
    ) -> None:
        """Send it in portions, each confirmed before the next, and its codes read before it.

        `marks` are those of the list as it shall be: whose list is that, shares them. Raises
        UnreadableError where something else than a whole list has codes that cannot be read.
        """
        have = {} if update.full else dict(content)
        put = {wish.identification_id: wish for wish in update.put}
        named = (*update.removed, *put)
        portion = min(self._confirmed.of(kept.charger.id).limits.portion, CODES_AT_ONCE)
        at_once = CODES_AT_ONCE // portion * portion
        full, refused = update.full, 0
        for begin in range(0, max(len(named), 1), at_once):
            some = named[begin : begin + at_once]
            codes = await self._read_codes(kept, quirks, some)
            if len(codes) < len(some) and not update.full:
                raise UnreadableError
            waiting = [each for each in some if each in codes]
            while waiting or full:
                sending = waiting[:portion]
                removed = [each for each in sending if each not in put]
                changed = [put[each] for each in sending if each in put]
                message = SendLocalList(
                    version=self._next_version(kept),
                    full=full,
                    entries=tuple(_entry(wish, codes) for wish in changed),
                    removed=tuple(ListEntry(code=codes[e], type=self._type(e)) for e in removed),
                )
                if not await self._takes(kept, message, goes_on=update.full and bool(have)):
                    # Once proves nothing.
                    if len(sending) == 1 and refused:
                        self._is_full(kept, len(have))
                    portion, refused = max(1, len(sending) // 2), refused + 1
                    continue
                full, refused = False, 0
                del waiting[: len(sending)]
                for each in removed:
                    del have[each]
                have |= {wish.identification_id: wish.mark for wish in changed}
                self._remember(kept, message.version, have, marks)
                await self._turns.mine()

    def _remember(
        self, kept: Kept, version: int, have: dict[str, str], marks: dict[str, str]
    ) -> None:
        """Know what the charger has now, which may be half of what it should."""
        content = None
        if len(have) <= MOST_REMEMBERED:
            content = marks if have == marks else dict(have)
        self._confirmed.change(
            kept.charger.id,
            list_version=version,
            list_digest="",
            list_content=content,
            list_entries=len(have),
        )

    def _is_full(self, kept: Kept, taken: int) -> NoReturn:
        """Know that so many entries are all that the charger takes, until it boots.

        OCPP 2.x has no variable that would have said so. It is asked what it has: where that
        is what it took, it keeps it.
        """
        limits = self._confirmed.of(kept.charger.id).limits
        self._confirmed.change(
            kept.charger.id, limits=msgspec.structs.replace(limits, capacity=taken)
        )
        kept.list_checked = False
        raise MismatchError

    def _next_version(self, kept: Kept) -> int:
        confirmed = self._confirmed.of(kept.charger.id).list_version
        kept.version_tried = max(kept.version_tried, confirmed) + 1
        return kept.version_tried

    async def _takes(self, kept: Kept, message: SendLocalList, *, goes_on: bool) -> bool:
        """Send a portion, and return whether the charger took it.

        It is no failure yet that it takes no more of a list that `goes_on`: it may be full.
        Raises LaterError.
        """
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
            return True
        if goes_on and result.outcome in _REFUSED:
            return False
        if result.outcome is Outcome.NOT_SUPPORTED:
            self._confirmed.change(kept.charger.id, list_supported=False, list_entries=0)
            raise LaterError
        # It is asked what it has. Where it has been sent something, and did not refuse to read
        # it, nobody knows, and it gets the whole list (§5.15 of OCPP 1.6).
        kept.list_checked = False
        if result.outcome in {Outcome.DISCONNECTED, Outcome.TOO_MANY_QUEUED}:
            raise LaterError
        self._count_loss(kept.charger.id)
        self._confirmed.forget_list(kept.charger.id)
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
