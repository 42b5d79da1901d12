"""How chargers are right now: online, their connectors, and who is waited for (yellow)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from nats.aio.client import Client
from structlog.testing import capture_logs
from websockets import connect
from websockets.headers import build_authorization_basic

from chargekey.gateway.v1 import gateway_pb2 as pb
from chargekey.gateway.v1.gateway_pb2_grpc import GatewayServiceStub
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.published import access, identity
from chargekey_common.published.chargers import WaitingForAuthorisationChanged
from chargekey_common.published.sessions import Inputs, SessionEnded, SessionStarted
from chargekey_common.testing.grpc import served
from chargekey_gateway.api.service import service
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.charger_states import (
    ACCEPTANCE_LASTS,
    MOST_CONNECTORS,
    ChargerState,
    ChargerStates,
)
from chargekey_gateway.decision import Decision
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.view.entries import Charger, Installation
from chargekey_gateway.view.view import View

SECRET = b"a secret of 24 bytes, so"
CARD = "04A1B2C3"
NOW = 1_800_000_000_000_000_000


class Garage:
    """One charger, as a test tells that it is."""

    def __init__(self) -> None:
        self.running = RunningSessions()
        self.charger = Charger("garage", Installation("home"), registered=True)
        self.states = ChargerStates(
            self.running, {"home": [self.charger], "elsewhere": []}.__getitem__
        )

    def tells(self, status: str, connector: int = 1) -> None:
        self.states.told(self.charger, connector, status)

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


def test_a_start_that_is_refused_makes_somebody_waited_for_again(garage: Garage) -> None:
    online = {"garage"}
    garage.states.accepted("garage", NOW)
    garage.tells("Preparing")
    assert garage.states.news(garage.charger, online=online, at=NOW) == []
    changed: list[Charger] = []
    garage.states.on_change(changed.append)
    garage.states.started("garage")
    garage.states.started("garage")  # of which nothing was accepted before
    assert changed == [garage.charger]
    assert garage.states.news(garage.charger, online=online, at=NOW) == [(1, True)]


def test_an_acceptance_ends_by_itself_and_when_its_driver_goes(garage: Garage) -> None:
    garage.tells("Preparing")
    garage.states.accepted("garage", NOW)
    assert not garage.waiting(at=NOW + ACCEPTANCE_LASTS - 1)
    assert garage.waiting(at=NOW + ACCEPTANCE_LASTS)
    garage.tells("Available")
    garage.tells("Preparing")
    assert garage.waiting(at=NOW + 1)


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({1: "Available", 2: "Available"}, "Available"),
        ({1: "Available", 2: "Occupied"}, "Occupied"),
        ({1: "Occupied", 2: "Available"}, "Occupied"),
        ({1: "Unavailable", 2: "Occupied"}, "Occupied"),
        ({1: "Occupied", 2: "Faulted"}, "Occupied"),
        ({1: "Reserved", 2: "Faulted"}, "Reserved"),
        ({1: "Available", 2: "Faulted", 3: "Unavailable"}, "Faulted"),
        ({1: "Available", 2: "Unavailable"}, "Unavailable"),
        ({1: "Occupied", 0: "Available"}, "Available"),  # said of the EVSE as a whole
        ({1: "Occupied", 0: "Available", 2: "Available"}, "Available"),
        ({0: "Occupied", 1: "Available"}, "Available"),
    ],
)
def test_an_evse_is_as_its_plugs_are(garage: Garage, told: dict[int, str], status: str) -> None:
    """G01: one vehicle at a time; what was said last of all or of one counts, never both."""
    garage.states.of_plugs(garage.charger, 2, 1, "Occupied")  # another EVSE
    for plug, said in told.items():
        found = garage.states.of_plugs(garage.charger, 1, plug, said)
    assert found == status


def test_a_charger_of_2x_makes_up_no_more_plugs_than_connectors(garage: Garage) -> None:
    for number in range(MOST_CONNECTORS):
        assert garage.states.may_have(garage.charger, number // 2, number % 2 + 1)
        garage.states.of_plugs(garage.charger, number // 2, number % 2 + 1, "Available")
    assert garage.states.may_have(garage.charger, 0, 1)
    assert not garage.states.may_have(garage.charger, 0, 3)
    assert not garage.states.may_have(garage.charger, MOST_CONNECTORS, 1)


def test_only_the_chargers_of_a_site_hear_of_its_change(garage: Garage) -> None:
    heard: list[Charger] = []
    garage.states.on_change(heard.append)
    garage.states.site_changed("home")
    assert heard == []  # it has told nothing yet
    garage.tells("Preparing")
    heard.clear()
    garage.states.site_changed("elsewhere")
    assert heard == []
    garage.states.site_changed("home")
    assert heard == [garage.charger]


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
    for charger_id, site in (("garage", "home"), ("barn", "home"), ("street", "away")):
        view.apply(
            access.ChargerCredential(
                charger_id=charger_id, password_hash=passwords.hash(charger_id, "a password")
            )
        )
        view.apply(
            access.ChargerAdded(
                charger_id=charger_id,
                installation_id=site,
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
        greeting=3600,  # the charger is told nothing but answers
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
            for asked_for, told in (
                (["garage"], ["garage"]),
                (["garage", "barn", "garage", "", "nobody's"], ["barn", "garage"]),
                (["street"], []),  # which stands elsewhere
            ):
                some = await stub.ListChargerStates(
                    pb.ListChargerStatesRequest(installation_id="home", charger_ids=asked_for)
                )
                assert list(some.chargers) == [
                    each for each in found.chargers if each.charger_id in told
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
    assert list(dict.fromkeys(asked)) == [
        ("gateway.ListChargerStates", "installation:home"),
        ("gateway.ListRunningSessions", "charger:garage"),
    ]


class Forecourt:
    """A charger with a gateway whose reports are kept instead of published."""

    def __init__(self, *, sites: str = "restricted") -> None:
        self.now = NOW
        self.view = View()
        self.running = RunningSessions()
        self.view.apply(
            access.InstallationCreated(
                installation_id="home", name="", time_zone="UTC", authorisation_required=True
            )
        )
        self.view.apply(
            access.ChargerAdded(
                charger_id="garage",
                installation_id="home",
                ocpp_identity="garage",
                authorisation_override="INHERIT",
                identification_types=("RFID",),
            )
        )
        keyed_id = KeyedIds(SECRET).of_token(CARD, "home")[1].hex()
        self.view.apply(identity.IdentificationKey(identification_id="card", keyed_id=keyed_id))
        self.view.apply(
            identity.IdentificationAdded(
                identification_id="card", user_id="ada", type="RFID", status="ACTIVE"
            )
        )
        self.view.apply(
            access.PermissionGranted(
                installation_id="home", permission_id="ada", user_id="ada", roles=("USER",)
            )
        )
        if sites == "open":
            self.require(needed=False)
        self.gateway = Gateway(
            Client(),
            view=self.view,
            running=self.running,
            keyed_ids=KeyedIds(SECRET),
            start_keys=StartKeys(SECRET),
            passwords=ChargerPasswords(SECRET),
            unknown=[].append,
            clock=lambda: self.now,
        )
        charger = self.view.charger("garage")
        assert charger is not None
        self.charger = charger
        self.told: list[tuple[int, bool]] = []
        self.gateway.reports.tell = self._keep  # type: ignore[method-assign]
        self.gateway.reports.connected(charger, "1.6")

    def _keep(self, event: object, _: object = None) -> None:
        if isinstance(event, WaitingForAuthorisationChanged):
            assert (event.charger_id, event.installation_id) == ("garage", "home")
            self.told.append((event.connector, event.waiting))

    def tap(self) -> None:
        decision = self.gateway.deciding.authorize(self.charger, CARD)
        assert isinstance(decision, Decision)
        assert decision.accepted

    def require(self, *, needed: bool) -> None:
        self.view.apply(
            access.AuthorisationRequiredSet(installation_id="home", authorisation_required=needed)
        )

    def tells(self, *statuses: str, connector: int = 1) -> None:
        for status in statuses:
            self.gateway.reports.connector_status(
                self.charger, connector=connector, status=status, error_code="NoError"
            )

    def session(self, number: int, connector: int = 1) -> None:
        Garage.session(self, number, connector)  # type: ignore[arg-type]

    def over(self, number: int) -> None:
        Garage.over(self, number)  # type: ignore[arg-type]


YELLOW, NO_MORE = (1, True), (1, False)


@pytest.fixture
async def forecourt() -> Forecourt:
    return Forecourt()


@pytest.mark.parametrize("plugged", ["Preparing", "SuspendedEVSE", "Occupied"])
async def test_yellow_is_told_when_it_begins_and_when_the_cable_goes(
    forecourt: Forecourt, plugged: str
) -> None:
    """S3-55: never twice the same; OCPP 2.x says no more than Occupied."""
    forecourt.tells("Available", plugged, plugged, "Available", "Available")
    assert forecourt.told == [YELLOW, NO_MORE]


async def test_yellow_ends_with_what_is_accepted_and_comes_back_when_that_lapses(
    forecourt: Forecourt,
) -> None:
    """S3-55."""
    forecourt.tells("Preparing")
    forecourt.tap()
    forecourt.tap()
    assert forecourt.told == [YELLOW, NO_MORE]
    forecourt.now += ACCEPTANCE_LASTS
    forecourt.tells("Preparing")
    assert forecourt.told == [YELLOW, NO_MORE, YELLOW]


async def test_the_lapse_of_an_acceptance_is_told_by_itself(
    forecourt: Forecourt, monkeypatch: pytest.MonkeyPatch
) -> None:
    lasts = 10**7
    monkeypatch.setattr("chargekey_gateway.charger_states.ACCEPTANCE_LASTS", lasts)
    told = asyncio.Event()
    keep = forecourt.gateway.reports.tell

    def tell(event: object, about: object = None) -> None:
        keep(event, about)  # type: ignore[arg-type]
        if len(forecourt.told) == 3:
            told.set()

    forecourt.gateway.reports.tell = tell  # type: ignore[method-assign]
    forecourt.tells("Preparing")
    forecourt.tap()
    forecourt.now += lasts
    async with asyncio.timeout(30):
        await told.wait()
    assert forecourt.told == [YELLOW, NO_MORE, YELLOW]


async def test_yellow_ends_with_a_start_and_not_with_one_that_is_refused(
    forecourt: Forecourt,
) -> None:
    """S3-55."""
    forecourt.tells("Preparing", "Charging", "SuspendedEVSE")
    assert forecourt.told == [YELLOW, NO_MORE, YELLOW]  # charging, of which nobody knows why
    forecourt.session(1)
    forecourt.tells("SuspendedEV", "SuspendedEVSE")
    assert forecourt.told == [YELLOW, NO_MORE, YELLOW, NO_MORE]


async def test_a_vehicle_of_2x_that_has_charged_is_not_waited_for_until_it_has_gone(
    forecourt: Forecourt,
) -> None:
    """S3-55."""
    forecourt.tells("Occupied")
    forecourt.session(1)
    forecourt.over(1)
    forecourt.tells("Occupied")
    assert forecourt.told == [YELLOW, NO_MORE]
    forecourt.tells("Available", "Occupied")
    assert forecourt.told == [YELLOW, NO_MORE, YELLOW]


async def test_a_site_that_opens_and_closes_while_somebody_is_plugged_in(
    forecourt: Forecourt,
) -> None:
    """S3-13, S3-55, R1: live, any number of times; so does a charger's own deviation."""
    forecourt.tells("Preparing")
    forecourt.require(needed=False)
    forecourt.require(needed=True)
    forecourt.view.apply(
        access.AuthorisationOverrideSet(
            charger_id="garage", installation_id="home", authorisation_override="NOT_REQUIRED"
        )
    )
    assert forecourt.told == [YELLOW, NO_MORE, YELLOW, NO_MORE]


