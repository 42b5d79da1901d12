"""The simulated charger in every version of OCPP, against back ends of the `ocpp` library.

They judge every message by the official schemas, and know nothing of this system.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import ocpp.v16
import ocpp.v21
import ocpp.v201
import pytest
import pytest_asyncio
from ocpp.exceptions import InternalError
from ocpp.routing import on
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from chargekey_stack.simulator import Make, SimulatedCharger, Started, Version, simulated_charger
from chargekey_stack.simulator.values import Token

VERDICTS = {"#2468": "Accepted", "04A6B7C8": "Accepted", "#1357": "Blocked"}
CARD = "04A6B7C8"
PIN = "#2468"
HASTY = Make(back_off=(0.01,))
LATER = "2099-01-01T00:00:00Z"
VERSIONS: list[Version] = ["1.6", "2.0.1", "2.1"]


def now() -> str:
    return dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z")


class Office:
    """What the back ends of all connections have in common."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[Any] = asyncio.Queue()
        self.authorized: list[str] = []
        self.statuses: list[str] = []
        self.boots: list[str] = []
        self.transactions: list[dict[str, Any]] = []
        self.told = asyncio.Condition()
        self.failing = 0  # so many transaction messages are answered with an error
        self.may_answer = asyncio.Event()  # transaction messages
        self.may_answer.set()
        self.prepared = asyncio.Event()  # a vehicle was there
        self.verdicts = dict(VERDICTS)
        self.url = ""

    async def tell(self, message: dict[str, Any]) -> None:
        if self.failing:
            self.failing -= 1
            raise InternalError
        async with self.told:
            self.transactions.append(message)
            self.told.notify_all()
        await self.may_answer.wait()

    def note_status(self, status: str) -> None:
        self.statuses.append(status)
        if status in {"Preparing", "Occupied"}:
            self.prepared.set()

    async def until(self, enough: Callable[[list[dict[str, Any]]], bool]) -> None:
        async with asyncio.timeout(30), self.told:
            await self.told.wait_for(lambda: enough(self.transactions))


class Office16(ocpp.v16.ChargePoint):
    """A back end of 1.6."""

    office: Office

    @on("BootNotification")
    def boot(self, **_: Any) -> Any:
        self.office.boots.append("")
        return ocpp.v16.call_result.BootNotification(
            current_time=now(), interval=300, status="Accepted"
        )

    @on("Heartbeat")
    def heartbeat(self) -> Any:
        return ocpp.v16.call_result.Heartbeat(current_time=now())

    @on("StatusNotification")
    def status(self, status: str, error_code: str, connector_id: int, **_: Any) -> Any:
        self.office.note_status(status if connector_id else error_code)
        return ocpp.v16.call_result.StatusNotification()

    @on("Authorize")
    def authorize(self, id_tag: str) -> Any:
        self.office.authorized.append(id_tag)
        return ocpp.v16.call_result.Authorize(id_tag_info=self._info(id_tag))

    @on("StartTransaction")
    async def start_transaction(
        self, id_tag: str, timestamp: str, call_unique_id: str, **_: Any
    ) -> Any:
        await self.office.tell({"kind": "Started", "at": timestamp, "id": call_unique_id})
        return ocpp.v16.call_result.StartTransaction(
            transaction_id=42, id_tag_info=self._info(id_tag)
        )

    @on("MeterValues")
    async def meter_values(self, **said: Any) -> Any:
        await self.office.tell({"kind": "Updated", "tx": said.get("transaction_id")})
        return ocpp.v16.call_result.MeterValues()

    @on("StopTransaction")
    async def stop_transaction(self, **said: Any) -> Any:
        await self.office.tell(
            {
                "kind": "Ended",
                "at": said["timestamp"],
                "tx": said["transaction_id"],
                "reason": said["reason"],
            }
        )
        return ocpp.v16.call_result.StopTransaction()

    def _info(self, code: str) -> dict[str, str]:
        return {"status": self.office.verdicts.get(code, "Invalid")}

    # What is asked of the charger, in one way for all versions.

    async def send_list(self, version: int, *, full: bool, codes: dict[str, str | None]) -> str:
        entries = [
            {"id_tag": code, **({} if status is None else {"id_tag_info": {"status": status}})}
            for code, status in codes.items()
        ]
        answer = await self.call(
            ocpp.v16.call.SendLocalList(version, "Full" if full else "Differential", entries)
        )
        return str(answer.status)

    async def list_version(self) -> int:
        return int((await self.call(ocpp.v16.call.GetLocalListVersion())).list_version)

    async def clear_cache(self) -> str:
        return str((await self.call(ocpp.v16.call.ClearCache())).status)

    async def remote_start(self, code: str) -> str:
        request = ocpp.v16.call.RemoteStartTransaction(id_tag=code)
        return str((await self.call(request)).status)

    async def remote_stop(self, started: Started) -> str:
        request = ocpp.v16.call.RemoteStopTransaction(transaction_id=started.transaction_id)
        return str((await self.call(request)).status)

    async def trigger(self, message: str) -> str:
        request = ocpp.v16.call.TriggerMessage(requested_message=message)
        return str((await self.call(request)).status)

    async def reset(self) -> str:
        return str((await self.call(ocpp.v16.call.Reset(type="Hard"))).status)

    async def unlock(self) -> str:
        return str((await self.call(ocpp.v16.call.UnlockConnector(connector_id=1))).status)

    async def available(self, *, operative: bool) -> str:
        kind = "Operative" if operative else "Inoperative"
        request = ocpp.v16.call.ChangeAvailability(connector_id=0, type=kind)
        return str((await self.call(request)).status)


