"""What the gateway starts sessions with, for somebody who asks for one from afar (R10)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from chargekey.identity.v1 import codes_pb2 as pb
from chargekey.identity.v1.codes_pb2_grpc import CodeServiceStub
from chargekey_common.accounts import ADMINISTRATOR
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Context
from chargekey_common.grpc.client import remote_error
from chargekey_common.keyed_ids import CodeClass, classify
from chargekey_common.testing.bad_input import UNKNOWN_IDS
from chargekey_identity.domain.email import canonical

from .conftest import Identity, serving


def by(actor: str = ADMINISTRATOR) -> Context:
    return Context(actor=actor, command_id=new_id())


def an_account(identity: Identity) -> str:
    """Return somebody who has signed in once."""
    address = canonical(f"{new_id()}@example.com")
    user_id = identity.addresses.resolve_email(by(), address).result
    identity.arrivals.sign_in(by(f"user:{user_id}"), user_id=user_id, by="LINK")
    return user_id


class Codes:
    """Asks as the gateway does; whether it may, access says, which has tests of its own."""

    def __init__(self, channel: aio.Channel) -> None:
        self._stub = CodeServiceStub(channel)

    async def reveal(self, user_id: str) -> pb.RevealAppCodeResponse:
        answer: pb.RevealAppCodeResponse = await self._stub.RevealAppCode(
            pb.RevealAppCodeRequest(user_id=user_id)
        )
        return answer

    async def refusal(self, user_id: str) -> Any:
        with pytest.raises(aio.AioRpcError) as refused:
            await self.reveal(user_id)
        return refused.value.code(), remote_error(refused.value).code


async def test_the_gateway_is_told_the_code_of_whoever_has_an_account(
    identity: Identity, tmp_path: Path
) -> None:
    """R10, R17: nothing is recorded, since nobody is shown it."""
    kari, _ola = an_account(identity), an_account(identity)
    end = identity.store.position()
    async with serving(identity, tmp_path) as (as_caller, access):
        codes = Codes(as_caller(ADMINISTRATOR))
        answer = await codes.reveal(kari)
        assert classify(answer.code) == (CodeClass.APP, answer.code)
        [(key, held)] = identity.directory.identifications(kari)
        assert (answer.identification_id, held.type) == (key, "APP")
        assert (await codes.reveal(kari)).code == answer.code
        assert access.asked[-1][1:] == ("identity.RevealAppCode", f"user:{kari}")
    assert identity.store.position() == end


async def test_who_has_no_code_is_refused_by_name(identity: Identity, tmp_path: Path) -> None:
    """R12, R19: unknown, erased, blocked, or without an account."""
    local = identity.users.add_local_user(
        by(), installation_id="home", first_name="A", last_name="B", blocked=False
    ).result
    invited = identity.addresses.resolve_email(by(), canonical("new@example.com")).result
    blocked, erased = an_account(identity), an_account(identity)
    identity.users.block_user(by(), user_id=blocked, everywhere=True)
    identity.privacy.erase(by(), user_id=erased)
    missing = grpc.StatusCode.NOT_FOUND, "user_unknown"
    none = grpc.StatusCode.FAILED_PRECONDITION, "app_missing"
    async with serving(identity, tmp_path) as (as_caller, _access):
        codes = Codes(as_caller(ADMINISTRATOR))
        assert [await codes.refusal(each) for each in (local, invited)] == [none] * 2
        expected = grpc.StatusCode.FAILED_PRECONDITION, "user_blocked"
        assert await codes.refusal(blocked) == expected
        assert await codes.refusal(erased) == missing
        for each in UNKNOWN_IDS:
            assert await codes.refusal(each) == missing
