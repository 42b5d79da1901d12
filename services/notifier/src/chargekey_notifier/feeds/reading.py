"""A page of a feed, asked for by a cursor: the same rules behind every door that is asked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from chargekey_notifier.errors import (
    CursorAheadError,
    CursorExpiredError,
    CursorMalformedError,
    LimitMalformedError,
)
from chargekey_notifier.feeds.store import Ends, Entry, Feeds
from chargekey_notifier.reachable import reachable

DEFAULT_LIMIT = 100
LONGEST_PAGE = 1000
_CURSOR = re.compile(r"[0-9]{20}")
_MOST = 2**63 - 1


def number_of(cursor: str) -> int:
    """Return the number that the cursor names, 0 for none; raises CursorMalformedError."""
    if not cursor:
        return 0
    if _CURSOR.fullmatch(cursor) is None or int(cursor) > _MOST:
        raise CursorMalformedError
    return int(cursor)


async def page(feeds: Feeds, partner_id: str, *, after: str, limit: int) -> Sequence[Entry]:
    """Return up to `limit` events behind the cursor, oldest first; 0 is DEFAULT_LIMIT.

    Raises CursorMalformedError, LimitMalformedError, CursorExpiredError, CursorAheadError and
    NotifierUnavailableError.
    """
    if not 0 <= limit <= LONGEST_PAGE:
        raise LimitMalformedError
    number = number_of(after)
    with reachable():
        return await asyncio.to_thread(_page, feeds, partner_id, number, limit or DEFAULT_LIMIT)


def _page(feeds: Feeds, partner_id: str, number: int, limit: int) -> Sequence[Entry]:
    """Return a page that follows its cursor without a gap."""
    found = feeds.read(partner_id, after=number, limit=limit)
    if not number or (found and found[0].number == number + 1):
        return found
    ends = feeds.ends(partner_id)
    if ends is None or ends.last < number:
        raise CursorAheadError
    if ends.first > number + 1:
        raise CursorExpiredError
    return found


async def ends(feeds: Feeds, partner_id: str) -> Ends | None:
    """Return how far the feed goes; raises NotifierUnavailableError."""
    with reachable():
        return await asyncio.to_thread(feeds.ends, partner_id)