class Office2:
    """A back end of 2.x."""

    office: Office
    call: Any
    _call: Any
    _call_result: Any

    @on("BootNotification")
    def boot(self, reason: str, **_: Any) -> Any:
        self.office.boots.append(reason)
        return self._call_result.BootNotification(
            current_time=now(), interval=300, status="Accepted"
        )

    @on("Heartbeat")
    def heartbeat(self, **_: Any) -> Any:
        return self._call_result.Heartbeat(current_time=now())

    @on("StatusNotification")
    def status(self, connector_status: str, **_: Any) -> Any:
        self.office.note_status(connector_status)
        return self._call_result.StatusNotification()

    @on("Authorize")
    def authorize(self, id_token: dict[str, str], **_: Any) -> Any:
        self.office.authorized.append(id_token["id_token"])
        return self._call_result.Authorize(id_token_info=self._info(id_token))

    @on("MeterValues")
    async def meter_values(self, **_: Any) -> Any:
        await self.office.tell({"kind": "Measured"})
        return self._call_result.MeterValues()

    @on("TransactionEvent")
    async def transaction_event(self, call_unique_id: str, **said: Any) -> Any:
        info = said["transaction_info"]
        await self.office.tell(
            {
                "kind": said["event_type"],
                "at": said["timestamp"],
                "id": call_unique_id,
                "tx": info["transaction_id"],
                "number": said["seq_no"],
                "offline": said.get("offline", False),
                "reason": info.get("stopped_reason"),
                "trigger": said["trigger_reason"],
                "type": said.get("id_token", {}).get("type"),
                "remote_start_id": info.get("remote_start_id"),
            }
        )
        token = said.get("id_token")
        return self._call_result.TransactionEvent(
            id_token_info=None if token is None else self._info(token)
        )

    def _info(self, token: dict[str, str]) -> dict[str, str]:
        if token["type"] == "NoAuthorization":
            return {"status": "Accepted"}
        return {
            "status": self.office.verdicts.get(token["id_token"], "Unknown"),
            "cache_expiry_date_time": LATER,
        }

    async def send_list(self, version: int, *, full: bool, codes: dict[str, str | None]) -> str:
        entries = [
            {
                "id_token": {"id_token": code, "type": Token.of(code).type},
                **({} if status is None else {"id_token_info": {"status": status}}),
            }
            for code, status in codes.items()
        ]
        answer = await self.call(
            self._call.SendLocalList(
                version_number=version,
                update_type="Full" if full else "Differential",
                local_authorization_list=entries or None,
            )
        )
        return str(answer.status)

    async def list_version(self) -> int:
        return int((await self.call(self._call.GetLocalListVersion())).version_number)

    async def clear_cache(self) -> str:
        return str((await self.call(self._call.ClearCache())).status)

    async def remote_start(self, code: str) -> str:
        request = self._call.RequestStartTransaction(
            id_token={"id_token": code, "type": Token.of(code).type}, remote_start_id=7
        )
        return str((await self.call(request)).status)

    async def remote_stop(self, started: Started) -> str:
        request = self._call.RequestStopTransaction(transaction_id=started.transaction_id)
        return str((await self.call(request)).status)

    async def trigger(self, message: str) -> str:
        request = self._call.TriggerMessage(requested_message=message)
        return str((await self.call(request)).status)

    async def reset(self) -> str:
        return str((await self.call(self._call.Reset(type="Immediate"))).status)

    async def unlock(self) -> str:
        request = self._call.UnlockConnector(evse_id=1, connector_id=1)
        return str((await self.call(request)).status)

    async def available(self, *, operative: bool) -> str:
        kind = "Operative" if operative else "Inoperative"
        request = self._call.ChangeAvailability(operational_status=kind)
        return str((await self.call(request)).status)

    async def set(self, component: str, variable: str, value: str, **more: str) -> str:
        data = {
            "component": {"name": component},
            "variable": {"name": variable, **more},
            "attribute_value": value,
        }
        answer = await self.call(self._call.SetVariables(set_variable_data=[data]))
        return str(answer.set_variable_result[0]["attribute_status"])

    async def get(self, component: str, variable: str, **more: str) -> tuple[str, str | None]:
        data = {"component": {"name": component}, "variable": {"name": variable}, **more}
        answer = await self.call(self._call.GetVariables(get_variable_data=[data]))
        [told] = answer.get_variable_result
        return told["attribute_status"], told.get("attribute_value")


