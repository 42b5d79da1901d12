"""The whole way to a charger that nobody here wrote: the `ocpp` library's, over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import ocpp.v16
import ocpp.v16.call
import ocpp.v16.call_result
import ocpp.v21
import ocpp.v21.call
import ocpp.v21.call_result
import ocpp.v201
import ocpp.v201.call
import ocpp.v201.call_result
import pytest
import websockets
from nats.aio.client import Client
from ocpp.routing import on
from websockets.headers import build_authorization_basic

from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.published import access
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.sessions.keys import StartKeys

from .conftest import ADA, BOB, KEYED_IDS, SECRET, Site

PASSWORD = "a long enough password"
GROUP = "AuthCtrlr.MasterPassGroupId"
result = ocpp.v16.call_result
LIBRARY: dict[str, Any] = {"ocpp2.0.1": ocpp.v201, "ocpp2.1": ocpp.v21}


class LibraryCharger(ocpp.v16.ChargePoint):  # type: ignore[misc] # the library is untyped
    """A charger with a list; the library holds every message against the official schemas."""

    def __init__(self, connection: websockets.ClientConnection) -> None:
        super().__init__("first", connection)
        self.version = 0
        self.entries: dict[str, dict[str, Any]] = {}
        self.settings = {"LocalPreAuthorize": "true", "SendLocalListMaxLength": "1"}
        self.seen: list[str] = []
        self.changed = asyncio.Event()

    def note(self, action: str) -> None:
        self.seen.append(action)
        self.changed.set()

    async def until(self, statuses: dict[str, str]) -> None:
        async with asyncio.timeout(10):
            while self.statuses() != statuses:
                self.changed.clear()
                await self.changed.wait()

    def statuses(self) -> dict[str, str]:
        return {code: info["status"] for code, info in self.entries.items()}

    @on("GetLocalListVersion")
    async def get_version(self) -> Any:
        self.note("GetLocalListVersion")
        return result.GetLocalListVersion(list_version=self.version)

    @on("SendLocalList")
    async def send_list(
        self, list_version: int, update_type: str, local_authorization_list: Any = ()
    ) -> Any:
        entries = {} if update_type == "Full" else dict(self.entries)
        for each in local_authorization_list:
            if "id_tag_info" in each:
                entries[each["id_tag"]] = each["id_tag_info"]
            else:
                entries.pop(each["id_tag"], None)
        self.version, self.entries = list_version, entries
        self.note(f"SendLocalList {update_type}")
        return result.SendLocalList(status="Accepted")

    @on("GetConfiguration")
    async def get_configuration(self, key: list[str]) -> Any:
        known = [each for each in key if each in self.settings]
        return result.GetConfiguration(
            configuration_key=[
                {"key": each, "readonly": False, "value": self.settings[each]} for each in known
            ],
            unknown_key=[each for each in key if each not in known],
        )

    @on("ChangeConfiguration")
    async def change_configuration(self, key: str, value: str) -> Any:
        self.settings[key] = value
        return result.ChangeConfiguration(status="Accepted")

    @on("ClearCache")
    async def clear_cache(self) -> Any:
        self.note("ClearCache")
        return result.ClearCache(status="Rejected")


def name_of(said: dict[str, Any]) -> str:
    return f"{said['component']['name']}.{said['variable']['name']}"


class ListedIn2x:
    """The same of OCPP 2.0.1 and 2.1, beside the library's charger of either."""

    results: Any

    def __init__(self, identity: str, connection: websockets.ClientConnection) -> None:
        super().__init__(identity, connection)  # type: ignore[call-arg] # the library's
        self.version = 0
        self.entries: dict[str, dict[str, Any]] = {}
        self.settings = {
            "AuthCtrlr.Enabled": "true",
            "AuthCtrlr.LocalPreAuthorize": "true",
            GROUP: "",
            "LocalAuthListCtrlr.ItemsPerMessage": "1",
        }
        self.seen: list[str] = []
        self.changed = asyncio.Event()
        self.forgets = False

    note = LibraryCharger.note
    until = LibraryCharger.until
    statuses = LibraryCharger.statuses

    @on("GetLocalListVersion")
    async def get_version(self) -> Any:
        self.note("GetLocalListVersion")
        return self.results.GetLocalListVersion(version_number=self.version)

    @on("SendLocalList")
    async def send_list(
        self, version_number: int, update_type: str, local_authorization_list: Any = ()
    ) -> Any:
        assert len(local_authorization_list) <= 1
        self.note(f"SendLocalList {update_type}")
        full = update_type == "Full"
        if not full and (self.forgets or version_number <= self.version):
            self.forgets = False
            return self.results.SendLocalList(status="VersionMismatch")
        entries = {} if full else dict(self.entries)
        for each in local_authorization_list:
            code = each["id_token"]["id_token"]
            entries.pop(code, None)
            if "id_token_info" in each:
                entries[code] = each["id_token_info"]
        self.version, self.entries = version_number, entries
        return self.results.SendLocalList(status="Accepted")

    @on("GetVariables")
    async def get_variables(self, get_variable_data: Any, **_: object) -> Any:
        told = []
        for each in get_variable_data:
            answer: dict[str, Any] = {"attribute_status": "UnknownVariable"}
            if name_of(each) in self.settings:
                value = self.settings[name_of(each)]
                answer = {"attribute_status": "Accepted", "attribute_value": value}
            told.append({**answer, "component": each["component"], "variable": each["variable"]})
        return self.results.GetVariables(get_variable_result=told)

    @on("SetVariables")
    async def set_variables(self, set_variable_data: Any, **_: object) -> Any:
        told = []
        for each in set_variable_data:
            self.settings[name_of(each)] = each.pop("attribute_value")
            told.append({**each, "attribute_status": "Accepted"})
        self.note("SetVariables")
        return self.results.SetVariables(set_variable_result=told)

    @on("ClearCache")
    async def clear_cache(self) -> Any:
        self.note("ClearCache")
        return self.results.ClearCache(status="Rejected")


