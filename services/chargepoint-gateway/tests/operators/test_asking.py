"""Asking operators over real sockets: slow, dead, lying, huge, and all at once."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import gzip
import ipaddress
import logging
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest
import structlog
from nats.aio.client import Client
from prometheus_client import REGISTRY
from standardwebhooks import Webhook

from chargekey_common import outgoing
from chargekey_common.host_names import Names
from chargekey_common.keyed_ids import classify
from chargekey_common.outgoing import Outgoing, Request, Said, UnsafeAddressError, is_outside
from chargekey_common.published.sessions import OperatorAnswer
from chargekey_common.testing.askers import noted_askers
from chargekey_gateway.inputs import Presented
from chargekey_gateway.operators.asking import (
    AT_ONCE_FROM_CHARGER,
    JUST_NOW,
    OFFLINE,
    SENT_FOR,
    AskingOperators,
    retry_after,
)
from chargekey_gateway.operators.breaker import MOST, SHORTEST
from chargekey_gateway.operators.last_known import KEPT, AnswerKeys, LastKnown, Whitelisted
from chargekey_gateway.operators.question import Endpoint
from chargekey_gateway.view.entries import Charger, Installation

from .operator_server import (
    ALLOWED,
    Behave,
    OperatorServer,
    an_operator,
    answer,
    drop_by_drop,
    endless,
    hang_up,
    never,
)

NOW = 1_795_000_000_000_000_000
SECOND = 10**9
CARD = "04A1B2C3"
KEY = "whsec_" + base64.b64encode(b"x" * 24).decode()
UNREACHABLE = OperatorAnswer(status="UNREACHABLE")
SAID = OperatorAnswer(status="ALLOWED", reference="ref-1")
LONG = 30.0  # seconds: longer than any test, so that what ends has ended by itself
SHORT = 0.2


class Asking:
    """What asks two operators, volt and watt, each a site of its own with two chargers."""

    def __init__(self, sender: Outgoing, deadline: float, at_once: int) -> None:
        self.now = NOW
        self.endpoints: dict[str, Endpoint | None] = {}
        self.last_known = LastKnown(Client(), clock=lambda: self.now)
        self.asking = AskingOperators(
            endpoint=self._endpoint,
            sender=sender,
            keys=AnswerKeys(b"a secret of 24 bytes, so"),
            last_known=self.last_known,
            clock=lambda: self.now,
            deadline=deadline,
            at_once=at_once,
        )
        self.sites = {
            partner: Installation(f"site-{partner}", external=True, managed_by=partner)
            for partner in ("volt", "watt")
        }

    async def _endpoint(self, partner_id: str) -> Endpoint | None:
        return self.endpoints[partner_id]

    async def ask(
        self, partner: str = "volt", token: str = CARD, charger: str = "c1", **how: Any
    ) -> OperatorAnswer:
        there = Charger(charger, self.sites[partner], registered=True)
        presented = Presented(token, classify(token)[0], None)
        how.setdefault("at", self.now)
        return await self.asking.ask(there, presented, **how)


@pytest.fixture
async def volt() -> AsyncIterator[OperatorServer]:
    async with an_operator() as server:
        yield server


@pytest.fixture
async def watt() -> AsyncIterator[OperatorServer]:
    async with an_operator() as server:
        yield server


async def made(
    volt: OperatorServer, sender: Outgoing, *, deadline: float = LONG, at_once: int = 1_000
) -> Asking:
    asking = Asking(sender, deadline, at_once)
    asking.endpoints["volt"] = Endpoint("WEBHOOK", volt.url, KEY)
    return asking


@pytest.fixture
async def sender() -> AsyncIterator[Outgoing]:
    async with Outgoing(deadline=LONG, anywhere=True) as sender:
        yield sender


@pytest.fixture
async def asking(volt: OperatorServer, sender: Outgoing) -> Asking:
    return await made(volt, sender)


def count(result: str) -> float:
    return REGISTRY.get_sample_value("operator_answers_total", {"result": result}) or 0.0


async def test_a_webhook_is_asked_once_and_can_tell_who_asks(
    asking: Asking, volt: OperatorServer
) -> None:
    before = count("allowed")
    assert await asking.ask() == SAID
    [asked] = volt.asked
    assert (asked.method, asked.target) == ("POST", "/tokens")
    # Its own clock is this test's: 2026.
    assert (
        Webhook(KEY).sign(asked.headers["webhook-id"], _utc(NOW), asked.body.decode())
        == asked.headers["webhook-signature"]
    )
    assert asked.said["token"] == {"code": "04A1B2C3", "type": "RFID"}
    assert asked.said["stage"] == "authorize"
    assert count("allowed") == before + 1


async def test_an_operator_is_looked_up_in_its_own_name(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F33."""
    noted = noted_askers(monkeypatch)
    assert await asking.ask() == SAID
    assert noted == {"volt"}


