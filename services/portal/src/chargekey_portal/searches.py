"""Searches of people: what was typed stands in addresses sealed, and nobody reads it there."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fastapi import Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from chargekey_portal.visitors import SignedIn

# Seconds for which a search can be looked at again.
LASTS = 3600
# Characters; nobody has a longer name or address.
LONGEST = 320

_PURPOSE = b"chargekey portal searches of people"
_KEY_BYTES = 32

_Typed = Annotated[str, Form(max_length=LONGEST)]


class _Sealed(msgspec.Struct, frozen=True):
    user_id: str
    text: str


class Searches:
    """Seals and opens them, alike at every replica of the same secret.

    `clock` tells seconds since the epoch.
    """

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        derived = HKDF(SHA256(), _KEY_BYTES, salt=None, info=_PURPOSE).derive(secret)
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))
        self._clock = clock

    def sealed(self, user_id: str, text: str) -> str:
        """Return what stands in the address in its place: good for LASTS, and for this user."""
        inside = msgspec.json.encode(_Sealed(user_id, text))
        return self._fernet.encrypt_at_time(inside, int(self._clock())).decode()

    def opened(self, user_id: str, token: str) -> str | None:
        """Return what was searched by; None where it is another user's, or none any more."""
        try:
            inside = self._fernet.decrypt_at_time(token.encode(), LASTS, int(self._clock()))
        except InvalidToken:
            return None
        found = msgspec.json.decode(inside, type=_Sealed)
        return found.text if found.user_id == user_id else None


class PeopleSearch(msgspec.Struct, frozen=True):
    """Whom somebody looks for, and behind which page.

    `sealed` is what stands in addresses in place of the text; `ended` where what stood there
    opens nothing any more, and everybody is listed instead.
    """

    text: str = ""
    sealed: str = ""
    after: str = ""
    ended: bool = False


async def _sought(request: Request, visitor: SignedIn, search: _Typed = "") -> Response:
    searches: Searches = request.app.state.searches
    address = request.url.path
    if text := search.strip():
        address += f"?search={searches.sealed(visitor.user_id, text)}"
    return RedirectResponse(address, HTTPStatus.SEE_OTHER)


async def _people_search(
    request: Request, visitor: SignedIn, search: str = "", after: str = ""
) -> PeopleSearch:
    searches: Searches = request.app.state.searches
    if not search:
        return PeopleSearch(after=after)
    text = searches.opened(visitor.user_id, search)
    if text is None:
        return PeopleSearch(ended=True)
    return PeopleSearch(text, search, after)


# What a search of people is sent by: it leads on to the list, with what was searched sealed.
Sought = Annotated[Response, Depends(_sought)]
ForPeople = Annotated[PeopleSearch, Depends(_people_search)]
