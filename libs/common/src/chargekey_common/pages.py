"""Lists in pages: never silently cut, each page told from where the one before it ended."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from chargekey_common.errors import InvalidArgumentError

DEFAULT_SIZE = 100
LARGEST = 1000
# Keys that a list is read by where most of them are left out.
PORTION = 500

Entry = TypeVar("Entry")


class PageSizeMalformedError(InvalidArgumentError):
    """Less than nothing was asked for."""

    code = "page_size_malformed"
    sentence = f"Ask for pages of 1 to {LARGEST} entries; 0 means {DEFAULT_SIZE}."


class PageTokenMalformedError(InvalidArgumentError):
    """Not one that came with a page of this list."""

    code = "page_token_malformed"
    sentence = "Use the page token of the page before, with the same request, or none."


class Asked(Protocol):
    """A request for a page."""

    page_size: int
    page_token: str


class Page(msgspec.Struct, Generic[Entry], frozen=True):
    """Some entries, and the token of the next page; empty where there is none."""

    entries: list[Entry]
    next_token: str


def page(asked: Asked, keys: Iterable[str], entry: Callable[[str], Entry | None]) -> Page[Entry]:
    """Return the entries of the keys behind the page before; None leaves a key out.

    `keys` come in a fixed order to which new ones are appended and from which none
    vanish: what is gone is left out by `entry`, so that pages begin where they should.
    Raises PageSizeMalformedError or PageTokenMalformedError.
    """
    most = size(asked)
    told = ((key, entry(key)) for key in _behind(asked, keys))
    return _first(most, ((key, found) for key, found in told if found is not None))


def page_of_portions(
    asked: Asked, keys: Iterable[str], entries: Callable[[Sequence[str]], Mapping[str, Entry]]
) -> Page[Entry]:
    """Return the same of `entries`, asked of some keys at once, which leaves out some of them.

    What holds a lock while it answers holds it for no more than that. `keys` come as for `page`,
    and in their order `entries` answers; raises as `page` does.
    """
    most = size(asked)
    rest = _behind(asked, keys)

    def told() -> Iterator[tuple[str, Entry]]:
        wanted = most + 1  # the last one tells that there is a page behind
        while some := list(islice(rest, wanted)):
            yield from entries(some).items()
            wanted = PORTION

    return _first(most, told())


def _behind(asked: Asked, keys: Iterable[str]) -> Iterator[str]:
    rest = iter(keys)
    if asked.page_token and anchor(asked) not in rest:  # reads up to it
        raise PageTokenMalformedError
    return rest


def _first(most: int, told: Iterator[tuple[str, Entry]]) -> Page[Entry]:
    entries: list[Entry] = []
    token = ""
    for key, entry in told:
        if len(entries) == most:
            return Page(entries, token)
        entries.append(entry)
        token = token_of(key)
    return Page(entries, "")


def size(asked: Asked) -> int:
    """Return how many entries a page may have; raises PageSizeMalformedError."""
    if asked.page_size < 0:
        raise PageSizeMalformedError
    return min(asked.page_size or DEFAULT_SIZE, LARGEST)


def token_of(key: str) -> str:
    """Return the token of the page behind this key."""
    return base64.urlsafe_b64encode(key.encode()).decode()


def anchor(asked: Asked) -> str:
    """Return the key that the page begins behind, empty for the first one.

    Raises PageTokenMalformedError.
    """
    try:
        # Strictly: the decoder by itself passes over what is not of its alphabet.
        raw = base64.b64decode(asked.page_token.encode(), b"-_", validate=True)
        return raw.decode()
    except (binascii.Error, UnicodeError):
        raise PageTokenMalformedError from None


async def every(
    call: Callable[[Any], Awaitable[Any]],
    request: Any,  # noqa: ANN401 - any list's
    entries: str,
) -> list[Any]:
    """Return all the `entries` of all the pages of a service's answer."""
    found: list[Any] = []
    while True:
        answer = await call(request)
        found += getattr(answer, entries)
        request.page_token = answer.next_page_token
        if not request.page_token:
            return found
