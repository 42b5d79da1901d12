"""Telling identity of codes that are nobody's, which is never felt at a charger."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode, aio
from nats.aio.client import Client
from prometheus_client import REGISTRY

from chargekey.identity.v1 import scans_pb2 as pb
from chargekey.identity.v1 import scans_pb2_grpc
from chargekey_common.accounts import Signer, make_account, service_account
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.grpc.client import channel
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.process import cancel
from chargekey_common.published import access, identity
from chargekey_gateway import unknown_codes
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.unknown_codes import UnknownCode, UnknownCodes
from chargekey_gateway.view.view import View

SECRET = b"a secret of 24 bytes, so"
SOON = 0.01
CODE = "04A1B2C3"


def unknown(code: str = CODE, charger_id: str = "charger") -> UnknownCode:
    return UnknownCode(charger_id=charger_id, installation_id="site", code=code, at=7)


def dropped(why: str) -> float:
    return REGISTRY.get_sample_value("unknown_codes_dropped_total", {"why": why}) or 0.0


class Identity(scans_pb2_grpc.ScanServiceServicer):
    """Identity, as far as it is told of codes; refuses while `answer` is a status."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[pb.ReportUnknownCodeRequest] = asyncio.Queue()
        self.asked = 0
        self.answer: StatusCode | None = None

    async def ReportUnknownCode(
        self, request: pb.ReportUnknownCodeRequest, context: aio.ServicerContext[Any, Any]
    ) -> pb.ReportUnknownCodeResponse:
        self.asked += 1
        if self.answer is not None:
            answer, self.answer = self.answer, None
            await context.abort(answer, "no")
        self.told.put_nowait(request)
        return pb.ReportUnknownCodeResponse()

    async def next(self) -> pb.ReportUnknownCodeRequest:
        async with asyncio.timeout(30):
            return await self.told.get()


@pytest.fixture
async def identity_service() -> AsyncIterator[tuple[Identity, str]]:
    servicer = Identity()
    server = aio.server()
    # Untyped in its library.
    scans_pb2_grpc.add_ScanServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield servicer, f"127.0.0.1:{port}"
    await server.stop(None)


@contextlib.asynccontextmanager
async def telling(address: str, place: Path, **options: Any) -> AsyncIterator[UnknownCodes]:
    key = make_account(service_account("gateway"), keys=place / "keys", accounts=place / "accounts")
    to_identity = channel(address, Signer.from_file(key))
    codes = UnknownCodes(to_identity, pause=SOON, **options)
    task = asyncio.create_task(codes.run())
    yield codes
    await cancel(task)
    await to_identity.close()


Running = tuple[Identity, str]


async def test_identity_is_told_what_was_presented_where_and_when(
    identity_service: Running, tmp_path: Path
) -> None:
    """R16."""
    servicer, address = identity_service
    async with telling(address, tmp_path) as codes:
        codes.report(unknown())
        assert await servicer.next() == pb.ReportUnknownCodeRequest(
            charger_id="charger", installation_id="site", code=CODE, at=7
        )


async def test_it_is_told_again_while_identity_is_away(
    identity_service: Running, tmp_path: Path
) -> None:
    servicer, address = identity_service
    servicer.answer = StatusCode.UNAVAILABLE
    async with telling(address, tmp_path) as codes:
        codes.report(unknown())
        assert (await servicer.next()).code == CODE
    assert servicer.asked == 2