async def test_ocpi_is_asked_by_its_own_words(asking: Asking, volt: OperatorServer) -> None:
    asking.endpoints["volt"] = Endpoint("OCPI", volt.url, "s3cr3t")
    volt.behave = answer(b'{"status_code": 1000, "data": {"allowed": "NO_CREDIT"}}')
    assert (await asking.ask()).status == "NO_CREDIT"
    [asked] = volt.asked
    assert asked.target == "/tokens/04A1B2C3/authorize?type=RFID"
    assert asked.headers["authorization"] == "Token " + base64.b64encode(b"s3cr3t").decode()
    assert await asking.ask(token="x" * 37) == OperatorAnswer(status="NOT_ALLOWED")
    assert len(volt.asked) == 1  # there is no way to ask that


REDIRECT = answer(b"", "302 Found", "location: http://127.0.0.1:1/elsewhere")


BAD: dict[str, tuple[Behave, str]] = {
    "hangs up": (hang_up, "http"),
    "never ends": (endless, "malformed"),
    "redirects": (REDIRECT, "malformed"),
    "fails": (answer(ALLOWED, "500 Oh no"), "server_error"),
    "is busy": (answer(ALLOWED, "429 Later"), "put_off"),
    "does not know us": (answer(ALLOWED, "401 Who are you"), "malformed"),
    "says a page": (answer(b"<html>"), "malformed"),
    "says another type": (answer(b'{"allowed": 1}'), "malformed"),
    "compresses": (
        answer(gzip.compress(ALLOWED), "200 OK", "content-encoding: gzip"),
        "malformed",
    ),
    "is long-winded": (answer(ALLOWED + b" " * 65_536), "malformed"),
    "speaks no HTTP": (answer(b"", "not a status"), "http"),
}


@pytest.mark.parametrize(("behave", "result"), BAD.values(), ids=BAD)
async def test_no_answer_worth_the_name_is_unreachable_and_counted(
    asking: Asking, volt: OperatorServer, behave: Behave, result: str
) -> None:
    volt.behave = behave
    before = count(result)
    assert await asking.ask() == UNREACHABLE
    assert count(result) == before + 1
    assert len(volt.asked) == 1  # nobody follows, nobody asks again


@pytest.mark.parametrize("behave", [never, drop_by_drop])
async def test_an_operator_has_so_long_and_no_longer(
    volt: OperatorServer, sender: Outgoing, behave: Behave
) -> None:
    asking = await made(volt, sender, deadline=SHORT)
    volt.behave = behave
    before = count("timeout")
    assert await asking.ask() == UNREACHABLE
    assert count("timeout") == before + 1


async def test_a_dead_operator_is_unreachable(asking: Asking, volt: OperatorServer) -> None:
    await volt.stop()
    assert await asking.ask() == UNREACHABLE


