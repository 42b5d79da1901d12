"""How chargers are right now: online, their connectors, and who is waited for (yellow)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from nats.aio.client import Client
from websockets import connect
from websockets.headers import build_authorization_basic

from chargekey.gateway.v1 import gateway_pb2 as pb
from chargekey.gateway.v1.gateway_pb2_grpc import GatewayServiceStub
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.published import access
from chargekey_common.published.sessions import Inputs, SessionEnded, SessionStarted
from chargekey_common.testing.grpc import served
from chargekey_gateway.api.service import service
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.charger_states import ACCEPTANCE_LASTS, ChargerState, ChargerStates
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.view.entries import Charger, Installation
from chargekey_gateway.view.view import View

SECRET = b"a secret of 24 bytes, so"
NOW = 1_800_000_000_000_000_000


class Garage:
    """One charger, as a test tells that it is."""

    def __init__(self) -> None:
        self.running = RunningSessions()
        self.states = ChargerStates(self.running)
        self.charger = Charger("garage", Installation("home"), registered=True)

    def tells(self, status: str, connector: int = 1) -> None:
        self.states.told("garage", connector, status)

    def state(self, at: int = NOW) -> ChargerState:
        return self.states.of(self.charger, online={"garage"}, at=at)

    def waiting(self, connector: int = 1, at: int = NOW) -> bool:
        [found] = [each for each in self.state(at).connectors if each.connector == connector]
        return found.waiting_for_authorisation

    def session(self, number: int, connector: int = 1) -> None:
        self.running.started(
            number,
            SessionStarted(
                installation_id="home",
                charger_id="garage",
                session_id=f"session-{number}",
                connector=connector,
                started_at=0,
                meter_start=0,
                status="Accepted",
                reason="installation_permission",
                inputs=Inputs(at=0),
            ),
        )

    def over(self, number: int) -> None:
        self.running.ended(
            number + 100,
            SessionEnded(
                installation_id="home",
                charger_id="garage",
                session_id=f"session-{number}",
                transaction_id=number,
                connector=1,
                ended_at=1,
                meter_stop=1,
                reason="Local",
            ),
        )


@pytest.fixture
def garage() -> Garage:
    return Garage()


@pytest.mark.parametrize(
    ("status", "yellow"),
    [
        ("Available", False),
        ("Preparing", True),
        ("Charging", False),
        ("SuspendedEV", True),
        ("SuspendedEVSE", True),
        ("Finishing", False),
        ("Reserved", False),
        ("Unavailable", False),
        ("Faulted", False),
    ],
)
def test_plugged_in_where_something_is_asked_for_is_yellow(
    garage: Garage, status: str, yellow: bool
) -> None:
    """S3-55."""
    garage.tells(status)
    assert garage.waiting() is yellow
    garage.charger.installation.authorisation_required = False
    assert not garage.waiting()
    garage.charger.installation.external = True  # an operator asks everybody
    assert garage.waiting() is yellow


def test_a_running_session_is_not_waited_for(garage: Garage) -> None:
    """S3-55: per connector."""
    garage.tells("SuspendedEV", 1)
    garage.tells("Preparing", 2)
    garage.session(1, connector=1)
    assert (garage.waiting(1), garage.waiting(2)) == (False, True)
    garage.over(1)
    assert garage.waiting(1)


def test_whoever_was_accepted_is_waited_for_no_longer_until_the_start(garage: Garage) -> None:
    """S3-55: a card first and then the plug, or the other way round."""
    garage.states.accepted("garage", NOW)
    garage.tells("Preparing")
    assert not garage.waiting(at=NOW + 1)
    garage.states.started("garage")
    assert garage.waiting()  # the start was refused, or there would be a session


def test_an_acceptance_ends_by_itself_and_when_its_driver_goes(garage: Garage) -> None:
    garage.tells("Preparing")
    garage.states.accepted("garage", NOW)
    assert not garage.waiting(at=NOW + ACCEPTANCE_LASTS - 1)
    assert garage.waiting(at=NOW + ACCEPTANCE_LASTS)
    garage.tells("Available")
    garage.tells("Preparing")
    assert garage.waiting(at=NOW + 1)


def test_what_nobody_told_of_is_left_out(garage: Garage) -> None:
    """The charger itself, connector 0, is none of its connectors."""
    assert garage.state() == ChargerState("garage", online=True, connectors=())
    garage.tells("Available", 0)
    garage.tells("Available", 2)
    garage.tells("Faulted", 1)
    assert [(each.connector, each.status) for each in garage.state().connectors] == [
        (1, "Faulted"),
        (2, "Available"),
    ]
    offline = garage.states.of(garage.charger, online=(), at=NOW)
    assert offline == ChargerState("garage", online=False, connectors=())


async def test_a_connected_charger_is_seen_over_grpc(tmp_path: Path) -> None:
    """S3-55."""
    view = View()
    passwords = ChargerPasswords(SECRET)
    running = RunningSessions()
    view.apply(
        access.InstallationCreated(
            installation_id="home", name="", time_zone="UTC", authorisation_required=True
        )
    )
    for charger_id in ("garage", "barn"):
        view.apply(
            access.ChargerCredential(
                charger_id=charger_id, password_hash=passwords.hash(charger_id, "a password")
            )
        )
        view.apply(
            access.ChargerAdded(
                charger_id=charger_id,
                installation_id="home",
                ocpp_identity=charger_id,
                authorisation_override="INHERIT",
                identification_types=("RFID",),
            )
        )
    gateway = Gateway(
        Client(),
        view=view,
        running=running,
        keyed_ids=KeyedIds(SECRET),
        start_keys=StartKeys(SECRET),
        passwords=passwords,
        unknown=[].append,
        clock=lambda: NOW,
    )
    chargers = OcppServer(gateway)
    await chargers.start("127.0.0.1:0")
    asked: list[tuple[str, str]] = []

    async def check(_: Caller, action: str, obj: str) -> None:
        asked.append((action, obj))

    authorization = build_authorization_basic("garage", "a password")
    async with (
        served(service(gateway, chargers), tmp_path, check) as as_caller,
        asyncio.timeout(30),
    ):
        stub = GatewayServiceStub(as_caller(ADMINISTRATOR))
        async with connect(
            f"ws://127.0.0.1:{chargers.port}/ocpp/garage",
            subprotocols=["ocpp1.6"],  # type: ignore[list-item] # a plain string
            additional_headers={"Authorization": authorization},
            proxy=None,
        ) as socket:
            status = {"connectorId": 1, "errorCode": "NoError", "status": "Preparing"}
            await socket.send(json.dumps([2, "1", "StatusNotification", status]))
            await socket.recv()
            found = await stub.ListChargerStates(
                pb.ListChargerStatesRequest(installation_id="home")
            )
            waiting = pb.ConnectorState(
                connector=1, status="Preparing", waiting_for_authorisation=True
            )
            assert list(found.chargers) == [
                pb.ChargerState(charger_id="barn"),
                pb.ChargerState(charger_id="garage", online=True, connectors=[waiting]),
            ]
        running.started(
            7,
            SessionStarted(
                installation_id="home",
                charger_id="garage",
                session_id="session",
                connector=1,
                started_at=0,
                meter_start=0,
                status="Accepted",
                reason="open_charger",
                inputs=Inputs(at=0),
            ),
        )
        sessions = await stub.ListRunningSessions(
            pb.ListRunningSessionsRequest(charger_id="garage")
        )
        assert list(sessions.session_ids) == ["session"]
    await chargers.stop()
    assert asked == [
        ("gateway.ListChargerStates", "installation:home"),
        ("gateway.ListRunningSessions", "charger:garage"),
    ]