class Office201(Office2, ocpp.v201.ChargePoint):
    """A back end of 2.0.1."""


class Office21(Office2, ocpp.v21.ChargePoint):
    """A back end of 2.1."""


OFFICES: dict[str, Any] = {"1.6": Office16, "2.0.1": Office201, "2.1": Office21}


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> Version:
    found: Version = request.param
    return found


@asynccontextmanager
async def listening(version: Version, port: int = 0) -> AsyncIterator[Office]:
    office = Office()

    async def handle(socket: ServerConnection) -> None:
        connection = OFFICES[version]("office", socket)
        connection.office = office
        office.connections.put_nowait(connection)
        try:
            await connection.start()
        except ConnectionClosed:
            return

    silent = logging.getLogger("back-end")
    silent.disabled = True
    async with serve(
        handle,
        "127.0.0.1",
        port,
        subprotocols=[f"ocpp{version}"],
        logger=silent,  # type: ignore[list-item] # a NewType
    ) as server:
        office.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ocpp"
        yield office


@pytest_asyncio.fixture
async def office(version: Version) -> AsyncIterator[Office]:
    async with listening(version) as found:
        yield found


def charger_of(
    office: Office, version: Version, make: Make = HASTY
) -> AbstractAsyncContextManager[SimulatedCharger]:
    return simulated_charger(
        office.url, "CP-1", "secret", version=version, meter_interval=0.01, make=make
    )


def kinds(transactions: list[dict[str, Any]]) -> list[str]:
    """Return what was told of a transaction, however often it was measured."""
    told = [each["kind"] for each in transactions]
    return [each for number, each in enumerate(told) if not number or each != told[number - 1]]


async def test_a_charge_from_the_first_tap_to_the_last_word(
    office: Office, version: Version
) -> None:
    async with charger_of(office, version) as charger:
        await charger.boot()
        assert await charger.authorize(CARD) == "Accepted"
        started = await charger.start(CARD)
        assert started.status == "Accepted"
        assert isinstance(started.transaction_id, int if version == "1.6" else str)
        await office.until(lambda told: len(told) > 3)
        assert await charger.stop() == "Local"
        assert charger.meter > 0
    assert office.authorized == [CARD]
    assert kinds(office.transactions) == ["Started", "Updated", "Ended"]
    assert office.transactions[-1]["reason"] == "Local"
    if version != "1.6":
        assert {each["tx"] for each in office.transactions} == {started.transaction_id}
        numbers = [each["number"] for each in office.transactions]
        assert numbers == list(range(len(numbers)))
        assert office.transactions[0]["type"] == "ISO14443"
        assert not any(each["offline"] for each in office.transactions)