def charger_of(version: str, connection: websockets.ClientConnection) -> Any:
    if version == "ocpp1.6":
        return LibraryCharger(connection)
    library = LIBRARY[version]
    made = type("Charger2x", (ListedIn2x, library.ChargePoint), {"results": library.call_result})
    return made("first", connection)


@pytest.fixture
async def gateway(nats_client: Client) -> AsyncIterator[tuple[Site, Gateway, OcppServer]]:
    site = Site()
    passwords = ChargerPasswords(SECRET)
    site.tell(
        access.ChargerCredential(
            charger_id="first", password_hash=passwords.hash("first", PASSWORD)
        )
    )
    gateway = Gateway(
        nats_client,
        view=site.view,
        running=site.running,
        keyed_ids=KEYED_IDS,
        start_keys=StartKeys(SECRET),
        passwords=passwords,
        unknown=[].append,
        clock=site.now,
        codes=site.codes,
    )
    server = OcppServer(gateway)
    await server.start("127.0.0.1:0")
    yield site, gateway, server
    await server.stop()
    await gateway.reconciler.close()


@contextlib.asynccontextmanager
async def connected(server: OcppServer, version: str = "ocpp1.6") -> AsyncIterator[Any]:
    authorization = build_authorization_basic("first", PASSWORD)
    async with websockets.connect(
        f"ws://127.0.0.1:{server.port}/ocpp/first",
        subprotocols=[websockets.Subprotocol(version)],
        additional_headers={"Authorization": authorization},
        compression=None,
        proxy=None,
    ) as connection:
        charger = charger_of(version, connection)
        listening = asyncio.create_task(charger.start())
        try:
            yield charger
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError, websockets.ConnectionClosed):
                await listening


BOOT = ocpp.v16.call.BootNotification(charge_point_model="m", charge_point_vendor="v")


