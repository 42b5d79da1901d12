"""The scans on the wire: requests to commands, states to answers."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from grpc import aio

from chargekey.identity.v1 import identifications_pb2, scans_pb2_grpc
from chargekey.identity.v1 import scans_pb2 as pb
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.grpc.server import SYSTEM, Objects, Service, command_context, current_caller
from chargekey_common.pages import PageTokenMalformedError, anchor, size, token_of
from chargekey_identity.api.access import Access
from chargekey_identity.api.objects import at_site, installation_object
from chargekey_identity.api.words import SCAN_STATE_NUMBERS, TYPE_NUMBERS, TYPES
from chargekey_identity.application.scans import Scans
from chargekey_identity.domain import scan
from chargekey_identity.domain.errors import (
    ChargerElsewhereError,
    IdentificationUnknownError,
    TypeNotScannableError,
    UnknownCodeGoneError,
)
from chargekey_identity.projections.directory import Directory

NAME = "chargekey.identity.v1.ScanService"

_NUMBER = re.compile(r"[0-9]{1,18}")

Context = aio.ServicerContext[Any, Any]


class ScanServicer(scans_pb2_grpc.ScanServiceServicer):
    """The methods of scans.proto."""

    def __init__(self, scans: Scans, directory: Directory, access: Access) -> None:
        self._scans = scans
        self._directory = directory
        self._access = access

    async def StartScan(self, request: pb.StartScanRequest, _: Context) -> pb.StartScanResponse:
        kind = request.type or identifications_pb2.IDENTIFICATION_TYPE_RFID
        if kind not in TYPES:
            raise TypeNotScannableError
        await self._require_charger(request)
        answer = await asyncio.to_thread(
            self._scans.start_scan,
            command_context(request),
            user_id=request.user_id,
            charger_id=request.charger_id,
            installation_id=request.installation_id,
            identification_type=TYPES[kind],
        )
        return pb.StartScanResponse(
            scan_id=answer.result.scan_id, expires_at=answer.result.expires_at
        )

    async def GetScan(self, request: pb.GetScanRequest, _: Context) -> pb.GetScanResponse:
        found = await asyncio.to_thread(self._scans.scan, request.scan_id)
        return pb.GetScanResponse(
            state=SCAN_STATE_NUMBERS[found.state],
            identification_id=found.identification_id,
            refusal_code=found.refusal_code,
            refusal_sentence=found.refusal_sentence,
            position=found.position,
            expires_at=found.expires_at,
        )

    async def CancelScan(self, request: pb.CancelScanRequest, _: Context) -> pb.CancelScanResponse:
        await asyncio.to_thread(
            self._scans.cancel_scan, command_context(request), scan_id=request.scan_id
        )
        return pb.CancelScanResponse()

    async def ReportUnknownCode(
        self, request: pb.ReportUnknownCodeRequest, _: Context
    ) -> pb.ReportUnknownCodeResponse:
        await asyncio.to_thread(
            self._scans.report,
            charger_id=request.charger_id,
            installation_id=request.installation_id,
            code=request.code,
            at=request.at,
        )
        return pb.ReportUnknownCodeResponse()

    async def ListUnknownCodes(
        self, request: pb.ListUnknownCodesRequest, _: Context
    ) -> pb.ListUnknownCodesResponse:
        before, most = _behind(request), size(request)
        await self._access.site(request.installation_id)  # it must exist
        found = await asyncio.to_thread(
            self._scans.unknown_codes, request.installation_id, before=before, limit=most + 1
        )
        listed = found[:most]
        return pb.ListUnknownCodesResponse(
            unknown_codes=[
                pb.UnknownCode(
                    id=each.id,
                    charger_id=each.charger_id,
                    type=TYPE_NUMBERS[each.type],
                    at=each.at,
                    times=each.times,
                )
                for each in listed
            ],
            next_page_token=token_of(str(listed[-1].number)) if len(found) > most else "",
        )

    async def AddFromUnknownCode(
        self, request: pb.AddFromUnknownCodeRequest, _: Context
    ) -> pb.AddFromUnknownCodeResponse:
        answer = await asyncio.to_thread(
            self._scans.add_from_unknown_code,
            command_context(request),
            unknown_code_id=request.unknown_code_id,
            user_id=request.user_id,
        )
        return pb.AddFromUnknownCodeResponse(
            identification_id=answer.result, position=str(answer.position)
        )

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "StartScan": self._user_object,
            "GetScan": self._scan_object,
            "CancelScan": self._scan_object,
            "ReportUnknownCode": lambda _: SYSTEM,
            "ListUnknownCodes": installation_object,
            "AddFromUnknownCode": self._unknown_code_object,
        }

    async def _user_object(self, request: pb.StartScanRequest) -> str:
        return await at_site(self._directory, request.user_id, request.installation_id)

    async def _scan_object(self, request: pb.GetScanRequest | pb.CancelScanRequest) -> str:
        found = await asyncio.to_thread(self._scans.scan, request.scan_id)
        return await at_site(self._directory, found.user_id, found.installation_id)

    async def _unknown_code_object(self, request: pb.AddFromUnknownCodeRequest) -> str:
        try:
            found = await asyncio.to_thread(self._scans.unknown_code, request.unknown_code_id)
        except UnknownCodeGoneError:
            return await self._added_object(request)
        user = await asyncio.to_thread(self._directory.user, request.user_id)
        # Who may at a user's installation may not take there what was presented elsewhere.
        asked = {request.installation_id, user.installation_id} - {""}
        if not asked <= {found.installation_id}:
            raise UnknownCodeGoneError
        return await at_site(self._directory, request.user_id, found.installation_id)

    async def _added_object(self, request: pb.AddFromUnknownCodeRequest) -> str:
        """Return what the same command was about once; raises UnknownCodeGoneError."""
        key = scan.presented_id(request.unknown_code_id, request.command_id)
        try:
            held = await asyncio.to_thread(self._directory.identification, key)
        except IdentificationUnknownError:
            raise UnknownCodeGoneError from None
        if held.user_id != request.user_id:
            raise UnknownCodeGoneError
        return await at_site(self._directory, held.user_id, held.installation_id)

    async def _require_charger(self, request: pb.StartScanRequest) -> None:
        """Raise unless the charger is one that the caller may see, where the card will work.

        Otherwise anybody could wait for the cards of strangers, anywhere.
        """
        charger = f"charger:{request.charger_id}"
        if not await self._access.may(current_caller(), "access.GetCharger", charger):
            raise PermissionDeniedError
        stands_at = await self._access.installation_of(request.charger_id)
        user = await asyncio.to_thread(self._directory.user, request.user_id)
        works_at = user.installation_id or request.installation_id
        if works_at and works_at != stands_at:
            raise ChargerElsewhereError


def service(scans: Scans, directory: Directory, access: Access) -> Service:
    """Return the service, to be served."""
    servicer = ScanServicer(scans, directory, access)
    return Service(
        NAME, scans_pb2_grpc.add_ScanServiceServicer_to_server, servicer, servicer.objects()
    )


def _behind(request: pb.ListUnknownCodesRequest) -> int | None:
    if not request.page_token:
        return None
    number = anchor(request)
    if _NUMBER.fullmatch(number) is None:
        raise PageTokenMalformedError
    return int(number)
