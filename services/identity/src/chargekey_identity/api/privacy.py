"""Privacy on the wire: a person's own, everything or nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from grpc import aio

from chargekey.identity.v1 import privacy_pb2 as pb
from chargekey.identity.v1 import privacy_pb2_grpc
from chargekey_common.grpc.server import Objects, Service, command_context
from chargekey_identity.api.access import Access
from chargekey_identity.api.users import time_to_wait
from chargekey_identity.application.privacy import Privacy
from chargekey_identity.ledger import Written

NAME = "chargekey.identity.v1.PrivacyService"

Context = aio.ServicerContext[Any, Any]


class PrivacyServicer(privacy_pb2_grpc.PrivacyServiceServicer):
    """The methods of privacy.proto."""

    def __init__(self, privacy: Privacy, access: Access, written: Written) -> None:
        self._privacy = privacy
        self._access = access
        self._written = written

    async def ExportUser(self, request: pb.ExportUserRequest, _: Context) -> pb.ExportUserResponse:
        answer = await asyncio.to_thread(
            self._privacy.export, command_context(request), user_id=request.user_id
        )
        return pb.ExportUserResponse(document=answer.result, position=str(answer.position))

    async def EraseUser(
        self, request: pb.EraseUserRequest, context: Context
    ) -> pb.EraseUserResponse:
        # First what can be refused. The gate has found that there is, or was, such a user.
        await self._access.forget(request.user_id)
        answer = await asyncio.to_thread(
            self._privacy.erase, command_context(request), user_id=request.user_id
        )
        kept = await self._written.has(request.user_id, within=time_to_wait(context))
        return pb.EraseUserResponse(position=str(answer.position), pending=not kept)

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {"ExportUser": self._user, "EraseUser": self._user}

    async def _user(self, request: pb.ExportUserRequest | pb.EraseUserRequest) -> str:
        """Return the home of a LOCAL user, and anybody else himself; the erased are found, too."""
        his = await asyncio.to_thread(self._privacy.owned.of, request.user_id)
        return f"user:{request.user_id}" if his.home is None else f"installation:{his.home}"


def service(privacy: Privacy, access: Access, written: Written) -> Service:
    """Return the service, to be served."""
    servicer = PrivacyServicer(privacy, access, written)
    return Service(
        NAME, privacy_pb2_grpc.add_PrivacyServiceServicer_to_server, servicer, servicer.objects()
    )
