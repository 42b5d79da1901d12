from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chargekey_common.errors import (
    ChargekeyError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)
from chargekey_notifier.ocpi import commands

from .between import CHARGER, EVSE, SITE, VOLT, Us
from .msp import Msp, token

PATH = "/cpo/2.2.1/commands"


def error(kind: type[ChargekeyError], code: str) -> ChargekeyError:
    named = type("NamedError", (kind,), {"code": code, "sentence": "No."})
    refused: ChargekeyError = named()
    return refused


def start(msp: Msp, **changed: Any) -> dict[str, Any]:
    return {
        "response_url": f"{msp.url}/results/1",
        "token": token(),
        "location_id": SITE,
        "evse_uid": EVSE,
        "authorization_reference": "volt-77",
        **changed,
    }


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the gateway take its time to answer at once: the machine may be busy."""
    monkeypatch.setattr(commands, "AT_ONCE", 30.0)


async def result(msp: Msp) -> tuple[str, Any]:
    async with asyncio.timeout(20):
        return await msp.results.get()


async def test_a_start_is_answered_at_once_and_again_when_the_charger_has(
    here: Us, msp: Msp
) -> None:
    """P11: §13.2: with the operator's token, and its reference for its consent."""
    secret = await here.registered()
    here.gateway.turn = asyncio.Event()
    told = await here.call("POST", f"{PATH}/START_SESSION", secret, start(msp))
    assert told["data"] == {"result": "ACCEPTED", "timeout": 60}
    assert msp.results.empty()
    here.gateway.turn.set()
    assert await result(msp) == ("1", {"result": "ACCEPTED"})
    (asked,) = here.gateway.asked
    assert (asked.partner_id, asked.installation_id, asked.charger_id, asked.connector) == (
        *(VOLT, SITE),
        *(CHARGER, 1),
    )
    assert (asked.token, asked.authorization_reference) == ("04A1B2C3", "volt-77")


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("named", ["volt-77", "", None])
async def test_a_session_that_was_commanded_is_told_with_the_commands_token(
    here: Us, msp: Msp, named: str | None
) -> None:
    """P51: and with the operator's reference where it gave one; it lets nobody else in."""
    secret = await here.registered()
    app = token("a-driver-of-volt", type="AD_HOC_USER", contract_id="NO-VLT-C1")
    command = start(msp, token=app, authorization_reference=named)
    if named is None:
        del command["authorization_reference"]
    await here.call("POST", f"{PATH}/START_SESSION", secret, command)
    (asked,) = here.gateway.asked
    reference = asked.authorization_reference
    assert reference == named or (not named and 0 < len(reference) <= 36)
    cdr = await here.bills(secret, reference)
    assert cdr["cdr_token"] == {
        "country_code": "NO",
        "party_id": "VLT",
        "uid": "a-driver-of-volt",
        "type": "AD_HOC_USER",
        "contract_id": "NO-VLT-C1",
    }
    assert cdr["auth_method"] == "COMMAND"
    assert cdr.get("authorization_reference") == (named or None)
    where = "/cpo/2.2.1/tokens/NO/VLT/a-driver-of-volt?type=AD_HOC_USER"
    await here.call("GET", where, secret, expected=(404, 2004))
    assert not here.gateway.whitelisted
    assert isinstance(here.where, Path)
    files = here.where.parent.glob(f"{here.where.name}*")
    assert not [each for each in files if b"a-driver-of-volt" in each.read_bytes()]


@pytest.mark.usefixtures("patient")
async def test_one_reference_is_that_of_one_token(here: Us, msp: Msp) -> None:
    """P51: else nobody could tell whom to bill."""
    secret = await here.registered()
    again = token(valid=False, uid="04a1b2c3")
    for each in (token(), again):
        await here.call("POST", f"{PATH}/START_SESSION", secret, start(msp, token=each))
    other = start(msp, token=token("04A1B2C4"))
    await here.call("POST", f"{PATH}/START_SESSION", secret, other, expected=(200, 2001))
    assert [each.token for each in here.gateway.asked] == ["04A1B2C3", "04a1b2c3"]
    assert (await here.bills(secret, "volt-77"))["cdr_token"]["uid"] == "04A1B2C3"