async def test_who_has_no_endpoint_is_unreachable_at_once_and_asked_as_soon_as_there_is_one(
    asking: Asking,
) -> None:
    there, asking.endpoints["volt"] = asking.endpoints["volt"], None
    for _ in range(MOST + 1):
        assert await asking.ask() == UNREACHABLE
    asking.endpoints["volt"] = there
    assert await asking.ask() == SAID


async def test_a_site_without_operator_is_nobodys(asking: Asking) -> None:
    asking.sites["volt"].managed_by = None
    assert await asking.ask() == UNREACHABLE


async def test_who_fails_again_and_again_is_left_alone_and_then_tried_by_one_question(
    asking: Asking, volt: OperatorServer
) -> None:
    volt.behave = answer(b"", "503 Busy")
    for number in range(MOST):
        await asking.ask(charger=f"c{number}")
    before = count("breaker_open")
    assert await asking.ask() == UNREACHABLE
    assert len(volt.asked) == MOST
    assert count("breaker_open") == before + 1

    asking.now += SHORTEST
    assert await asking.ask() == UNREACHABLE  # the one that is let through, in vain
    assert len(volt.asked) == MOST + 1
    asking.now += SHORTEST
    assert await asking.ask() == UNREACHABLE  # the pause is longer now
    assert len(volt.asked) == MOST + 1

    asking.now += SHORTEST
    volt.behave = answer(ALLOWED)
    assert await asking.ask() == SAID
    assert await asking.ask() == SAID
    assert len(volt.asked) == MOST + 3


ODD = {
    "refused": answer(b"what is this?", "400 Bad Request"),
    "unauthorized": answer(ALLOWED, "401 Who are you"),
    "not found": answer(b"", "404 Not Found"),
    "at the border": answer(b"", "499 Whatever"),
    "redirected": REDIRECT,
    "a page": answer(b"<html>"),
    "long": answer(ALLOWED + b" " * 65_536),
}


@pytest.mark.parametrize("behave", ODD.values(), ids=ODD)
async def test_who_can_make_nothing_of_a_token_is_asked_about_the_next(
    asking: Asking, volt: OperatorServer, behave: Behave
) -> None:
    """O48: odd cards at one charger would close the operator's other sites, too."""
    volt.behave = behave
    for number in range(MOST + 1):
        assert await asking.ask(token=f"odd {number}") == UNREACHABLE
    volt.behave = answer(ALLOWED)
    assert await asking.ask() == SAID
    assert len(volt.asked) == MOST + 2


async def test_an_answer_that_says_nothing_ends_a_row_of_failures(
    asking: Asking, volt: OperatorServer
) -> None:
    for behave in (hang_up, answer(b"", "404 Not Found"), hang_up):
        volt.behave = behave
        for _ in range(MOST - 1):
            await asking.ask()
    volt.behave = answer(ALLOWED)
    assert await asking.ask() == SAID


async def test_an_operator_that_breaks_on_tokens_of_one_charger_is_asked_by_the_others(
    asking: Asking, volt: OperatorServer
) -> None:
    """O48."""
    volt.behave = answer(b"", "500 Oh no")
    for number in range(3 * MOST):
        assert await asking.ask(token=f"odd {number}") == UNREACHABLE
    assert len(volt.asked) == 3 * MOST
    # Where it was left alone for another reason, that charger does not keep it so.
    volt.behave = hang_up
    for _ in range(MOST):
        await asking.ask(charger="c2")
    asking.now += SHORTEST
    volt.behave = answer(b"", "500 Oh no")
    await asking.ask(token="odd")
    asking.now += 2 * SHORTEST
    for _ in range(3):
        await asking.ask(token="odd")
    volt.behave = answer(ALLOWED)
    assert await asking.ask(charger="c2") == SAID


