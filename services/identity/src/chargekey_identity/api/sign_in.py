"""Signing in on the wire; most of it anybody may call."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from grpc import aio

from chargekey.identity.v1 import sign_in_pb2 as pb
from chargekey.identity.v1 import sign_in_pb2_grpc
from chargekey_common.eventstore import store
from chargekey_common.eventstore.records import new_id
from chargekey_common.grpc.server import (
    SYSTEM,
    Objects,
    Service,
    command_context,
    current_caller,
)
from chargekey_identity.application.openid_sign_in import OpenIdSignIn
from chargekey_identity.application.sign_in import SignIns
from chargekey_identity.application.sign_in_links import SignInLinks
from chargekey_identity.tables.signing_keys import SigningKeys

NAME = "chargekey.identity.v1.SignInService"
# Seconds that asking for a link takes at least, several times what it takes to record one.
SOONEST = 0.25
METHODS = (
    "RequestSignInLink",
    "SignIn",
    "BeginOpenIdSignIn",
    "CompleteOpenIdSignIn",
    "RefreshSignIn",
    "SignOut",
    "SignInAs",
    "ActAsAdministrator",
    "GetKeys",
    "IssueSignInLink",
)

Context = aio.ServicerContext[Any, Any]


class SignInServicer(sign_in_pb2_grpc.SignInServiceServicer):
    """The methods of sign_in.proto."""

    def __init__(
        self,
        sign_ins: SignIns,
        links: SignInLinks,
        openid: OpenIdSignIn,
        signing_keys: SigningKeys,
    ) -> None:
        self._sign_ins = sign_ins
        self._links = links
        self._openid = openid
        self._signing_keys = signing_keys

    async def RequestSignInLink(
        self, request: pb.RequestSignInLinkRequest, _: Context
    ) -> pb.RequestSignInLinkResponse:
        began = time.monotonic()
        try:
            await asyncio.to_thread(self._links.request, request.email)
        finally:
            # It is quick where nobody has the address and slow where somebody does, unseen.
            await asyncio.sleep(began + SOONEST - time.monotonic())
        return pb.RequestSignInLinkResponse()

    async def SignIn(self, request: pb.SignInRequest, _: Context) -> pb.SignInResponse:
        followed = await asyncio.to_thread(self._links.redeem, request.token, request.language)
        tokens = await asyncio.to_thread(self._sign_ins.issue, followed.result)
        return pb.SignInResponse(
            user_id=tokens.user_id,
            access_token=tokens.access.text,
            refresh_token=tokens.refresh,
            expires_at=tokens.access.expires_at,
        )

    async def BeginOpenIdSignIn(
        self, request: pb.BeginOpenIdSignInRequest, _: Context
    ) -> pb.BeginOpenIdSignInResponse:
        begun = await self._openid.begin(request.redirect_uri)
        return pb.BeginOpenIdSignInResponse(
            authorization_url=begun.authorization_url, state=begun.state
        )

    async def CompleteOpenIdSignIn(
        self, request: pb.CompleteOpenIdSignInRequest, _: Context
    ) -> pb.CompleteOpenIdSignInResponse:
        user_id = await self._openid.complete(request.state, request.code, request.language)
        tokens = await asyncio.to_thread(self._sign_ins.issue, user_id)
        return pb.CompleteOpenIdSignInResponse(
            user_id=tokens.user_id,
            access_token=tokens.access.text,
            refresh_token=tokens.refresh,
            expires_at=tokens.access.expires_at,
        )

    async def RefreshSignIn(
        self, request: pb.RefreshSignInRequest, _: Context
    ) -> pb.RefreshSignInResponse:
        tokens = await asyncio.to_thread(self._sign_ins.refresh, request.refresh_token)
        return pb.RefreshSignInResponse(
            user_id=tokens.user_id,
            access_token=tokens.access.text,
            refresh_token=tokens.refresh,
            expires_at=tokens.access.expires_at,
        )

    async def SignOut(self, request: pb.SignOutRequest, _: Context) -> pb.SignOutResponse:
        await asyncio.to_thread(self._sign_ins.sign_out, request.refresh_token)
        return pb.SignOutResponse()

    async def SignInAs(self, request: pb.SignInAsRequest, _: Context) -> pb.SignInAsResponse:
        answer = await asyncio.to_thread(
            self._sign_ins.sign_in_as, command_context(request), user_id=request.user_id
        )
        return pb.SignInAsResponse(
            access_token=answer.result.text,
            expires_at=answer.result.expires_at,
            position=str(answer.position),
        )

    async def ActAsAdministrator(
        self, _: pb.ActAsAdministratorRequest, __: Context
    ) -> pb.ActAsAdministratorResponse:
        # Each call is one of its own: whoever lost an answer asks again.
        answer = await asyncio.to_thread(
            self._sign_ins.act_as_administrator, store.Context(current_caller(), new_id())
        )
        return pb.ActAsAdministratorResponse(
            access_token=answer.result.text,
            expires_at=answer.result.expires_at,
            position=str(answer.position),
        )

    async def GetKeys(self, _: pb.GetKeysRequest, __: Context) -> pb.GetKeysResponse:
        return pb.GetKeysResponse(jwks=await asyncio.to_thread(self._signing_keys.jwks))

    async def IssueSignInLink(
        self, request: pb.IssueSignInLinkRequest, _: Context
    ) -> pb.IssueSignInLinkResponse:
        issued = await asyncio.to_thread(self._links.issue, request.event_id, request.user_id)
        return pb.IssueSignInLinkResponse(
            email=issued.email,
            token=issued.token,
            expires_at=issued.expires_at,
            language=issued.language,
        )

    def objects(self) -> Objects:
        """Return what each method's request is about: nobody may know of anybody here."""
        return dict.fromkeys(METHODS, lambda _: SYSTEM)


def service(
    sign_ins: SignIns, links: SignInLinks, openid: OpenIdSignIn, signing_keys: SigningKeys
) -> Service:
    """Return the service, to be served."""
    servicer = SignInServicer(sign_ins, links, openid, signing_keys)
    return Service(
        NAME,
        sign_in_pb2_grpc.add_SignInServiceServicer_to_server,
        servicer,
        servicer.objects(),
    )