async def test_sessions_are_stopped_and_connectors_unlocked(here: Us, msp: Msp) -> None:
    """P12."""
    secret = await here.registered()
    url = {"response_url": f"{msp.url}/results/2"}
    stop = url | {"session_id": "session-1"}
    await here.call("POST", f"{PATH}/STOP_SESSION", secret, stop)
    assert await result(msp) == ("2", {"result": "ACCEPTED"})
    unlock = url | {"location_id": SITE, "evse_uid": EVSE, "connector_id": "1"}
    await here.call("POST", f"{PATH}/UNLOCK_CONNECTOR", secret, unlock)
    assert await result(msp) == ("2", {"result": "ACCEPTED"})
    stopped, unlocked = here.gateway.asked
    assert stopped.session_id == "session-1"
    assert (unlocked.charger_id, unlocked.connector) == (CHARGER, 1)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (error(NotFoundError, "session_unknown"), "UNKNOWN_SESSION"),
        (error(NotFoundError, "charger_unknown"), "REJECTED"),
        (error(FailedPreconditionError, "operator_not_deciding"), "REJECTED"),
        (error(FailedPreconditionError, "charger_offline"), "REJECTED"),
        (UnavailableError(), "REJECTED"),
    ],
)
async def test_what_comes_to_no_charger_is_refused_at_once(
    here: Us, msp: Msp, refusal: ChargekeyError, said: str
) -> None:
    """P12."""
    secret = await here.registered()
    here.gateway.refusal = refusal
    told = await here.call("POST", f"{PATH}/START_SESSION", secret, start(msp))
    assert told["data"]["result"] == said


@pytest.mark.parametrize(
    ("outcome", "refusal", "said"),
    [
        ("rejected", None, "REJECTED"),
        ("not_supported", None, "NOT_SUPPORTED"),
        ("refused", None, "FAILED"),
        ("", error(UnavailableError, "charger_silent"), "TIMEOUT"),
        ("", error(FailedPreconditionError, "charger_offline"), "EVSE_INOPERATIVE"),
    ],
)
async def test_what_a_charger_does_not_do_is_told_in_ocpis_words(
    here: Us, msp: Msp, outcome: str, refusal: ChargekeyError | None, said: str
) -> None:
    """P12."""
    secret = await here.registered()
    here.gateway.turn = asyncio.Event()
    here.gateway.outcome, here.gateway.refusal = outcome, refusal
    await here.call("POST", f"{PATH}/START_SESSION", secret, start(msp))
    here.gateway.turn.set()
    assert await result(msp) == ("1", {"result": said})


async def test_a_result_that_is_not_taken_is_told_again(
    here: Us, msp: Msp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P12."""
    secret = await here.registered()
    monkeypatch.setattr(commands, "PAUSES", (0.01, 0.01))
    here.gateway.turn = asyncio.Event()
    wrong = "what-we-do-not-have"
    msp.called_with = wrong
    await here.call("POST", f"{PATH}/START_SESSION", secret, start(msp))
    here.gateway.turn.set()
    for _ in range(3):
        assert await result(msp) == ("1", {"result": "ACCEPTED"})


async def test_reservations_are_not_supported_and_the_rest_is_no_command(
    here: Us, msp: Msp
) -> None:
    """P13."""
    secret = await here.registered()
    for command in ("RESERVE_NOW", "CANCEL_RESERVATION"):
        told = await here.call("POST", f"{PATH}/{command}", secret, {})
        assert told["data"]["result"] == "NOT_SUPPORTED"
    await here.call("POST", f"{PATH}/EXPLODE", secret, {}, expected=(404, 2001))
    for broken in (
        {"token": {}},
        {"response_url": "volt"},
        {"location_id": "x" * 37},
        {"authorization_reference": "x" * 37},
    ):
        body = start(msp) | broken
        await here.call("POST", f"{PATH}/START_SESSION", secret, body, expected=(400, 2001))
    others = start(msp, token=token(party_id="WAT"))
    await here.call("POST", f"{PATH}/START_SESSION", secret, others, expected=(200, 2001))
    assert not here.gateway.asked