async def test_what_nobody_is_asked_is_answered_while_the_operator_is_left_alone(
    asking: Asking, volt: OperatorServer
) -> None:
    """And says nothing of how the operator is."""
    asking.endpoints["volt"] = Endpoint("OCPI", volt.url, "s3cr3t")
    volt.behave = hang_up
    for _ in range(MOST):
        await asking.ask()
    assert await asking.ask(token="x" * 37) == OperatorAnswer(status="NOT_ALLOWED")
    assert await asking.ask() == UNREACHABLE
    assert len(volt.asked) == MOST


async def test_who_asks_for_patience_is_left_alone_for_so_long(
    asking: Asking, volt: OperatorServer
) -> None:
    volt.behave = answer(b"", "429 Too Many Requests", "retry-after: 7")
    before = count("put_off")
    assert await asking.ask() == UNREACHABLE
    assert count("put_off") == before + 1
    volt.behave = answer(ALLOWED)
    asking.now += 7 * SECOND - 1
    assert await asking.ask() == UNREACHABLE
    assert len(volt.asked) == 1
    asking.now += 1
    assert await asking.ask() == SAID
    assert await asking.ask() == SAID


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("120", 120),
        (" 5 ", 5),
        ("9" * 400, 999_999_999),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("²", 0),
        ("Wed, 18 Nov 2026 11:07:40 GMT", 60),
        ("Wed, 18 Nov 2026 11:05:40 GMT", -60),
        ("Wed, 99 Nov 2026 11:05:40 GMT", 0),
    ],
)
def test_how_long_to_wait_is_told_in_seconds_or_by_a_date(header: str | None, seconds: int) -> None:
    """RFC 9110 §10.2.3."""
    assert retry_after(Said(429, b"", header), NOW) == seconds * SECOND


async def test_while_one_question_tries_no_other_is_asked(
    asking: Asking, volt: OperatorServer
) -> None:
    volt.behave = hang_up
    for _ in range(MOST):
        await asking.ask()
    asking.now += SHORTEST
    volt.behave = never
    probe = asyncio.create_task(asking.ask())
    await volt.has_been_asked(MOST + 1)
    assert await asking.ask() == UNREACHABLE
    assert len(volt.asked) == MOST + 1

    # The charger goes away with its question: the next one is let through in its place.
    probe.cancel()
    await asyncio.wait({probe})
    volt.behave = answer(ALLOWED)
    assert await asking.ask() == SAID


async def test_chargers_that_go_away_are_not_the_operators_fault(
    asking: Asking, volt: OperatorServer
) -> None:
    volt.behave = never
    for number in range(MOST + 1):
        task = asyncio.create_task(asking.ask())
        await volt.has_been_asked(number + 1)
        task.cancel()
        await asyncio.wait({task})
    volt.behave = answer(ALLOWED)
    assert await asking.ask() == SAID


async def test_an_endpoint_that_is_set_again_begins_with_a_clean_record(
    asking: Asking, volt: OperatorServer, watt: OperatorServer
) -> None:
    volt.behave = hang_up
    for _ in range(MOST):
        await asking.ask()
    asking.endpoints["volt"] = Endpoint("WEBHOOK", watt.url, KEY)
    assert await asking.ask() == SAID
    assert len(watt.asked) == 1


async def test_what_one_operator_does_is_nothing_to_the_chargers_of_another(
    volt: OperatorServer, watt: OperatorServer, sender: Outgoing
) -> None:
    """200 questions hang; the other operator's answer comes before any of them."""
    asking = await made(volt, sender, at_once=200)
    asking.endpoints["watt"] = Endpoint("WEBHOOK", watt.url, KEY)
    volt.behave = never
    hanging = [asyncio.create_task(asking.ask(charger=f"c{number}")) for number in range(200)]
    await volt.has_been_asked(200)
    before = count("busy")
    assert await asking.ask() == UNREACHABLE  # and not after the others
    assert count("busy") == before + 1
    assert await asking.ask("watt") == SAID
    assert not any(task.done() for task in hanging)
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)