async def test_at_an_open_charger_nobody_is_waited_for_unless_an_operator_decides() -> None:
    """S3-10, S3-55."""
    forecourt = Forecourt(sites="open")
    forecourt.tells("Preparing")
    assert forecourt.told == []
    forecourt.view.apply(
        access.AuthenticationTypeSet(installation_id="home", authentication_type="EXTERNAL")
    )
    assert forecourt.told == [YELLOW]


async def test_of_a_charger_that_has_gone_nobody_knows(forecourt: Forecourt) -> None:
    """And a session that another replica begins there tells nothing here."""
    forecourt.tells("Preparing")
    forecourt.gateway.reports.connected(forecourt.charger, "1.6")  # the next before the last
    forecourt.gateway.reports.disconnected(forecourt.charger)
    assert forecourt.told == [YELLOW]
    forecourt.gateway.reports.disconnected(forecourt.charger)
    assert forecourt.told == [YELLOW, NO_MORE]
    forecourt.session(1)
    forecourt.over(1)
    assert forecourt.told == [YELLOW, NO_MORE]
    forecourt.gateway.reports.connected(forecourt.charger, "1.6")
    assert forecourt.told == [YELLOW, NO_MORE, YELLOW]


async def test_connectors_are_waited_for_apart(forecourt: Forecourt) -> None:
    forecourt.tells("Preparing", connector=2)
    forecourt.tells("Preparing", connector=0)
    forecourt.tells("Preparing", connector=1)
    forecourt.session(1, connector=2)
    assert forecourt.told == [(2, True), (1, True), (2, False)]


async def test_a_charger_that_makes_up_connectors_is_believed_so_many(
    forecourt: Forecourt,
) -> None:
    for number in range(1, MOST_CONNECTORS + 10):
        forecourt.tells("Available", connector=number)
    forecourt.tells("Faulted", connector=1)
    [state] = forecourt.gateway.reports.states([forecourt.charger], {forecourt.charger.id})
    assert [each.connector for each in state.connectors] == list(range(1, MOST_CONNECTORS + 1))
    assert state.connectors[0].status == "Faulted"


async def test_a_charger_that_makes_up_plugs_is_believed_so_many(forecourt: Forecourt) -> None:
    """OCPP 2.x: also where all are said to be of one EVSE."""
    with capture_logs() as logs:
        for plug in range(1, MOST_CONNECTORS + 3):
            forecourt.gateway.reports.connector_status(
                forecourt.charger, connector=1, plug=plug, status="Available", error_code=""
            )
    assert [each["event"] for each in logs] == ["charger_tells_of_too_many_connectors"] * 2
