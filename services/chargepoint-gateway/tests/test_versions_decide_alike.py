"""One decision in every version: the same taps through OCPP 1.6, 2.0.1, 2.1 and the dry run.

Nothing is between them and the real handlers, frames included; the versions may differ
only in their words.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from nats.aio.client import Client

from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.published.sessions import OperatorAnswer
from chargekey_gateway.application.deciding import DryRun
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.decision import (
    OCPP2_STATUS,
    OCPP16_STATUS,
    Decision,
    Status,
    decided,
)
from chargekey_gateway.inputs import Presented, gather
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.ocpp import timestamps
from chargekey_gateway.ocpp.connection import ChargerConnection
from chargekey_gateway.ocpp.dialect import Dialect
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.ocpp16.routes import OCPP16
from chargekey_gateway.ocpp20.routes import OCPP20
from chargekey_gateway.ocpp21.routes import OCPP21
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.view.entries import Charger
from chargekey_gateway.view.view import View

from .test_decision_model import (
    ANSWERS,
    BEGINNING,
    CODES,
    KEYED_IDS,
    SECRET,
    SITES,
    STRANGE,
    TIMES,
    about_people,
    about_permissions,
    about_sites,
    placed,
    possible,
    working,
)

# How long a token may be; what does not fit is not sent.
LONGEST = {"1.6": 20, "2.0.1": 36, "2.1": 255}
TYPES = ("Central", "eMAID", "ISO14443", "ISO15693", "Local", "MacAddress", "VIN", "vendor's own")


class Operator:
    """Answers at once, and always the same."""

    def __init__(self) -> None:
        self.answer = ANSWERS[0]

    async def ask(self, *_: Charger | Presented, at: int) -> OperatorAnswer:  # noqa: ARG002 - alike
        return self.answer


class Version:
    """A gateway whose chargers speak one version, with lockouts and counters of its own."""

    def __init__(self, dialect: Dialect, view: View) -> None:
        self.dialect = dialect
        self.now = 0
        self.operator = Operator()
        self.sent: list[list[Any]] = []
        self.gateway = Gateway(
            Client(),
            view=view,
            running=RunningSessions(),
            keyed_ids=KEYED_IDS,
            start_keys=StartKeys(SECRET),
            passwords=ChargerPasswords(SECRET),
            unknown=lambda _: None,
            clock=lambda: self.now,
            operators=self.operator,
        )

    def send(self, message: bytes) -> None:
        self.sent.append(json.loads(message))

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(code, reason)

    async def authorize(self, charger: Charger, payload: dict[str, Any]) -> list[Any]:
        connection = ChargerConnection(
            charger,
            gateway=self.gateway,
            dialect=self.dialect,
            wire=self,
            limits=Limits(),
            clock=lambda: self.now,
        )
        connection.receive(json.dumps([2, "1", "Authorize", payload]).encode())
        while not self.sent:
            await asyncio.sleep(0)
        return self.sent.pop()


def concluded(
    view: View, charger: Charger, token: str, run: DryRun, at: int, answer: OperatorAnswer
) -> Decision:
    """Return what the dry run says, with the operator's answer where it would be asked."""
    if isinstance(run.decision, Decision):
        return run.decision
    inputs = gather(charger, Lookup(view, KEYED_IDS)(charger, token), at=at, positions=())
    return decided(msgspec.structs.replace(inputs, operator_answer=answer))


def in_words_of(dialect: Dialect, decision: Decision) -> str:
    word = str((OCPP16_STATUS if dialect is OCPP16 else OCPP2_STATUS)[decision.reason])
    return "Accepted" if word == Status.CONCURRENT_TX else word


def spelled(dialect: Dialect, token: str, how: tuple[str, bool, bool]) -> dict[str, Any]:
    """Return the payload that presents the token, as this charger would write it."""
    kind, low, as_key_code = how
    text = token.lower() if low and token.isascii() else token
    if dialect is OCPP16:
        return {"idTag": text}
    if as_key_code and token[:1] == "#":
        digits = token[1:]
        # A keypad has no #: what is all digits says by its type that it is a PIN.
        bare = digits.isascii() and digits.isdigit()
        return {"idToken": {"idToken": digits if bare else token, "type": "KeyCode"}}
    return {"idToken": {"idToken": text, "type": kind}}


@settings(max_examples=150, deadline=None)
@given(
    beginning=st.one_of(working(), working(), st.just(BEGINNING)),
    events=st.lists(st.one_of(about_people(), about_permissions(), about_sites()), max_size=15),
    taps=st.lists(
        st.tuples(
            st.sampled_from(sorted(SITES)),
            st.sampled_from(CODES) | st.sampled_from(CODES) | st.sampled_from(STRANGE),
            st.sampled_from(TIMES),
            st.sampled_from(ANSWERS),
            st.tuples(st.sampled_from(TYPES), st.booleans(), st.booleans()),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_every_version_and_the_dry_run_decide_alike(
    beginning: list[PublishedEvent],
    events: list[PublishedEvent],
    taps: list[tuple[str, str, int, OperatorAnswer, tuple[str, bool, bool]]],
) -> None:
    """O17, O18, O35, O36, O43; R1 to R4, R10 to R15, R18, R19."""
    view = View()
    for event in placed(possible([*beginning, *events])):
        view.apply(event)
    versions = [Version(dialect, view) for dialect in (OCPP16, OCPP20, OCPP21)]

    async def tap_everywhere() -> None:
        for charger_id, token, at, answer, how in taps:
            charger = view.charger(charger_id)
            assert charger is not None
            verdicts = []
            for version in versions:
                version.now, version.operator.answer = at, answer
                # At the others nobody has asked for it.
                version.gateway.remote_starts.hear("near", "ada-app", at)
                run = version.gateway.deciding.dry_run(charger, token)
                verdicts.append(concluded(view, charger, token, run, at, answer))
                if len(token) <= LONGEST[version.dialect.version]:
                    presented = spelled(version.dialect, token, how)
                    frame = await version.authorize(charger, presented)
                    compare(version.dialect, presented, frame, verdicts[-1])
            assert all(verdict == verdicts[0] for verdict in verdicts)

    asyncio.run(tap_everywhere())


def compare(
    dialect: Dialect, presented: dict[str, Any], frame: list[Any], decision: Decision
) -> None:
    """Hold an answer against the decision, by the table of the version's words."""
    assert frame[0] == 3, (presented, frame)
    info = frame[2]["idTagInfo" if dialect is OCPP16 else "idTokenInfo"]
    assert info["status"] == in_words_of(dialect, decision)
    end = info.get("expiryDate" if dialect is OCPP16 else "cacheExpiryDateTime")
    once = dialect is not OCPP16 and presented["idToken"]["type"] == "Central"
    expected = None if decision.valid_until is None else timestamps.write(decision.valid_until)
    assert end == (None if once else expected)
