"""Calling operators' servers by OCPI: guarded, within a deadline, and told nobody."""

from __future__ import annotations

import asyncio
import base64
import re
import uuid
from collections.abc import Mapping
from typing import TypeVar

import httpx2
import msgspec

from chargekey_common.outgoing import Outgoing, Request, Said, UnsafeAddressError
from chargekey_notifier.errors import OcpiRefusedError, OcpiUnreachableError
from chargekey_notifier.ocpi.messages import Party
from chargekey_notifier.ocpi.peers import Credential, Peer

DEADLINE = 10.0  # seconds for one call
LONGEST_ANSWER = 4 * 1024 * 1024  # bytes: a page is as long as the other side pleases
UNAUTHORIZED = 401
# Of somebody else's doing, or passing; 5xx beside them.
_NOT_NOW = (403, 408, 429)
# A link with its parameters: nothing of it can be read in two ways, however long it is.
_LINK = re.compile(r"<([^<>\s]+)>([^<>]*)")
_IS_NEXT = re.compile(r';\s*rel="?next"?\s*(?:[;,]|$)')

Data = TypeVar("Data")


class Told(msgspec.Struct, frozen=True):
    """What came back: the `data` of it, and where the next page is (§4.1.4)."""

    data: msgspec.Raw
    next: str | None = None

    def read(self, kind: type[Data]) -> Data:
        """Return the data; raises OcpiRefusedError where it is not what the standard has there."""
        try:
            return msgspec.json.decode(self.data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            detail = "What it answered is not OCPI 2.2.1."
            raise OcpiRefusedError(detail) from None


class WrongEncodingError(OcpiRefusedError):
    """It does not know the token, in the way it was sent."""


class NotNowError(OcpiRefusedError):
    """It says no, and may say yes to the same later."""


class _Envelope(msgspec.Struct):
    status_code: int
    data: msgspec.Raw = msgspec.Raw(b"null")


class Calls:
    """Calls as `party`."""

    def __init__(self, outgoing: Outgoing, party: Party, *, deadline: float = DEADLINE) -> None:
        self._outgoing = outgoing
        self._party = party
        self._deadline = deadline

    async def call(
        self,
        partner_id: str,
        method: str,
        url: str,
        credential: Credential,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Told:
        """Return what this operator answers; raises OcpiUnreachableError and OcpiRefusedError.

        Without routing headers, which configuration modules do not have (§4.2).
        """
        token = credential.token
        if credential.encoded:
            token = base64.b64encode(token.encode()).decode()
        sent = {
            "authorization": f"Token {token}",
            "x-request-id": str(uuid.uuid4()),
            "x-correlation-id": str(uuid.uuid4()),
            **(headers or {}),
        }
        content = b""
        if body is not None:
            content = msgspec.json.encode(body)
            sent["content-type"] = "application/json"
        request = Request(url, sent, content, method)
        try:
            async with asyncio.timeout(self._deadline):
                said = await self._outgoing.send(request, asker=partner_id, longest=LONGEST_ANSWER)
        except (TimeoutError, UnsafeAddressError, httpx2.HTTPError, httpx2.InvalidURL):
            raise OcpiUnreachableError from None  # what it says may have the token in it
        return _told(said)

    async def call_peer(self, peer: Peer, method: str, url: str, body: object = None) -> Told:
        """Return what an operator answers at a functional module; raises what `call` does.

        NotNowError also of one that there is nothing to call with.
        """
        if peer.credential is None:
            detail = "What it is called with cannot be read; connect anew."
            raise NotNowError(detail)
        routing = {
            "ocpi-from-country-code": self._party.country_code,
            "ocpi-from-party-id": self._party.party_id,
        }
        operator = peer.operator
        if operator is not None:
            routing["ocpi-to-country-code"] = operator.country_code
            routing["ocpi-to-party-id"] = operator.party_id
        return await self.call(peer.partner_id, method, url, peer.credential, body, headers=routing)


def _told(said: Said) -> Told:
    if said.status == UNAUTHORIZED:
        detail = "It does not know the token."
        raise WrongEncodingError(detail)
    if said.status in _NOT_NOW:
        detail = f"It answered HTTP {said.status}."
        raise NotNowError(detail)
    try:
        envelope = msgspec.json.decode(said.body, type=_Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if said.status >= 500:  # noqa: PLR2004 - a server's error
            raise OcpiUnreachableError from None
        detail = f"It answered HTTP {said.status}."
        raise OcpiRefusedError(detail) from None
    # §5.3: the server's own errors.
    if said.status >= 500 or 3000 <= envelope.status_code < 4000:  # noqa: PLR2004
        detail = f"It answered OCPI {envelope.status_code:d}."
        raise NotNowError(detail)
    if not 1000 <= envelope.status_code < 2000:  # noqa: PLR2004 - §5.1: success
        detail = f"It answered OCPI {envelope.status_code:d}."
        raise OcpiRefusedError(detail)
    if said.status >= 400:  # noqa: PLR2004 - an error
        detail = f"It answered HTTP {said.status}."
        raise OcpiRefusedError(detail)
    links = _LINK.findall(said.link or "")
    following = (url for url, parameters in links if _IS_NEXT.search(parameters))
    return Told(envelope.data, next(following, None))