async def test_one_charger_takes_no_room_from_the_operators_others(
    asking: Asking, volt: OperatorServer
) -> None:
    """O48."""
    volt.behave = never
    hanging = [asyncio.create_task(asking.ask()) for _ in range(AT_ONCE_FROM_CHARGER)]
    await volt.has_been_asked(AT_ONCE_FROM_CHARGER)
    before = count("busy")
    assert await asking.ask() == UNREACHABLE
    assert count("busy") == before + 1
    volt.behave = answer(ALLOWED)
    assert await asking.ask(charger="c2") == SAID
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)
    assert await asking.ask() == SAID


async def test_what_was_allowed_a_moment_ago_is_not_asked_again_when_it_begins(
    asking: Asking, volt: OperatorServer
) -> None:
    await asking.ask()
    assert await asking.ask(token="04a1b2c3", stage="start", connector=2) == SAID
    assert len(volt.asked) == 1
    # Once: the next start is another one.
    await asking.ask(stage="start", connector=2)
    assert (volt.asked[1].said["stage"], volt.asked[1].said["connector"]) == ("start", 2)


@pytest.mark.parametrize(
    ("how", "later"),
    [({"token": "04FFFFFF"}, 0), ({"charger": "c2"}, 0), ({}, JUST_NOW)],
)
async def test_another_token_another_charger_or_later_is_asked_again(
    asking: Asking, volt: OperatorServer, how: dict[str, str], later: int
) -> None:
    await asking.ask()
    asking.now += later
    await asking.ask(stage="start", **how)
    assert len(volt.asked) == 2


async def test_what_was_refused_since_is_not_allowed_from_memory(
    asking: Asking, volt: OperatorServer
) -> None:
    await asking.ask()
    volt.behave = answer(b'{"allowed": "BLOCKED"}')
    await asking.ask()
    assert (await asking.ask(stage="start")).status == "BLOCKED"
    assert len(volt.asked) == 3


async def test_the_fallback_policy_deny_knows_nothing(asking: Asking, volt: OperatorServer) -> None:
    await asking.ask()
    await volt.stop()
    assert await asking.ask() == UNREACHABLE


class TestLastKnown:
    """The fallback policy LAST_KNOWN."""

    @pytest.fixture(autouse=True)
    def _policy(self, asking: Asking) -> None:
        for site in asking.sites.values():
            site.on_operator_timeout = "LAST_KNOWN"

    async def test_the_last_answer_counts_where_there_is_none(
        self, asking: Asking, volt: OperatorServer
    ) -> None:
        await asking.ask()
        volt.behave = answer(b'{"allowed": "NO_CREDIT"}')
        await asking.ask(token="04FFFFFF")
        await volt.stop()
        before = count("last_known")
        assert await asking.ask(token="04:a1:b2:c3", charger="c2") == OperatorAnswer(
            status="ALLOWED", reference="ref-1", last_known=True
        )
        refused = OperatorAnswer(status="NO_CREDIT", last_known=True)
        assert await asking.ask(token="04FFFFFF") == refused
        assert await asking.ask(token="04EEEEEE") == UNREACHABLE
        assert count("last_known") == before + 2

    async def test_it_is_this_operators_at_this_site(
        self, asking: Asking, volt: OperatorServer
    ) -> None:
        asking.endpoints["watt"] = Endpoint("WEBHOOK", "http://127.0.0.1:1/", KEY)
        await asking.ask()
        assert await asking.ask("watt") == UNREACHABLE
        await volt.stop()
        asking.sites["volt"].id = "another"
        assert await asking.ask() == UNREACHABLE

    async def test_it_ends_where_the_operator_said_and_after_thirty_days(
        self, asking: Asking, volt: OperatorServer
    ) -> None:
        await asking.ask(token="04FFFFFF")
        volt.behave = answer(b'{"allowed": "ALLOWED", "valid_until": "2026-11-18T12:00:00Z"}')
        end = (await asking.ask()).valid_until
        assert end is not None
        await volt.stop()
        asking.now = end - 1
        assert (await asking.ask()).last_known
        asking.now = end
        assert await asking.ask() == UNREACHABLE
        asking.now = NOW + KEPT - 1
        assert (await asking.ask(token="04FFFFFF")).last_known
        asking.now = NOW + KEPT
        assert await asking.ask(token="04FFFFFF") == UNREACHABLE

    async def test_what_began_without_a_connection_is_judged_by_what_was_known_then(
        self, asking: Asking, volt: OperatorServer
    ) -> None:
        """R23."""
        await asking.ask()
        asking.now += 3 * OFFLINE
        volt.behave = answer(b'{"allowed": "BLOCKED"}')
        then = NOW + OFFLINE
        known = await asking.ask(stage="start", at=then, charger="c2")
        assert (known.status, known.last_known) == ("ALLOWED", True)
        assert len(volt.asked) == 1
        # Before anything was known, and where something newer was said: it is asked now.
        assert (await asking.ask(stage="start", at=NOW - 1, charger="c2")).status == "BLOCKED"
        assert (await asking.ask(stage="start", at=then, charger="c2")).status == "BLOCKED"
        assert len(volt.asked) == 3


