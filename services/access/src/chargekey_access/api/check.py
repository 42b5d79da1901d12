"""Whether a caller may: over gRPC, and at home."""

from __future__ import annotations

import asyncio
from typing import Any

from grpc import aio

from chargekey.access.v1 import check_pb2, check_pb2_grpc
from chargekey_access.api import objects
from chargekey_access.api.words import ROLE_NUMBERS
from chargekey_access.application.check import REACTIONS, Check
from chargekey_access.domain.errors import (
    ForeignPositionError,
    ReactionSetAsideError,
    ReactionUnknownError,
)
from chargekey_access.projections.directory import Directory
from chargekey_common.accounts import Caller
from chargekey_common.eventstore.store import EventStore
from chargekey_common.eventstore.waiting import HandledPositions
from chargekey_common.grpc.server import Objects, Service
from chargekey_common.positions import Position

NAME = "chargekey.access.v1.CheckService"

Context = aio.ServicerContext[Any, Any]


class LocalCheck:
    """The server's question, answered by the application itself."""

    def __init__(self, check: Check) -> None:
        self._check = check

    async def __call__(self, caller: Caller, action: str, obj: str) -> None:
        """Return where the caller may; raise why he may not."""
        refusal = await asyncio.to_thread(self._check.refusal, caller, action, obj)
        if refusal is not None:
            raise refusal


class CheckServicer(check_pb2_grpc.CheckServiceServicer):
    """The methods of check.proto."""

    def __init__(self, check: Check, directory: Directory, store: EventStore) -> None:
        self._check = check
        self._directory = directory
        self._store = store
        self._handled = HandledPositions(store)

    async def FindUser(
        self, request: check_pb2.FindUserRequest, _: Context
    ) -> check_pb2.FindUserResponse:
        await asyncio.to_thread(self._directory.holdings.require_user, request.user_id)
        return check_pb2.FindUserResponse()

    async def Check(self, request: check_pb2.CheckRequest, _: Context) -> check_pb2.CheckResponse:
        refusal = await asyncio.to_thread(
            self._check.refusal, Caller(request.caller), request.action, request.object
        )
        if refusal is None:
            return check_pb2.CheckResponse(allowed=True)
        return check_pb2.CheckResponse(refusal_code=refusal.code, refusal_sentence=str(refusal))

    async def ListAllowed(
        self, request: check_pb2.ListAllowedRequest, _: Context
    ) -> check_pb2.ListAllowedResponse:
        caller = Caller(request.caller)
        allowed = await asyncio.to_thread(
            self._check.allowed, caller, request.actions, request.object
        )
        answer = check_pb2.ListAllowedResponse(actions=allowed)
        if request.grantable:
            roles = await asyncio.to_thread(self._check.grantable, caller, request.object)
            answer.grantable_roles.extend(sorted(ROLE_NUMBERS[role] for role in roles))
        return answer

    async def AwaitReaction(
        self, request: check_pb2.AwaitReactionRequest, _: Context
    ) -> check_pb2.AwaitReactionResponse:
        followed = REACTIONS.get(request.reaction)
        if followed is None:
            raise ReactionUnknownError
        wanted = Position.parse(request.position)
        if wanted.service != followed.stream:
            raise ForeignPositionError
        position = await self._handled.wait_for(request.reaction, wanted)
        # Handled, too, is what was only put away.
        waiting = await asyncio.to_thread(self._store.set_aside_for, request.reaction)
        if any(event.position == wanted for event in waiting):
            raise ReactionSetAsideError
        return check_pb2.AwaitReactionResponse(position=str(position))

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "FindUser": objects.system,
            "Check": objects.system,
            "ListAllowed": objects.system,
            "AwaitReaction": objects.system,
        }


def service(check: Check, directory: Directory, store: EventStore) -> Service:
    """Return the service, to be served."""
    servicer = CheckServicer(check, directory, store)
    return Service(
        NAME, check_pb2_grpc.add_CheckServiceServicer_to_server, servicer, servicer.objects()
    )
