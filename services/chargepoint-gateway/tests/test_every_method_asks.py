"""No method of the gateway decides or tells anything before it has asked who may."""

from __future__ import annotations

from pathlib import Path

from nats.aio.client import Client

from chargekey.gateway.v1 import gateway_pb2
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.testing.asking import NobodyMay, assert_every_method_asks
from chargekey_common.testing.grpc import served
from chargekey_gateway.api import convergence, decisions, operators
from chargekey_gateway.api.service import service
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.view.view import View

SECRET = b"a secret of 24 bytes, so"


async def test_every_method_asks_and_tells_nothing_to_who_may_not(tmp_path: Path) -> None:
    gateway = Gateway(
        Client(),
        view=View(),
        running=RunningSessions(),
        keyed_ids=KeyedIds(SECRET),
        start_keys=StartKeys(SECRET),
        passwords=ChargerPasswords(SECRET),
        unknown=[].append,
        clock=lambda: 1_000,
    )
    rules = NobodyMay()
    chargers = OcppServer(gateway)
    beside = (
        decisions.service(gateway),
        convergence.service(gateway, chargers),
        operators.service(gateway, chargers),
    )
    async with served(service(gateway, chargers), tmp_path, rules, *beside) as as_caller:
        by_one_of_its_names = gateway_pb2.AuthorizeRequest(charger_id="none")
        await assert_every_method_asks(as_caller, rules.asked, by_one_of_its_names)