async def told(asking: Asking, status: Any, *, always: bool = False, at: int = NOW) -> None:
    """Have volt say something of the card by itself."""
    said = Whitelisted(OperatorAnswer(status=status), at, always=always)
    asking.asking.remember_tokens("volt", [("04:a1:b2:c3", said)])
    asking.now += 1


async def test_who_is_whitelisted_always_is_decided_without_a_question(
    asking: Asking, volt: OperatorServer
) -> None:
    """P9: OCPI 2.2.1 §12.4.6, and as long as the operator says so."""
    await told(asking, "ALLOWED", always=True)
    for stage in ("authorize", "start"):
        assert (await asking.ask(stage=stage)).status == "ALLOWED"
    await told(asking, "BLOCKED", always=True, at=NOW + 1)
    assert (await asking.ask(charger="c2")).status == "BLOCKED"
    await told(asking, "ALLOWED", always=True, at=NOW)
    assert (await asking.ask()).status == "BLOCKED"
    asking.endpoints["watt"] = None
    assert await asking.ask("watt") == UNREACHABLE
    assert not volt.asked
    asking.asking.remember_tokens("volt", [("04A1B2C3", None)])
    assert (await asking.ask()).status == "ALLOWED"
    assert len(volt.asked) == 1


async def test_what_is_allowed_is_named_by_what_its_token_is_known_by(
    asking: Asking, volt: OperatorServer
) -> None:
    """P50: where the operator gives no name of its own, and whoever decided."""
    asking.sites["volt"].on_operator_timeout = "LAST_KNOWN"
    known = OperatorAnswer(status="ALLOWED", reference="known-by")

    async def say(answer: OperatorAnswer, *, always: bool = False) -> None:
        asking.now += 1
        said = Whitelisted(answer, asking.now, always=always)
        asking.asking.remember_tokens("volt", [(CARD, said)])
        asking.now += 1

    await say(known, always=True)
    unasked = msgspec.structs.replace(known, last_known=True)
    assert await asking.ask() == await asking.ask(stage="start") == unasked
    await say(OperatorAnswer(status="UNREACHABLE", reference="known-by"))
    assert (await asking.ask()) == SAID
    volt.behave = answer(b'{"allowed": "ALLOWED"}')
    assert await asking.ask(charger="c2") == known
    assert await asking.ask(charger="c2", stage="start") == known
    assert (await asking.ask(token="04FFFFFF")).reference is None
    volt.behave = answer(b'{"allowed": "BLOCKED"}')
    assert await asking.ask() == OperatorAnswer(status="BLOCKED")
    await say(known)
    await volt.stop()
    assert await asking.ask() == unasked
    # What it answered before its token was known, offline as well.
    then = asking.now
    key = AnswerKeys(b"a secret of 24 bytes, so").of("volt", "site-volt", CARD)
    asking.last_known.remember(key, OperatorAnswer(status="ALLOWED"), then)
    assert await asking.ask() == unasked
    asking.now += 2 * OFFLINE
    assert await asking.ask(stage="start", at=then) == unasked


