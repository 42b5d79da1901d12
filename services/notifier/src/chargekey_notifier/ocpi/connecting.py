"""Connections with operators: offered, made by either side, ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import structlog
from sqlalchemy import Connection

from chargekey_common.errors import ChargekeyError
from chargekey_common.eventstore.store import Context
from chargekey_notifier.errors import (
    OcpiConnectedError,
    OcpiHandshakeUnderWayError,
    OcpiNotConnectedError,
    OcpiTokenMalformedError,
    OcpiUrlMalformedError,
)
from chargekey_notifier.ocpi import handshake
from chargekey_notifier.ocpi.calls import Calls
from chargekey_notifier.ocpi.messages import Credentials, Party, is_token, is_url
from chargekey_notifier.ocpi.peers import Credential, Peer, Peers, new_token
from chargekey_notifier.receipts import Receipts

log = structlog.get_logger()


class Connecting:
    """Belongs to one event loop. Raises NotifierUnavailableError beside what is said.

    `changed` is called after whatever there may be something left to do about.
    """

    def __init__(
        self,
        peers: Peers,
        receipts: Receipts,
        calls: Calls,
        party: Party,
        *,
        public_url: str,
        changed: Callable[[], None],
    ) -> None:
        """Speak as `party`, whose addresses begin with `public_url`."""
        self._peers = peers
        self._receipts = receipts
        self._calls = calls
        self._party = party
        self._public_url = public_url
        self._changed = changed
        self._handshaking: set[str] = set()

    async def offer(self, context: Context, partner_id: str) -> str:
        """Return a token to register here with; raises OcpiConnectedError."""

        def decide(connection: Connection) -> str:
            token = new_token()
            if not self._peers.offer(connection, partner_id, token):
                raise OcpiConnectedError
            return token

        return await asyncio.to_thread(self._receipts.once, context, "OfferOcpi", decide)

    async def connect(
        self, context: Context, partner_id: str, *, versions_url: str, token: str
    ) -> None:
        """Register at the operator, which has told where and with what.

        Raises OcpiUrlMalformedError, OcpiTokenMalformedError, OcpiConnectedError,
        OcpiHandshakeUnderWayError and what `handshake.register` raises.
        """
        if not is_url(versions_url):
            raise OcpiUrlMalformedError
        if not is_token(token):
            raise OcpiTokenMalformedError
        mine = new_token()

        def stand(connection: Connection) -> str:
            # The operator calls with it while it is being registered at.
            if not self._peers.offer(connection, partner_id, mine):
                raise OcpiConnectedError
            return ""

        def decide(connection: Connection) -> str:
            if not self._peers.register(connection, partner_id, mine, registration, mine):
                raise OcpiConnectedError
            return ""

        peer = await asyncio.to_thread(self._peers.get, partner_id)
        if peer is not None and peer.state == "connected":
            await asyncio.to_thread(self._receipts.once, context, "ConnectOcpi", _is_connected)
            return
        with self._alone(partner_id):
            await asyncio.to_thread(self._written, stand)
            try:
                registration = await handshake.register(
                    self._calls,
                    partner_id,
                    versions_url,
                    Credential(token),
                    handshake.own(self._party, public_url=self._public_url, token=mine),
                )
                await asyncio.to_thread(self._receipts.once, context, "ConnectOcpi", decide)
            except BaseException:
                await asyncio.to_thread(self._peers.withdraw, partner_id, mine)
                raise
        log.info("ocpi_connected", partner=partner_id)
        self._changed()

    async def registered(
        self, peer: Peer, credentials: Credentials, *, called_with: str, encoded: bool
    ) -> Credentials | None:
        """Return what an operator calls us with, that has sent what it is called with.

        None where another registration was faster. Raises OcpiHandshakeUnderWayError and what
        `handshake.known` does.
        """
        with self._alone(peer.partner_id):
            registration = await handshake.answered(
                self._calls, peer.partner_id, credentials, encoded=encoded
            )
        token = new_token()

        def write(connection: Connection) -> bool:
            return self._peers.register(
                connection, peer.partner_id, called_with, registration, token
            )

        if not await asyncio.to_thread(self._written, write):
            return None
        log.info("ocpi_connected", partner=peer.partner_id)
        self._changed()
        return handshake.own(self._party, public_url=self._public_url, token=token)

    def credentials(self, token: str) -> Credentials:
        """Return our side, for who calls with this token."""
        return handshake.own(self._party, public_url=self._public_url, token=token)

    async def disconnect(self, context: Context, partner_id: str) -> None:
        """Tell the operator, and forget it; raises OcpiNotConnectedError."""

        def decide(connection: Connection) -> str:
            if not self._peers.end(connection, partner_id):
                raise OcpiNotConnectedError
            return ""

        peer = await asyncio.to_thread(self._peers.get, partner_id)
        await asyncio.to_thread(self._receipts.once, context, "DisconnectOcpi", decide)
        log.info("ocpi_disconnected", partner=partner_id)
        self._changed()
        credentials_url = None if peer is None else peer.module("credentials", "RECEIVER")
        if peer is None or peer.credential is None or credentials_url is None:
            return
        try:
            await self._calls.call(partner_id, "DELETE", credentials_url, peer.credential)
        except ChargekeyError as error:
            # Its token is good for nothing here any more, whether it has heard so or not.
            log.warning("ocpi_disconnect_not_told", partner=partner_id, why=error.code)

    async def ended(self, peer: Peer) -> None:
        """Forget an operator that says it is over."""
        await asyncio.to_thread(
            self._written, lambda connection: self._peers.end(connection, peer.partner_id)
        )
        log.info("ocpi_disconnected", partner=peer.partner_id)
        self._changed()

    @contextlib.contextmanager
    def _alone(self, partner_id: str) -> Iterator[None]:
        """Make one handshake with an operator at a time: its names and servers may be slow.

        All operators share the look-ups of names.
        """
        if partner_id in self._handshaking:
            raise OcpiHandshakeUnderWayError
        self._handshaking.add(partner_id)
        try:
            yield
        finally:
            self._handshaking.remove(partner_id)

    def _written(self, write: Callable[[Connection], object]) -> object:
        with self._peers.database.writing() as connection:
            return write(connection)


def _is_connected(_: Connection) -> str:
    raise OcpiConnectedError
