"""What a connection wants done and nobody waits for: it is done again until it is.

Access has the operator asked at its tokens module, unless the partner has set another place by
hand; the gateway knows what it says of its tokens; and these are fetched, at first and daily.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from urllib.parse import urlencode

import msgspec
import structlog
from grpc import StatusCode, aio

from chargekey.access.v1 import decision_endpoints_pb2 as pb
from chargekey.access.v1 import decision_endpoints_pb2_grpc
from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.errors import ChargekeyError
from chargekey_common.process import cancel, set_within
from chargekey_notifier.ocpi.calls import Calls
from chargekey_notifier.ocpi.charging import Charging
from chargekey_notifier.ocpi.messages import Party, told
from chargekey_notifier.ocpi.peers import Peer, Peers
from chargekey_notifier.ocpi.tokens import Token, Tokens
from chargekey_notifier.receipts import KEPT, Receipts

LOOK = 10.0  # seconds between two looks, where nothing calls for one
AGAIN = 300.0  # seconds until what failed is tried again
DEADLINE = 5.0  # seconds for an answer of access
DAY = 24 * 3600 * 10**9
# Of changes that were on their way when the last fetch began.
OVERLAP = 3600 * 10**9
MOST_PAGES = 10_000
NEVER_SET = ""

log = structlog.get_logger()


class Keeping:
    """Belongs to one event loop; `run` wherever one replica does it for all."""

    def __init__(
        self,
        peers: Peers,
        tokens: Tokens,
        receipts: Receipts,
        calls: Calls,
        charging: Charging,
        access: aio.Channel,
        party: Party,
        *,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Keep `peers` in order, as `party`; `clock` tells nanoseconds since the epoch."""
        self._peers = peers
        self._tokens = tokens
        self._receipts = receipts
        self._calls = calls
        self._charging = charging
        self._access = decision_endpoints_pb2_grpc.DecisionEndpointServiceStub(access)
        self._party = party
        self._clock = clock
        self._changed = asyncio.Event()
        self._working: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}  # by the loop's clock

    def changed(self) -> None:
        """Look now: there may be something to do."""
        self._not_before.clear()
        self._changed.set()

    async def run(self) -> None:
        """Keep all in order until cancelled; none waits for another."""
        try:
            while True:
                self._changed.clear()
                with contextlib.suppress(DatabaseUnavailableError):
                    await self._look()
                await set_within(self._changed, LOOK)
        finally:
            await cancel(*self._working.values())

    async def pull(self, peer: Peer, *, since: int = 0) -> int:
        """Fetch the operator's tokens that changed `since` then, and tell the gateway of all.

        Of all, because nobody knows what it has forgotten. Returns how many are known. Raises
        a ChargekeyError or DatabaseUnavailableError.
        """
        began = self._clock()
        url = peer.module("tokens", "SENDER")
        if url is not None and since:
            url += ("&" if "?" in url else "?") + urlencode({"date_from": told(since)})
        pages, left_out = 0, 0
        while url is not None and pages < MOST_PAGES:
            page = await self._calls.call_peer(peer, "GET", url)
            found = [each for each in map(_token, page.read(list[msgspec.Raw])) if each]
            own = [each for each in found if peer.is_called(each.country_code, each.party_id)]
            put = await asyncio.to_thread(self._tokens.put, peer.partner_id, *own)
            left_out += len(put.left_out)
            url = page.next if page.next != url else None
            pages += 1
        if left_out:
            log.warning("ocpi_tokens_too_many", partner=peer.partner_id, left_out=left_out)
        known = 0
        async for some in self._known(peer):
            await self._charging.remember(peer.partner_id, some)
            known += len(some)
        await asyncio.to_thread(self._peers.pulled, peer, began)
        return known

    async def _known(self, peer: Peer) -> AsyncIterator[Sequence[Token]]:
        """Yield the operator's tokens, some at a time: all at once may be a million."""
        portions = self._tokens.of(peer.partner_id)
        while (some := await asyncio.to_thread(next, portions, None)) is not None:
            yield some

    async def _look(self) -> None:
        now, loop = self._clock(), asyncio.get_running_loop()
        await asyncio.to_thread(self._forget_receipts, now - KEPT)
        for peer in await asyncio.to_thread(self._peers.all):
            due = peer.state == "connected" and peer.pulled_at + DAY <= now
            waits = self._not_before.get(peer.partner_id, 0.0) > loop.time()
            if (peer.unsettled or due) and not waits and peer.partner_id not in self._working:
                task = asyncio.create_task(self._keep(peer, due=due))
                self._working[peer.partner_id] = task
                task.add_done_callback(partial(self._done, peer.partner_id))

    def _done(self, partner_id: str, _: asyncio.Task[None]) -> None:
        del self._working[partner_id]

    def _forget_receipts(self, before: int) -> None:
        with self._peers.database.writing() as connection:
            self._receipts.forget(connection, before)

    async def _keep(self, peer: Peer, *, due: bool) -> None:
        try:
            if peer.unsettled:
                await self._settle(peer)
            if due:
                since = max(peer.pulled_at - OVERLAP, 0) if peer.pulled_at else 0
                await self.pull(peer, since=since)
        except (ChargekeyError, DatabaseUnavailableError, aio.AioRpcError) as error:
            why = error.code if isinstance(error, ChargekeyError) else type(error).__name__
            log.warning("ocpi_connection_unsettled", partner=peer.partner_id, why=why)
            # Our own side is back soon, and decisions wait for it.
            pause = LOOK if isinstance(error, aio.AioRpcError) else AGAIN
            self._not_before[peer.partner_id] = asyncio.get_running_loop().time() + pause

    async def _settle(self, peer: Peer) -> None:
        """Have access ask where this connection wants, and nowhere where it is over."""
        there = await self._asked_at(peer.partner_id)
        wanted = peer.module("tokens", "SENDER") if peer.state == "connected" else None
        ours = there is None or there in {peer.decision_url, wanted}
        now_at = NEVER_SET
        if ours and wanted is not None and peer.credential is not None:
            now_at = wanted
            await asyncio.to_thread(self._peers.settled, peer, wanted, unsettled=True)
            plain = pb.DECISION_ENDPOINT_KIND_OCPI_PLAIN
            encoded = pb.DECISION_ENDPOINT_KIND_OCPI
            await self._access.SetDecisionEndpoint(
                pb.SetDecisionEndpointRequest(
                    partner_id=peer.partner_id,
                    kind=encoded if peer.credential.encoded else plain,
                    url=wanted,
                    secret=peer.credential.token,
                    parties=self._parties(peer),
                ),
                timeout=DEADLINE,
            )
        elif ours and there is not None:
            await self._access.RemoveDecisionEndpoint(
                pb.RemoveDecisionEndpointRequest(partner_id=peer.partner_id), timeout=DEADLINE
            )
        if peer.state == "ended":
            async for some in self._known(peer):
                await self._charging.forget(peer.partner_id, some)
            await asyncio.to_thread(self._peers.forget, peer.partner_id)
        else:
            await asyncio.to_thread(self._peers.settled, peer, now_at)

    def _parties(self, peer: Peer) -> pb.OcpiParties | None:
        """Return whom the gateway's requests name."""
        operator = peer.operator
        if operator is None:
            return None
        return pb.OcpiParties(
            from_country_code=self._party.country_code,
            from_party_id=self._party.party_id,
            to_country_code=operator.country_code,
            to_party_id=operator.party_id,
        )

    async def _asked_at(self, partner_id: str) -> str | None:
        """Return where access has the operator asked, if anywhere."""
        try:
            found = await self._access.GetDecisionEndpoint(
                pb.GetDecisionEndpointRequest(partner_id=partner_id), timeout=DEADLINE
            )
        except aio.AioRpcError as error:
            if error.code() is StatusCode.NOT_FOUND:
                return None
            raise
        return found.url


def _token(data: msgspec.Raw) -> Token | None:
    """Return one of a list, if it is one (§4.1.3.1: those that are right are taken)."""
    try:
        return msgspec.json.decode(data, type=Token)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        log.warning("ocpi_token_malformed")
        return None
