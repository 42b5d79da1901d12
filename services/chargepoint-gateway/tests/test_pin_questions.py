"""Asking about PINs, by people and programs: not as often as it takes to find one (R14)."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from grpc import aio
from nats.aio.client import Client

from chargekey.gateway.v1 import gateway_pb2 as pb
from chargekey.gateway.v1.gateway_pb2_grpc import GatewayServiceStub
from chargekey_common.accounts import ADMINISTRATOR, Caller, service_account
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.errors import TooManyAttemptsError
from chargekey_common.grpc.client import remote_error
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.published import access
from chargekey_common.testing.grpc import served
from chargekey_gateway.api import pin_questions
from chargekey_gateway.api.pin_questions import MOST, WITHIN, PinQuestions
from chargekey_gateway.api.service import service
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.view.view import View

ADA, BOB, PROGRAM = Caller("user:ada"), Caller("user:bob"), Caller("partner:installers")
SECRET = b"a secret of 24 bytes, so"


class Asking:
    def __init__(self) -> None:
        self.now = 10**18
        self.questions = PinQuestions(lambda: self.now)

    def allowed(self, caller: Caller, site: str = "home", most: int = 100) -> int:
        """Return how many of `most` questions in a row are let through."""
        for number in range(most):
            try:
                self.questions.ask(caller, site)
            except TooManyAttemptsError:
                return number
        return most


@pytest.mark.parametrize("caller", [ADA, PROGRAM])
def test_ten_questions_in_ten_minutes_are_answered(caller: Caller) -> None:
    asking = Asking()
    assert asking.allowed(caller) == MOST == 10
    asking.now += WITHIN - 1
    assert asking.allowed(caller) == 0
    asking.now += 1
    assert asking.allowed(caller) == MOST


def test_each_caller_and_each_installation_is_counted_apart() -> None:
    asking = Asking()
    assert [asking.allowed(ADA), asking.allowed(BOB), asking.allowed(ADA, "office")] == [MOST] * 3


@pytest.mark.parametrize("caller", [ADMINISTRATOR, service_account("portal")])
def test_administrators_and_services_ask_as_often_as_they_like(caller: Caller) -> None:
    assert Asking().allowed(caller) == 100


def test_a_clock_that_was_set_back_shuts_nobody_out() -> None:
    asking = Asking()
    asking.allowed(ADA)
    asking.now -= 10 * WITHIN
    assert asking.allowed(ADA) == MOST


def test_no_more_callers_are_remembered_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pin_questions, "CAPACITY", 2)
    asking = Asking()
    for caller in (ADA, BOB, PROGRAM):
        asking.allowed(caller)
    assert [asking.allowed(BOB), asking.allowed(PROGRAM), asking.allowed(ADA)] == [0, 0, MOST]


async def test_pins_are_limited_over_grpc_and_cards_are_not(tmp_path: Path) -> None:
    """Without a word about the PIN that was asked about."""
    view = View()
    view.apply(
        access.ChargerAdded(
            charger_id="garage",
            installation_id="home",
            ocpp_identity="CP-1",
            authorisation_override="INHERIT",
            identification_types=("RFID", "PIN"),
        )
    )
    gateway = Gateway(
        Client(),
        view=view,
        running=RunningSessions(),
        keyed_ids=KeyedIds(SECRET),
        start_keys=StartKeys(SECRET),
        passwords=ChargerPasswords(SECRET),
        unknown=[].append,
        clock=lambda: 1_000,
    )

    async def check(_: Caller, __: str, ___: str) -> None:
        return

    async with served(service(gateway, OcppServer(gateway)), tmp_path, check) as as_caller:
        ada, administrator = (
            GatewayServiceStub(as_caller(caller)) for caller in (ADA, ADMINISTRATOR)
        )
        for number in range(MOST):
            await ada.Authorize(pb.AuthorizeRequest(charger_id="garage", code=f"#{number:04}"))
        with pytest.raises(aio.AioRpcError) as refused:
            await ada.Authorize(pb.AuthorizeRequest(ocpp_identity="CP-1", code="#4711"))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert remote_error(refused.value).code == "too_many_attempts"
        assert "4711" not in str(refused.value)
        await ada.Authorize(pb.AuthorizeRequest(charger_id="garage", code="04A1B2C3"))
        await administrator.Authorize(pb.AuthorizeRequest(charger_id="garage", code="#4711"))
