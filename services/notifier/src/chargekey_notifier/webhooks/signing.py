"""An event as a request, signed as Standard Webhooks 1.0 says. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from standardwebhooks import Webhook

from chargekey_common.outgoing import Request
from chargekey_common.published.feed import CONTENT_TYPE
from chargekey_notifier.feeds.store import Entry

_SECOND = 10**9


def signed(url: str, entry: Entry, secrets: Sequence[str], *, now: int) -> Request:
    """Return the request, signed under each secret at `now` in nanoseconds since the epoch.

    Its id is the event's, so that an event that comes again is known; its body are the very
    bytes that every door gives.
    """
    at = dt.datetime.fromtimestamp(now // _SECOND, tz=dt.UTC)
    text = entry.document.decode()
    signatures = (Webhook(secret).sign(entry.id, at, text) for secret in secrets)
    headers = {
        "content-type": CONTENT_TYPE,
        "webhook-id": entry.id,
        "webhook-timestamp": str(now // _SECOND),
        "webhook-signature": " ".join(signatures),
    }
    return Request(url, headers, entry.document)
