"""Partners' credentials on the wire."""

from __future__ import annotations

import asyncio
from typing import Any

from grpc import aio

from chargekey.identity.v1 import credentials_pb2 as pb
from chargekey.identity.v1 import credentials_pb2_grpc
from chargekey_common import pages
from chargekey_common.grpc.server import SYSTEM, Objects, Service, command_context
from chargekey_identity.api.access import Access
from chargekey_identity.application.credentials import Credentials
from chargekey_identity.projections.credentials import ListedCredential
from chargekey_identity.projections.directory import Directory

NAME = "chargekey.identity.v1.CredentialService"

Context = aio.ServicerContext[Any, Any]


class CredentialServicer(credentials_pb2_grpc.CredentialServiceServicer):
    """The methods of credentials.proto."""

    def __init__(self, credentials: Credentials, directory: Directory, access: Access) -> None:
        self._credentials = credentials
        self._directory = directory
        self._access = access

    async def IssuePartnerCredential(
        self, request: pb.IssuePartnerCredentialRequest, _: Context
    ) -> pb.IssuePartnerCredentialResponse:
        await self._access.require_partner(request.partner_id)
        answer = await asyncio.to_thread(
            self._credentials.issue,
            command_context(request),
            partner_id=request.partner_id,
            label=request.label,
        )
        issued = answer.result
        return pb.IssuePartnerCredentialResponse(
            credential_id=issued.id, secret=issued.secret, position=str(answer.position)
        )

    async def ListPartnerCredentials(
        self, request: pb.ListPartnerCredentialsRequest, _: Context
    ) -> pb.ListPartnerCredentialsResponse:
        await self._access.require_partner(request.partner_id)
        found = await asyncio.to_thread(self._directory.credentials.of, request.partner_id)
        page = pages.page(request, found, lambda key: _credential(key, found[key]))
        return pb.ListPartnerCredentialsResponse(
            credentials=page.entries, next_page_token=page.next_token
        )

    async def RevokePartnerCredential(
        self, request: pb.RevokePartnerCredentialRequest, _: Context
    ) -> pb.RevokePartnerCredentialResponse:
        answer = await asyncio.to_thread(
            self._credentials.revoke_partner_credential,
            command_context(request),
            credential_id=request.credential_id,
        )
        return pb.RevokePartnerCredentialResponse(position=str(answer.position))

    async def ExchangePartnerCredential(
        self, request: pb.ExchangePartnerCredentialRequest, _: Context
    ) -> pb.ExchangePartnerCredentialResponse:
        token = await asyncio.to_thread(
            self._credentials.exchange, request.credential_id, request.secret
        )
        return pb.ExchangePartnerCredentialResponse(
            partner_id=token.partner_id,
            access_token=token.access.text,
            expires_at=token.access.expires_at,
        )

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "IssuePartnerCredential": _partner,
            "ListPartnerCredentials": _partner,
            "RevokePartnerCredential": self._holder,
            "ExchangePartnerCredential": lambda _: SYSTEM,
        }

    async def _holder(self, request: pb.RevokePartnerCredentialRequest) -> str:
        credentials = self._directory.credentials
        holder = await asyncio.to_thread(credentials.holder_of, request.credential_id)
        return f"partner:{holder}"


def service(credentials: Credentials, directory: Directory, access: Access) -> Service:
    """Return the service, to be served."""
    servicer = CredentialServicer(credentials, directory, access)
    return Service(
        NAME,
        credentials_pb2_grpc.add_CredentialServiceServicer_to_server,
        servicer,
        servicer.objects(),
    )


def _partner(
    request: pb.IssuePartnerCredentialRequest | pb.ListPartnerCredentialsRequest,
) -> str:
    return f"partner:{request.partner_id}"


def _credential(key: str, listed: ListedCredential) -> pb.PartnerCredential | None:
    if listed.state.revoked:
        return None
    return pb.PartnerCredential(
        id=key,
        partner_id=listed.state.partner_id,
        label=listed.state.label,
        issued_at=listed.issued_at,
    )