async def test_what_is_said_beforehand_counts_where_nothing_is_answered(
    asking: Asking, volt: OperatorServer
) -> None:
    """P9: the newer of both words, under LAST_KNOWN alone, and never against NEVER."""
    await volt.stop()
    await told(asking, "ALLOWED")
    assert await asking.ask() == UNREACHABLE
    asking.sites["volt"].on_operator_timeout = "LAST_KNOWN"
    assert await asking.ask() == OperatorAnswer(status="ALLOWED", last_known=True)
    key = AnswerKeys(b"a secret of 24 bytes, so").of("volt", "site-volt", "04A1B2C3")
    asking.last_known.remember(key, OperatorAnswer(status="NO_CREDIT"), NOW + 10)
    assert (await asking.ask()).status == "NO_CREDIT"
    asking.now = NOW + 20
    await told(asking, "BLOCKED", at=NOW + 15)
    assert (await asking.ask()).status == "BLOCKED"
    await told(asking, "UNREACHABLE", at=NOW + 16)
    assert await asking.ask() == UNREACHABLE
    then = NOW + 12
    asking.now = NOW + 3 * OFFLINE
    assert await asking.ask(stage="start", at=then) == UNREACHABLE
    asking.asking.remember_tokens("volt", [("04A1B2C3", None)])
    assert (await asking.ask(stage="start", at=then)).status == "NO_CREDIT"
    asking.now = NOW + KEPT + 100
    await told(asking, "ALLOWED", at=NOW)
    asking.now += KEPT
    assert await asking.ask() == UNREACHABLE


async def test_what_an_operator_sent_a_charger_it_is_not_asked_about(
    asking: Asking, volt: OperatorServer
) -> None:
    """P11: there, once, for three minutes, and while it manages the site."""
    sent = OperatorAnswer(status="ALLOWED", reference="volt-77")
    site = asking.sites["volt"]

    def send(partner_id: str = "volt") -> None:
        there = Charger("c1", site, registered=True)
        asking.asking.allow(there, "04A1B2C3", sent, partner_id=partner_id, at=asking.now)

    send()
    assert await asking.ask() == sent
    assert await asking.ask(stage="start") == sent
    assert not volt.asked
    assert (await asking.ask(stage="start")).reference == "ref-1"
    send()
    assert (await asking.ask(charger="c2")).reference == "ref-1"
    asking.now += SENT_FOR
    assert (await asking.ask()).reference == "ref-1"
    send("watt")
    assert (await asking.ask(stage="start", charger="c3")).reference == "ref-1"
    assert len(volt.asked) == 4