async def test_a_charger_gets_its_settings_and_list_after_its_boot_and_a_block_at_once(
    gateway: tuple[Site, Gateway, OcppServer],
) -> None:
    """R12, O22, O30, O33, O44."""
    site, served, server = gateway
    site.resident("ada", ADA)
    site.resident("bob", BOB)
    async with connected(server) as charger:
        await charger.call(BOOT)
        await charger.until({ADA: "Accepted", BOB: "Accepted"})
        assert charger.settings["LocalPreAuthorize"] == "false"
        assert "LocalAuthListEnabled" not in charger.settings
        assert charger.seen == [
            "GetLocalListVersion",
            "SendLocalList Full",
            "SendLocalList Differential",
        ]
        site.block("ada")
        await charger.until({ADA: "Blocked", BOB: "Accepted"})
        assert charger.seen[3:] == ["ClearCache", "SendLocalList Differential"]
        authorized = await charger.call(ocpp.v16.call.Authorize(id_tag=ADA))
        assert authorized.id_tag_info["status"] == "Blocked"
        while served.convergence.state(site.charger(), online=True).pending:
            await asyncio.sleep(0)
        version = charger.version
        assert served.confirmed.of("first").list_version == version
    # Away while bob goes; back without a boot, and with what it had.
    site.revoke("bob")
    assert served.convergence.state(site.charger(), online=False).pending
    async with connected(server) as again:
        again.version, again.entries = version, charger.entries
        await again.until({ADA: "Blocked", BOB: "Invalid"})


async def test_a_conflict_that_a_charger_reports_makes_its_list_be_sent_again(
    gateway: tuple[Site, Gateway, OcppServer],
) -> None:
    """O31."""
    site, _, server = gateway
    site.resident("ada", ADA)
    async with connected(server) as charger:
        await charger.call(BOOT)
        await charger.until({ADA: "Accepted"})
        charger.entries = {}
        await charger.call(
            ocpp.v16.call.StatusNotification(
                connector_id=0, error_code="LocalListConflict", status="Available"
            )
        )
        await charger.until({ADA: "Accepted"})
        assert charger.seen[-1] == "SendLocalList Full"


@pytest.mark.parametrize("version", LIBRARY)
async def test_a_charger_of_2x_has_the_list_settings_and_cache_it_should_have(
    gateway: tuple[Site, Gateway, OcppServer], version: str
) -> None:
    """R12, O22, O27...30, O32, O33, O41, O44."""
    site, served, server = gateway
    site.resident("ada", ADA)
    site.resident("bob", BOB)
    site.policies(master_pass=True)
    async with connected(server, version) as charger:
        boot = LIBRARY[version].call.BootNotification(
            charging_station={"vendor_name": "v", "model": "m"}, reason="PowerUp"
        )
        assert (await charger.call(boot)).status == "Accepted"
        await charger.until({ADA: "Accepted", BOB: "Accepted"})
        lists = [each for each in charger.seen if each.startswith("SendLocalList")]
        assert lists == ["SendLocalList Full", "SendLocalList Differential"]
        assert charger.settings["OCPPCommCtrlr.MessageAttempts"] == "133"
        assert charger.settings["AuthCtrlr.LocalPreAuthorize"] == "false"
        assert charger.settings["AuthCtrlr.Enabled"] == "true"
        assert charger.settings[GROUP] == "site"
        assert "LocalAuthListCtrlr.Enabled" not in charger.settings  # it has none
        charger.forgets = True
        charger.seen.clear()
        site.block("ada")
        await charger.until({ADA: "Blocked", BOB: "Accepted"})
        # It has no cache, which is as good; and what it could not add to is sent whole.
        assert charger.seen == [
            "ClearCache",
            "SendLocalList Differential",
            "GetLocalListVersion",
            "SendLocalList Full",
            "SendLocalList Differential",
        ]
        while served.convergence.state(site.charger(), online=True).pending:
            await asyncio.sleep(0)
        assert served.confirmed.of("first").list_version == charger.version > 0
        assert served.confirmed.knows_master_pass(site.charger())
        site.policies()
        site.restricted(required=False)
        await charger.until({})
        async with asyncio.timeout(10):
            while charger.settings["AuthCtrlr.Enabled"] != "false" or charger.settings[GROUP]:
                charger.changed.clear()
                await charger.changed.wait()
