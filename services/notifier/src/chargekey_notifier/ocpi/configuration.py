"""Versions and credentials, answered to operators (§6, §7)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.routing import BaseRoute

from chargekey_common.errors import ChargekeyError
from chargekey_notifier.errors import (
    OcpiEndpointsMissingError,
    OcpiHandshakeUnderWayError,
    OcpiRefusedError,
    OcpiUnreachableError,
    OcpiVersionMissingError,
)
from chargekey_notifier.ocpi.connecting import Connecting
from chargekey_notifier.ocpi.http import (
    CLIENT_ERROR,
    CLIENT_UNUSABLE,
    NO_ENDPOINTS,
    UNSUPPORTED_VERSION,
    Answer,
    Door,
    OcpiError,
    body,
    called_with,
)
from chargekey_notifier.ocpi.messages import (
    VERSION,
    Credentials,
    Module,
    Version,
)
from chargekey_notifier.ocpi.peers import Peer, Peers

# §7.1.3: why an operator could not be registered.
_WHY: dict[type[ChargekeyError], int] = {
    OcpiUnreachableError: CLIENT_UNUSABLE,
    OcpiRefusedError: CLIENT_UNUSABLE,
    OcpiVersionMissingError: UNSUPPORTED_VERSION,
    OcpiEndpointsMissingError: NO_ENDPOINTS,
}
_ALREADY = "You are registered already; use PUT, with the token that you got then."
_NOT_YET = "You are not registered yet; use POST."


class Configuration:
    """Answers; `modules` are those beside credentials, with paths for URLs."""

    def __init__(
        self, door: Door, peers: Peers, connecting: Connecting, modules: Sequence[Module]
    ) -> None:
        self._door = door
        self._peers = peers
        self._connecting = connecting
        self._modules = modules

    def routes(self) -> Sequence[BaseRoute]:
        """Return where it answers, also those who are about to register."""
        return (
            self._door.route("/ocpi/versions", registering=True, get=self._versions),
            self._door.route(f"/ocpi/{VERSION}", registering=True, get=self._details),
            self._door.route(
                f"/ocpi/{VERSION}/credentials",
                registering=True,
                get=self._get,
                post=self._post,
                put=self._put,
                delete=self._delete,
            ),
        )

    async def _versions(self, _: Request, __: Peer) -> Answer:
        url = f"{self._door.public_url}/ocpi/{VERSION}"
        return Answer(data=[Version(version=VERSION, url=url)])

    async def _details(self, _: Request, __: Peer) -> Answer:
        path = f"/ocpi/{VERSION}/credentials"
        credentials = Module(identifier="credentials", role="RECEIVER", url=path)
        return Answer(
            data={
                "version": VERSION,
                "endpoints": [
                    {
                        "identifier": each.identifier,
                        "role": each.role,
                        "url": self._door.public_url + each.url,
                    }
                    for each in (credentials, *self._modules)
                ],
            }
        )

    async def _get(self, request: Request, peer: Peer) -> Answer:
        token, _ = await asyncio.to_thread(called_with, request, peer, self._peers)
        return Answer(data=self._connecting.credentials(token))

    async def _post(self, request: Request, peer: Peer) -> Answer:
        if peer.state == "connected":
            raise OcpiError(CLIENT_ERROR, _ALREADY, http=405)
        return await self._registered(request, peer)

    async def _put(self, request: Request, peer: Peer) -> Answer:
        if peer.state != "connected":
            raise OcpiError(CLIENT_ERROR, _NOT_YET, http=405)
        return await self._registered(request, peer)

    async def _delete(self, _: Request, peer: Peer) -> Answer:
        if peer.state != "connected":
            raise OcpiError(CLIENT_ERROR, _NOT_YET, http=405)
        await self._connecting.ended(peer)
        return Answer()

    async def _registered(self, request: Request, peer: Peer) -> Answer:
        theirs = await body(request, Credentials)
        token, encoded = await asyncio.to_thread(called_with, request, peer, self._peers)
        try:
            mine = await self._connecting.registered(
                peer, theirs, called_with=token, encoded=encoded
            )
        except tuple(_WHY) as error:
            number = next(code for kind, code in _WHY.items() if isinstance(error, kind))
            raise OcpiError(number, str(error)) from None
        except OcpiHandshakeUnderWayError as error:
            raise OcpiError(CLIENT_ERROR, str(error), http=409) from None
        if mine is None:
            raise OcpiError(CLIENT_ERROR, _ALREADY, http=405)
        return Answer(data=mine)
