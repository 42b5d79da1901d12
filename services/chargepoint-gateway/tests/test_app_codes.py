"""Asking identity what to start with, for whoever wants to from afar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chargekey.identity.v1 import codes_pb2 as pb
from chargekey.identity.v1 import codes_pb2_grpc
from chargekey_common.accounts import Caller, service_account
from chargekey_common.errors import (
    ChargekeyError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from chargekey_common.grpc.server import Service
from chargekey_common.testing.grpc import served
from chargekey_gateway.app_codes import AppCode, AppCodes
from chargekey_gateway.command_errors import AppMissingError, StartRefusedError

CODE = "APP:ABCD2345ABCD2345"


class UserMissingError(NotFoundError):
    code = "user_unknown"
    sentence = "No."


class BlockedError(FailedPreconditionError):
    code = "user_blocked"
    sentence = "No."


class MissingError(FailedPreconditionError):
    code = "app_missing"
    sentence = "No."


class WrongError(InvalidArgumentError):
    code = "wrong"
    sentence = "Something about " + CODE


class AwayError(UnavailableError):
    code = "store_unavailable"
    sentence = "The store cannot be used."


class SmallIdentity(codes_pb2_grpc.CodeServiceServicer):
    """Answers as identity does."""

    def __init__(self) -> None:
        self.error: ChargekeyError | None = None

    async def RevealAppCode(
        self, request: pb.RevealAppCodeRequest, _: object
    ) -> pb.RevealAppCodeResponse:
        if self.error is not None:
            raise self.error
        return pb.RevealAppCodeResponse(identification_id="app", code=CODE + request.user_id)


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[tuple[SmallIdentity, AppCodes]]:
    identity = SmallIdentity()
    service = Service(
        "chargekey.identity.v1.CodeService",
        codes_pb2_grpc.add_CodeServiceServicer_to_server,
        identity,
        {"RevealAppCode": lambda request: f"user:{request.user_id}"},
    )

    async def check(_: Caller, __: str, ___: str) -> None:
        return

    async with served(service, tmp_path, check) as as_caller:
        yield identity, AppCodes(as_caller(service_account("gateway")))


async def test_the_code_of_the_one_who_wants_to_start_is_told(
    small: tuple[SmallIdentity, AppCodes],
) -> None:
    """S3-12."""
    _, app_codes = small
    told = await app_codes("ada")
    assert told == AppCode("app", CODE + "ada")
    assert CODE not in repr(told)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UserMissingError(), AppMissingError),
        (MissingError(), AppMissingError),
        (BlockedError(), StartRefusedError),
        (WrongError(), UnavailableError),
        (AwayError(), UnavailableError),
    ],
)
async def test_what_identity_refuses_is_told_without_its_words(
    small: tuple[SmallIdentity, AppCodes], error: ChargekeyError, told: type[ChargekeyError]
) -> None:
    """R17: but that it is away, which is about no code."""
    identity, app_codes = small
    identity.error = error
    with pytest.raises(told) as refused:
        await app_codes("ada")
    assert CODE not in str(refused.value)