async def test_nothing_that_is_logged_has_a_token_or_an_address_in_it(
    asking: Asking, volt: OperatorServer, caplog: pytest.LogCaptureFixture
) -> None:
    """R17: the library would log the address of every request, and the token is in it."""
    asking.endpoints["volt"] = Endpoint("OCPI", volt.url, "s3cr3t")
    volt.behave = answer(b"{}")
    with caplog.at_level(logging.INFO), structlog.testing.capture_logs() as lines:
        await asking.ask()
        await volt.stop()
        await asking.ask()
    everything = f"{lines} {caplog.text}"
    assert lines
    for secret in ("04A1B2C3", "s3cr3t", "127.0.0.1"):
        assert secret not in everything


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104 - nobody binds to it
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "100.100.100.200",
        "169.254.169.254",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001::1",
        "2001:db8::1",
        "::7f00:1",
        "::ffff:0:7f00:1",
        "fec0::1",
    ],
)
def test_the_own_network_is_not_outside(address: str) -> None:
    assert not is_outside(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111"])
def test_the_internet_is_outside(address: str) -> None:
    assert is_outside(ipaddress.ip_address(address))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.1", "0x7f000001"])
async def test_nobody_is_connected_to_in_the_own_network(volt: OperatorServer, host: str) -> None:
    """A name that leads here is as good as the address; also where TLS would be spoken."""
    async with Outgoing(deadline=LONG) as guarded:
        with pytest.raises(UnsafeAddressError):
            await guarded.send(Request(f"https://{host}:{volt.port}/", {}, b""), asker="volt")
        with pytest.raises(UnsafeAddressError):
            await guarded.send(Request(f"http://{host}:{volt.port}/", {}, b""), asker="volt")
    assert volt.asked == []


async def test_what_is_connected_to_is_what_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is another address the second time it is looked up gains nothing."""
    looked_up: list[str] = []
    connected: list[asyncio.StreamWriter] = []

    async def hangs_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer)
        writer.close()

    def look_up(host: str, _port: None, **_: Any) -> list[Any]:
        looked_up.append(host)
        return leads_to("127.0.0.1" if len(looked_up) == 1 else "10.0.0.1")

    monkeypatch.setattr(outgoing, "is_outside", lambda address: str(address) == "127.0.0.1")
    async with (
        await asyncio.start_server(hangs_up, "127.0.0.1", 0) as server,
        Outgoing(deadline=LONG, names=Names(look_up)) as guarded,
    ):
        port = server.sockets[0].getsockname()[1]
        # The server speaks no TLS: that it was reached is all there is to see.
        with pytest.raises(httpx2.ConnectError):
            await guarded.send(Request(f"https://operator.example:{port}/", {}, b""), asker="volt")
    assert len(connected) == 1
    assert looked_up == ["operator.example"]


async def test_one_address_inside_among_those_of_a_name_is_enough_to_refuse(
    volt: OperatorServer,
) -> None:
    names = Names(lambda *_, **__: leads_to("93.184.216.34", "127.0.0.1"))
    async with Outgoing(deadline=LONG, names=names) as guarded:
        with pytest.raises(UnsafeAddressError):
            await guarded.send(
                Request(f"https://operator.example:{volt.port}/", {}, b""), asker="volt"
            )


@pytest.mark.parametrize("how", ["unknown", "endless"])
async def test_a_name_that_is_not_found_is_no_operator(volt: OperatorServer, how: str) -> None:
    ended = threading.Event()

    def look_up(*_: Any, **__: Any) -> list[Any]:
        if how == "endless":
            ended.wait(LONG)
        raise socket.gaierror

    async with Outgoing(deadline=SHORT, anywhere=True, names=Names(look_up)) as sender:
        asking = await made(volt, sender)
        asking.endpoints["volt"] = Endpoint("WEBHOOK", "http://operator.example/", KEY)
        before = count("http")
        assert await asking.ask() == UNREACHABLE
        assert count("http") == before + 1
    ended.set()


async def test_proxies_of_the_environment_are_not_used(
    volt: OperatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with Outgoing(deadline=LONG, anywhere=True) as sender:
        asking = await made(volt, sender)
        assert await asking.ask() == SAID


async def test_cookies_of_operators_are_not_kept(volt: OperatorServer) -> None:
    """Another operator's address may have the same end, and would be sent them."""
    volt.behave = answer(ALLOWED, "200 OK", "set-cookie: volt=1; Path=/")
    async with Outgoing(deadline=LONG, anywhere=True) as sender:
        for _ in range(2):
            await sender.send(Request(volt.url, {}, b""), asker="volt")
    assert len(volt.asked) == 2
    assert "cookie" not in volt.asked[1].headers


def leads_to(*addresses: str) -> list[Any]:
    return [(2, 1, 6, "", (each, 0)) for each in addresses]


def _utc(at: int) -> Any:
    return dt.datetime.fromtimestamp(at // SECOND, tz=dt.UTC)