async def test_whoever_is_refused_is_told_and_a_start_for_him_ends_at_once(
    office: Office, version: Version
) -> None:
    async with charger_of(office, version) as charger:
        await charger.boot()
        assert await charger.authorize("#1357") == "Blocked"
        assert (await charger.start("#1357")).status == "Blocked"
        assert await charger.stopped() == "DeAuthorized"
        assert charger.transaction is None
    assert kinds(office.transactions) == ["Started", "Ended"]


async def test_who_is_refused_gets_no_energy_where_his_transaction_is_not_to_end(
    office: Office, version: Version
) -> None:
    name = "StopTransactionOnInvalidId" if version == "1.6" else "TxCtrlr.StopTxOnInvalidId"
    async with charger_of(office, version, Make(back_off=(0.01,), settings={name: "false"})) as it:
        back_end = await office.connections.get()
        await it.boot()
        started = await it.start("#1357")
        assert started.status == "Blocked"
        await office.until(lambda told: len(told) > 3)
        assert (it.state, it.meter) == ("SuspendedEVSE", 0)
        assert await back_end.remote_stop(started) == "Accepted"
        assert await it.stopped() == "Remote"


async def test_it_starts_and_stops_from_afar(office: Office, version: Version) -> None:
    async with charger_of(office, version) as charger:
        back_end = await office.connections.get()
        await charger.boot()
        await charger.plug_in()
        assert await back_end.remote_start(PIN) == "Accepted"
        started = await charger.started()
        assert started.status == "Accepted"
        assert office.authorized == []  # AuthorizeRemoteTxRequests is off
        assert await back_end.remote_start(PIN) == "Rejected"  # taken
        other = Started(41 if version == "1.6" else "another", "Accepted")
        assert await back_end.remote_stop(other) == "Rejected"
        assert await back_end.remote_stop(started) == "Accepted"
        assert await charger.stopped() == "Remote"
    if version != "1.6":
        assert office.transactions[0]["trigger"] == "RemoteStart"
        assert office.transactions[0]["remote_start_id"] == 7
        assert office.transactions[-1]["trigger"] == "RemoteStop"


async def test_its_list_decides_while_nobody_can_be_asked(office: Office, version: Version) -> None:
    async with charger_of(office, version) as charger:
        back_end = await office.connections.get()
        await charger.boot()
        assert await back_end.list_version() == 0
        listed = {CARD.lower(): "Accepted", "#1357": "Blocked"}
        assert await back_end.send_list(4, full=True, codes=listed) == "Accepted"
        assert await back_end.list_version() == 4
        await charger.go_offline()
        assert await charger.authorize(CARD) == "Accepted"
        assert await charger.authorize("#1357") == "Blocked"
        assert await charger.authorize("#0000") == "Invalid"
        assert (await charger.start("#1357")).status == "Blocked"
        assert charger.transaction is None
    assert office.authorized == []


async def test_what_happened_offline_is_told_afterwards_as_of_its_time(
    office: Office, version: Version
) -> None:
    """R23."""
    async with charger_of(office, version) as charger:
        await charger.boot()
        await charger.authorize(CARD)  # now it is in the cache
        await charger.go_offline()
        before = now()
        started = await charger.start(CARD)
        assert (started.status, started.offline) == ("Accepted", True)
        assert await charger.stop() == "Local"
        after = now()
        assert office.transactions == []
        assert len(charger.outbox) >= 2
        await charger.come_back()
        await office.until(lambda told: kinds(told)[-1:] == ["Ended"])
        first, last = office.transactions[0], office.transactions[-1]
        assert (first["kind"], last["kind"]) == ("Started", "Ended")
        assert before[:19] <= first["at"][:19] <= last["at"][:19] <= after[:19]
        if version == "1.6":
            assert last["tx"] == 42  # although it had no number while it lasted
        else:
            assert all(each["offline"] for each in office.transactions)


