"""Partners, as access knows them, asked under the notifier's own account."""

from __future__ import annotations

import grpc
from grpc import aio

from chargekey.access.v1 import partners_pb2, partners_pb2_grpc
from chargekey_common.grpc.client import AWAY, unavailable
from chargekey_notifier.errors import PartnerNotOperatorError, PartnerUnknownError


class Partners:
    """Tells whether there is one: who may everywhere may be wrong about where."""

    def __init__(self, access: aio.Channel) -> None:
        self._partners = partners_pb2_grpc.PartnerServiceStub(access)

    async def require(self, partner_id: str) -> None:
        """Raise PartnerUnknownError where there is no such partner, or UnavailableError."""
        await self._get(partner_id)

    async def require_operator(self, partner_id: str) -> None:
        """Raise what `require` does, and PartnerNotOperatorError where it is another kind."""
        partner = await self._get(partner_id)
        if partner.kind != partners_pb2.PARTNER_KIND_PAYMENT_OPERATOR:
            raise PartnerNotOperatorError

    async def _get(self, partner_id: str) -> partners_pb2.Partner:
        request = partners_pb2.GetPartnerRequest(partner_id=partner_id)
        try:
            return (await self._partners.GetPartner(request)).partner
        except aio.AioRpcError as error:
            match error.code():
                case grpc.StatusCode.NOT_FOUND:
                    raise PartnerUnknownError from None
                case code if code in AWAY:
                    raise unavailable(error) from None
                case _:
                    raise
