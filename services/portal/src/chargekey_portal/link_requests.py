"""How many links to sign in one client may ask for, whichever addresses they are to go to."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from http import HTTPStatus

from fastapi import Request

from chargekey_common.errors import TooManyAttemptsError
from chargekey_common.rates import Rates
from chargekey_portal.refusals import Refusal, RefusedError

MOST = 20
WITHIN = 600.0  # seconds
# Of an address of IPv6 whoever has one has all that begin alike.
_OWN_BITS = 64


class LinkRequests:
    """Counts them by where they come from; by each replica for itself.

    What this machine itself asks for is not counted: where a proxy stands there, and nobody
    said so, its address would be everybody's. Where proxies are named all is counted: who is in
    a network of theirs may say that he is this machine. `clock` tells seconds that never go back.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, proxies_named: bool = False
    ) -> None:
        self._rates = Rates(most=MOST, within=WITHIN, clock=clock)
        self._proxies_named = proxies_named

    def count(self, request: Request) -> None:
        """Count one; raises RefusedError, which says when to try again."""
        if request.client is None:
            return
        client = whose(request.client.host, proxies_named=self._proxies_named)
        if client is None:
            return
        if seconds := self._rates.wait(client):
            error = TooManyAttemptsError(seconds * 10**9)
            raise RefusedError(
                Refusal(HTTPStatus.TOO_MANY_REQUESTS, error.code, str(error), retry_after=seconds)
            )


def whose(host: str, *, proxies_named: bool = False) -> str | None:
    """Return what tells this client from others; None for this machine, where no proxy is named."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host  # as a proxy named it
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback and not proxies_named:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address), _OWN_BITS), strict=False))
    return str(address)