async def test_who_charged_offline_and_may_not_is_stopped_when_it_is_told(
    office: Office, version: Version
) -> None:
    async with charger_of(office, version) as charger:
        back_end = await office.connections.get()
        await charger.boot()
        assert await back_end.send_list(1, full=True, codes={CARD: "Accepted"}) == "Accepted"
        office.verdicts[CARD] = "Blocked"
        await charger.go_offline()
        assert (await charger.start(CARD)).status == "Accepted"
        await charger.come_back()
        assert await charger.stopped() == "DeAuthorized"
        if version == "1.6":
            await office.until(lambda told: kinds(told)[-1:] == ["Ended"])
            async with asyncio.timeout(10):
                while "LocalListConflict" not in office.statuses:
                    await asyncio.sleep(0)


async def test_a_start_without_an_answer_is_sent_again_the_same_but_for_its_message_id(
    office: Office, version: Version
) -> None:
    async with charger_of(office, version) as charger:
        await charger.boot()
        first = await charger.start(CARD)
        assert await charger.repeat_start() == first
    starts = [each for each in office.transactions if each["kind"] == "Started"]
    assert len(starts) == 2
    assert starts[0]["id"] != starts[1]["id"]
    assert starts[0]["at"] == starts[1]["at"]


async def test_a_message_that_fails_is_sent_again_as_often_as_it_is_set(
    office: Office, version: Version
) -> None:
    names = {
        "1.6": ("TransactionMessageAttempts", "TransactionMessageRetryInterval"),
        "2.0.1": (
            "OCPPCommCtrlr.MessageAttempts[TransactionEvent]",
            "OCPPCommCtrlr.MessageAttemptInterval[TransactionEvent]",
        ),
    }
    attempts, interval = names["1.6" if version == "1.6" else "2.0.1"]
    make = Make(back_off=(0.01,), settings={attempts: "3", interval: "0"})
    async with charger_of(office, version, make) as charger:
        await charger.boot()
        office.failing = 2
        assert (await charger.start(CARD)).status == "Accepted"
        assert await charger.stop() == "Local"


async def test_the_cache_is_learnt_and_cleared_and_the_list_beats_it(
    office: Office, version: Version
) -> None:
    async with charger_of(office, version) as charger:
        back_end = await office.connections.get()
        await charger.boot()
        await charger.authorize(CARD)
        assert Token.of(CARD).key in charger.cache.verdicts
        await back_end.send_list(1, full=True, codes={CARD: "Invalid"})
        await charger.go_offline()
        assert await charger.authorize(CARD) == "Invalid"
        await charger.come_back()
        back_end = await office.connections.get()
        assert await back_end.clear_cache() == "Accepted"
        assert charger.cache.verdicts == {}
        await charger.authorize(CARD)  # who is on the list needs no place in the cache
        assert charger.cache.verdicts == {}


async def test_it_needs_nobody_for_whom_it_knows_where_that_is_set(
    office: Office, version: Version
) -> None:
    name = "LocalPreAuthorize" if version == "1.6" else "AuthCtrlr.LocalPreAuthorize"
    async with charger_of(office, version, Make(settings={name: "true"})) as charger:
        back_end = await office.connections.get()
        await charger.boot()
        await back_end.send_list(1, full=True, codes={CARD: "Accepted", "#1357": "Invalid"})
        assert await charger.authorize(CARD) == "Accepted"
        assert office.authorized == []
        # Of whom the list does not accept, the gateway may know better.
        assert await charger.authorize("#1357") == "Blocked"
        assert office.authorized == ["#1357"]


async def test_it_starts_again_and_keeps_its_list(office: Office, version: Version) -> None:
    async with charger_of(office, version) as charger:
        back_end = await office.connections.get()
        await charger.boot()
        await back_end.send_list(3, full=True, codes={CARD: "Accepted"})
        await charger.start(CARD)
        assert await back_end.reset() == "Accepted"
        back_end = await office.connections.get()
        await office.until(lambda told: kinds(told)[-1:] == ["Ended"])
        assert office.transactions[-1]["reason"] in {"HardReset", "ImmediateReset"}
        assert await back_end.list_version() == 3
    assert len(office.boots) == 2
    assert office.boots[-1] in {"", "RemoteReset"}