async def test_what_identity_refuses_is_dropped_and_the_next_is_told(
    identity_service: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    servicer, address = identity_service
    servicer.answer = StatusCode.INVALID_ARGUMENT
    before = dropped("refused")
    async with telling(address, tmp_path) as codes:
        codes.report(unknown())
        codes.report(unknown("0BADCAFE", "other"))
        assert (await servicer.next()).code == "0BADCAFE"
    assert dropped("refused") == before + 1
    assert CODE not in caplog.text


async def test_it_is_dropped_when_identity_stays_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counted, and without a word of the code."""
    monkeypatch.setattr(unknown_codes, "ATTEMPTS", 2)
    before = dropped("away")
    async with telling("127.0.0.1:1", tmp_path) as codes, asyncio.timeout(30):
        codes.report(unknown())
        while dropped("away") == before:
            await asyncio.sleep(SOON)
    said = capsys.readouterr()
    assert CODE not in said.out + said.err
    assert CODE not in repr(unknown())


async def test_the_newest_of_each_charger_waits_and_no_more_than_fit(
    identity_service: Running, tmp_path: Path
) -> None:
    """Who tries out numbers at one charger takes nobody's place at another."""
    servicer, address = identity_service
    before = dropped("overtaken"), dropped("full")
    async with telling(address, tmp_path, capacity=2) as codes:
        for number in range(100):  # before the task gets to run
            codes.report(unknown(f"0000{number:04}"))
        codes.report(unknown("0BADCAFE", "other"))
        codes.report(unknown("0BADCAFF", "third"))
        told = {(await servicer.next()).code, (await servicer.next()).code}
    assert told == {"00000099", "0BADCAFE"}
    assert (dropped("overtaken"), dropped("full")) == (before[0] + 99, before[1] + 1)


class Site:
    """A gateway that tells a list, with one card that works and one of another site."""

    def __init__(self) -> None:
        self.told: list[UnknownCode] = []
        view, keyed_ids = View(), KeyedIds(SECRET)
        view.apply(
            access.ChargerAdded(
                charger_id="charger",
                installation_id="site",
                ocpp_identity="CP-1",
                authorisation_override="INHERIT",
                identification_types=("RFID", "PIN", "APP", "VEHICLE_ID"),
            )
        )
        view.apply(
            access.PermissionGranted(
                installation_id="site", permission_id="p", user_id="ada", roles=("USER",)
            )
        )
        for name, code, site in (("card", CODE, None), ("foreign", "0BADCAFE", "elsewhere")):
            keyed_id = keyed_ids.of_token(code, "site")[1].hex()
            view.apply(identity.IdentificationKey(identification_id=name, keyed_id=keyed_id))
            view.apply(
                identity.IdentificationAdded(
                    identification_id=name,
                    user_id="ada",
                    type="RFID",
                    status="ACTIVE",
                    installation_id=site,
                )
            )
        self.view = view
        self.gateway = Gateway(
            Client(),
            view=view,
            running=RunningSessions(),
            keyed_ids=keyed_ids,
            start_keys=StartKeys(SECRET),
            passwords=ChargerPasswords(SECRET),
            unknown=self.told.append,
            clock=lambda: 7,
        )

    def tap(self, token: str) -> str:
        charger = self.view.charger("charger")
        assert charger is not None
        return self.gateway.deciding.authorize(charger, token).reason


@pytest.mark.parametrize(
    ("token", "tells"),
    [
        ("04D1E2F3", True),
        ("08A1B2C3", True),  # random: a scan wants to say so
        ("0102030405", True),  # no card number: likewise
        ("NLTNM01234567X", True),
        ("0BADCAFE", True),  # somebody's, who has it at another site: a scan wants to say so
        (CODE, False),
        ("#9999", False),
        ("#12", False),
        ("APP:ABCDEFGHIJKLMNOP", False),
        ("\x07", False),
    ],
)
def test_cards_that_are_nobodys_are_told_and_nothing_that_is_typed(token: str, tells: bool) -> None:
    """R16, R17."""
    site = Site()
    site.tap(token)
    assert [each.code for each in site.told] == ([token] if tells else [])


def test_the_number_is_told_as_it_is_and_not_as_a_strange_reader_makes_it() -> None:
    """R15, R16: it would be added as one that no other charger knows."""
    site = Site()
    site.view.apply(
        access.ReaderQuirksSet(
            charger_id="charger", installation_id="site", reversed=True, prefix="X-"
        )
    )
    assert site.tap("X-F3E2D104") == "identification_unknown"
    assert site.told == [UnknownCode("charger", "site", "04D1E2F3", 7)]


def test_a_dry_run_leaves_no_trace() -> None:
    site = Site()
    charger = site.view.charger("charger")
    assert (
        site.gateway.deciding.dry_run(charger, "04D1E2F3").decision.reason
        == "identification_unknown"
    )
    assert site.told == []
