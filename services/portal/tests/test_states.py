"""How each service is, told from what its own gRPC health says at the moment."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack

import pytest

from chargekey_common.grpc.client import LONGEST_BACKOFF
from chargekey_portal.services import PATIENCE, Services

from .neighbours import NAMES, Neighbours
from .outline import Outline
from .portal import OCPP_URL, Portal

WORDS = {"SERVING": "serves", "NOT_SERVING": "not ready", "UNREACHABLE": "does not answer"}
SECRET = "what went wrong"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let services that answer take their time: the machine may be busy."""
    monkeypatch.setattr("chargekey_portal.services.PATIENCE", 30.0)


async def states(served: Portal) -> dict[str, str]:
    """Return what the JSON tells, which the page tells in words."""
    services = (await served.get("/api/v1/status")).json()["services"]
    assert isinstance(services, list)
    return {service["name"]: service["state"] for service in services}


@pytest.mark.usefixtures("patient")
async def test_the_page_and_its_json_tell_that_everything_serves(served: Portal) -> None:
    assert (await served.get("/api/v1/status")).json() == {
        "services": [{"name": name, "state": "SERVING"} for name in NAMES],
        "ocpp": OCPP_URL,
    }
    page = await served.get("/status")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    assert page.body.count('class="state SERVING"') == len(NAMES)
    assert "Everything serves." in page.body


@pytest.mark.usefixtures("patient")
async def test_the_page_tells_each_state_in_words_and_the_rest_goes_on(
    served: Portal, neighbours: Neighbours
) -> None:
    await neighbours.stop("identity")
    await neighbours.stop("history")
    await neighbours.start("history", ready=False)
    async with asyncio.timeout(30):
        while (told := await states(served))["history"] != "NOT_SERVING":
            await asyncio.sleep(LONGEST_BACKOFF / 1000 / 20)
    assert told == {
        "access": "SERVING",
        "identity": "UNREACHABLE",
        "gateway": "SERVING",
        "history": "NOT_SERVING",
        "notifier": "SERVING",
    }
    text = Outline((await served.get("/status")).body).text
    assert "2 of 5 services cannot be used now." in text
    for name, state in told.items():
        assert f"{name}\n{WORDS[state]}" in text


async def test_a_service_that_came_back_is_told_as_serving_again(
    served: Portal, neighbours: Neighbours
) -> None:
    await neighbours.stop("gateway")
    assert (await states(served))["gateway"] == "UNREACHABLE"
    await neighbours.start("gateway", ready=False)
    await neighbours.make_ready("gateway")
    async with asyncio.timeout(10):
        while (await states(served))["gateway"] != "SERVING":
            await asyncio.sleep(LONGEST_BACKOFF / 1000 / 20)


async def test_services_that_hang_hold_the_page_up_together_for_one_deadline(
    served: Portal, neighbours: Neighbours
) -> None:
    with ExitStack() as hanging:
        for name in NAMES:
            await neighbours.stop(name)
            hanging.enter_context(_deaf(neighbours.addresses[name]))
        loop = asyncio.get_running_loop()
        asked = loop.time()
        assert set((await states(served)).values()) == {"UNREACHABLE"}
        assert loop.time() - asked < len(NAMES) * PATIENCE


def _deaf(address: str) -> socket.socket:
    """Let connections be made, and never say anything."""
    host, _, port = address.rpartition(":")
    return socket.create_server((host, int(port)), reuse_port=True)


async def test_a_failure_of_ours_is_refused_by_name_too_and_says_nothing_of_why(
    served: Portal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: Services) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(Services, "ask", fail)
    page, document = await served.get("/status"), await served.get("/api/v1/status")
    assert page.status == document.status == 500
    assert "Code: internal" in Outline(page.body).text
    assert document.json() == {
        "type": "urn:chargekey:refusal:internal",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "Something went wrong here; the portal's log says what.",
        "code": "internal",
    }
    assert SECRET not in page.body + document.body
    assert page.headers["x-content-type-options"] == "nosniff"
    assert SECRET in caplog.text