async def test_it_sends_what_it_is_asked_for(office: Office, version: Version) -> None:
    async with charger_of(office, version) as charger:
        back_end = await office.connections.get()
        await charger.boot()
        assert await back_end.trigger("BootNotification") == "Accepted"
        assert await back_end.trigger("MeterValues") == "Accepted"
        assert await back_end.trigger("FirmwareStatusNotification") == "NotImplemented"
        await office.until(lambda told: len(told) == 1)
        assert len(office.boots) == 2


async def test_out_of_service_it_takes_nobody(office: Office, version: Version) -> None:
    async with charger_of(office, version) as charger:
        back_end = await office.connections.get()
        await charger.boot()
        assert await back_end.available(operative=False) == "Accepted"
        assert await back_end.remote_start(CARD) == "Rejected"
        assert await back_end.available(operative=True) == "Accepted"
        await charger.start(CARD)
        assert await back_end.available(operative=False) == "Scheduled"
        await charger.stop()
        assert charger.state == "Unavailable"


async def test_its_cable_is_unlocked(office: Office, version: Version) -> None:
    """1.6 ends what charges, 2.x does not let go of it."""
    async with charger_of(office, version) as charger:
        back_end = await office.connections.get()
        await charger.boot()
        assert await back_end.unlock() == "Unlocked"
        await charger.start(CARD)
        if version == "1.6":
            assert await back_end.unlock() == "Unlocked"
            assert await charger.stopped() == "UnlockCommand"
        else:
            assert await back_end.unlock() == "OngoingAuthorizedTransaction"


@pytest.mark.parametrize("two", ["2.0.1", "2.1"])
async def test_variables_are_told_and_set(two: Version) -> None:
    async with listening(two) as office, charger_of(office, two) as charger:
        back_end = await office.connections.get()
        await charger.boot()
        assert await back_end.get("AuthCtrlr", "Enabled") == ("Accepted", "true")
        assert await back_end.get("authctrlr", "enabled") == ("Accepted", "true")
        assert await back_end.get("AuthCtrlr", "Wings") == ("UnknownVariable", None)
        assert await back_end.get("Wings", "Enabled") == ("UnknownComponent", None)
        assert await back_end.set("AuthCtrlr", "LocalPreAuthorize", "true") == "Accepted"
        assert await back_end.set("AuthCtrlr", "LocalPreAuthorize", "maybe") == "Rejected"
        assert await back_end.set("LocalAuthListCtrlr", "Entries", "1") == "Rejected"
        assert await back_end.set("AuthCacheCtrlr", "Enabled", "false") == "RebootRequired"
        attempts = ("OCPPCommCtrlr", "MessageAttempts", "5")
        assert await back_end.set(*attempts, instance="TransactionEvent") == "Accepted"
        assert await back_end.set(*attempts) == "UnknownVariable"
        await back_end.send_list(1, full=True, codes={CARD: "Accepted"})
        assert await back_end.get("LocalAuthListCtrlr", "Entries") == ("Accepted", "1")
        assert charger.settings["AuthCtrlr.LocalPreAuthorize"] == "true"


@pytest.mark.parametrize("two", ["2.0.1", "2.1"])
async def test_an_open_charger_asks_for_nothing(two: Version) -> None:
    """C02: NoAuthorization, and nothing of it is remembered."""
    make = Make(settings={"AuthCtrlr.Enabled": "false"})
    async with listening(two) as office, charger_of(office, two, make) as charger:
        await charger.boot()
        await charger.plug_in()
        assert (await charger.started()).status == "Accepted"
        assert office.transactions[0]["type"] == "NoAuthorization"
        assert office.authorized == []
        assert charger.cache.verdicts == {}


async def test_what_a_version_has_and_it_does_not_is_an_error_by_its_right_name(
    office: Office, version: Version
) -> None:
    calls: Any = {"1.6": ocpp.v16, "2.0.1": ocpp.v201, "2.1": ocpp.v21}[version].call
    async with charger_of(office, version):
        back_end = await office.connections.get()
        with pytest.raises(Exception, match="NotSupported"):
            await back_end.call(calls.DataTransfer(vendor_id="x"), suppress=False)
