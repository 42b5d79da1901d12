"""The gRPC service: which mails a person gets beside those that are needed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, Protocol, cast

from grpc import aio

from chargekey.notifier.v1 import mails_pb2 as pb
from chargekey.notifier.v1 import mails_pb2_grpc
from chargekey_common.grpc.server import SYSTEM, Objects, Service, command_context
from chargekey_notifier.errors import MailChoiceUnknownError
from chargekey_notifier.mails.choices import Choices
from chargekey_notifier.mails.kinds import CHOICES, Choice
from chargekey_notifier.mails.unsubscribing import Unsubscribing
from chargekey_notifier.reachable import reachable

NAME = "chargekey.notifier.v1.MailService"

Context = aio.ServicerContext[Any, Any]


class _AboutUser(Protocol):
    user_id: str


class MailServicer(mails_pb2_grpc.MailServiceServicer):
    """Every method of mails.proto."""

    def __init__(self, choices: Choices, unsubscribing: Unsubscribing) -> None:
        self._choices = choices
        self._unsubscribing = unsubscribing

    async def GetMailChoices(
        self, request: pb.GetMailChoicesRequest, _: Context
    ) -> pb.GetMailChoicesResponse:
        with reachable():
            declined = await asyncio.to_thread(self._choices.declined, request.user_id)
        return pb.GetMailChoicesResponse(
            choices=pb.MailChoices(
                offered=CHOICES,
                declined=[each for each in CHOICES if each in declined],
            )
        )

    async def SetMailChoices(
        self, request: pb.SetMailChoicesRequest, _: Context
    ) -> pb.SetMailChoicesResponse:
        context, declined = command_context(request), _choices(request.declined)
        with reachable():
            await asyncio.to_thread(self._choices.choose, context, request.user_id, declined)
        return pb.SetMailChoicesResponse()

    async def Unsubscribe(
        self, request: pb.UnsubscribeRequest, _: Context
    ) -> pb.UnsubscribeResponse:
        user_id, choice = self._unsubscribing.read(request.token)
        with reachable():
            await asyncio.to_thread(self._choices.decline, user_id, choice)
        return pb.UnsubscribeResponse(choice=choice)

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "GetMailChoices": _user,
            "SetMailChoices": _user,
            "Unsubscribe": lambda _: SYSTEM,
        }


def service(choices: Choices, unsubscribing: Unsubscribing) -> Service:
    """Return the service, to be served."""
    servicer = MailServicer(choices, unsubscribing)
    return Service(
        NAME, mails_pb2_grpc.add_MailServiceServicer_to_server, servicer, servicer.objects()
    )


def _user(request: _AboutUser) -> str:
    return f"user:{request.user_id}"


def _choices(names: Collection[str]) -> Sequence[Choice]:
    """Return what the names mean; raises MailChoiceUnknownError."""
    if not set(names) <= set(CHOICES):
        raise MailChoiceUnknownError
    return cast("Sequence[Choice]", list(names))
