"""Codes in plain for the gateway, on the wire."""

from __future__ import annotations

import asyncio
from typing import Any

from grpc import aio

from chargekey.identity.v1 import codes_pb2 as pb
from chargekey.identity.v1 import codes_pb2_grpc
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Context
from chargekey_common.grpc.server import Objects, Service, current_caller
from chargekey_identity.application.app_codes import AppCodes
from chargekey_identity.application.local_lists import LocalLists

NAME = "chargekey.identity.v1.CodeService"

CallContext = aio.ServicerContext[Any, Any]


class CodeServicer(codes_pb2_grpc.CodeServiceServicer):
    """The methods of codes.proto."""

    def __init__(self, app_codes: AppCodes, local_lists: LocalLists) -> None:
        self._app_codes = app_codes
        self._local_lists = local_lists

    async def RevealLocalListCodes(
        self, request: pb.RevealLocalListCodesRequest, _: CallContext
    ) -> pb.RevealLocalListCodesResponse:
        codes = await asyncio.to_thread(
            self._local_lists.reveal_codes,
            Context(actor=current_caller(), command_id=new_id()),
            charger_id=request.charger_id,
            identification_ids=request.identification_ids,
        )
        return pb.RevealLocalListCodesResponse(
            codes=[pb.LocalListCode(identification_id=key, code=code) for key, code in codes]
        )

    async def RevealAppCode(
        self, request: pb.RevealAppCodeRequest, _: CallContext
    ) -> pb.RevealAppCodeResponse:
        key, code = await asyncio.to_thread(self._app_codes.reveal, request.user_id)
        return pb.RevealAppCodeResponse(identification_id=key, code=code)

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "RevealLocalListCodes": lambda request: f"charger:{request.charger_id}",
            "RevealAppCode": lambda request: f"user:{request.user_id}",
        }


def service(app_codes: AppCodes, local_lists: LocalLists) -> Service:
    """Return the service, to be served."""
    servicer = CodeServicer(app_codes, local_lists)
    return Service(
        NAME,
        codes_pb2_grpc.add_CodeServiceServicer_to_server,
        servicer,
        servicer.objects(),
    )
