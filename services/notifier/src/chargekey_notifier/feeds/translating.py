"""What a partner is told of a fact: the fields that the feed's event of its name has."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from chargekey_common.published.feed import EVENTS, FeedEvent, moment

_FORMS: Mapping[str, type[FeedEvent]] = {form.__name__: form for form in EVENTS}
# In the feed these are RFC 3339, elsewhere nanoseconds since the epoch.
_TIMES = frozenset({"at", "ended_at", "started_at", "valid_until"})


def told(fact: msgspec.Struct, name: str = "", **fields: object) -> FeedEvent:
    """Return the feed's event of this name, or of the fact's own, with the fields that both have.

    `fields` come in the place of the fact's or beside them.
    """
    form = _FORMS[name or type(fact).__name__]
    known = {
        field: getattr(fact, field) for field in form.__struct_fields__ if hasattr(fact, field)
    }
    for field in _TIMES & known.keys():
        if known[field] is not None:
            known[field] = moment(known[field])
    return form(**{**known, **fields})
