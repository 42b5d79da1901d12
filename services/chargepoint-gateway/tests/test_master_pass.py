"""Who looks after a place and may not charge there stops what does, and starts nothing (O46, R22).

From the frames of a charger of OCPP 2.x to the stream. That chargers are told the group is in
reconcile/test_master_pass_group.py.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import pytest_asyncio
from nats.aio.client import Client

from chargekey_common.published import access, identity
from chargekey_common.published.access import Role
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.published.sessions import SessionEnded, SessionStarted, StartRefused
from chargekey_gateway.decision import Decision, Reason
from chargekey_gateway.ocpp import timestamps
from chargekey_gateway.ocpp.connection import ChargerConnection
from chargekey_gateway.ocpp.dialect import Dialect
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.ocpp16.routes import OCPP16
from chargekey_gateway.ocpp20.routes import OCPP20
from chargekey_gateway.ocpp21.routes import OCPP21
from chargekey_gateway.sessions import stream
from chargekey_gateway.sessions.transactions import Phase
from chargekey_gateway.view.entries import Installation
from chargekey_gateway.view.view import View

from .replicas import CARD, MINUTE, NOW, OTHERS_CARD, Replica, events_of, fill

SITE, CHARGER = "site", "first"
REVOKED = access.PermissionRevoked(permission_id="bob", installation_id=SITE, user_id="bob")


def granted(
    *roles: Role, charger: str | None = None, partner: str | None = None, until: int | None = None
) -> access.PermissionGranted:
    return access.PermissionGranted(
        permission_id="care",
        installation_id=SITE,
        charger_id=charger,
        user_id=None if partner else "bob",
        partner_id=partner,
        roles=roles,
        valid_until=until,
    )


def master_pass(*, wanted: bool) -> access.PoliciesSet:
    return access.PoliciesSet(
        installation_id=SITE,
        on_block="STOP",
        on_revoke="FINISH",
        on_operator_timeout="DENY",
        master_pass=wanted,
        pin_length=4,
    )


class ACharger:
    """The charger `first` over a connection without a socket."""

    def __init__(self, replica: Replica, dialect: Dialect = OCPP20) -> None:
        self.answers: list[list[Any]] = []
        self.calls: list[str] = []
        self._number = 0
        self._connection = ChargerConnection(
            replica.charger(CHARGER),
            gateway=replica.gateway,
            dialect=dialect,
            wire=self,
            limits=Limits(),
            clock=lambda: replica.now,
        )

    def send(self, message: bytes) -> None:
        frame = json.loads(message)
        if frame[0] == 2:
            self.calls.append(frame[2])
        else:
            self.answers.append(frame)

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(code, reason)

    async def call(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        self._connection.receive(json.dumps([2, str(self._number), action, payload]).encode())
        async with asyncio.timeout(30):
            while not self.answers:
                await asyncio.sleep(0.001)
        answer: dict[str, Any] = self.answers.pop()[2]
        return answer

    async def tap(self, card: str = OTHERS_CARD) -> dict[str, Any]:
        payload = {"idToken": {"idToken": card, "type": "ISO14443"}}
        info: dict[str, Any] = (await self.call("Authorize", payload))["idTokenInfo"]
        return info

    async def event(self, kind: str, why: str, number: int, card: str | None) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "eventType": kind,
            "timestamp": timestamps.write(NOW),
            "triggerReason": why,
            "seqNo": number,
            "transactionInfo": {"transactionId": "tx"},
            "evse": {"id": 1},
        }
        if card is not None:
            payload["idToken"] = {"idToken": card, "type": "ISO14443"}
        if kind == "Ended":
            payload["transactionInfo"]["stoppedReason"] = "MasterPass"
        return await self.call("TransactionEvent", payload)


def caring(client: Client, *events: PublishedEvent, knows: bool = True) -> Replica:
    """Return a gateway where Bob may not charge, at a charger that knows the master pass."""
    replica = Replica(client)
    for event in (REVOKED, master_pass(wanted=True), *events):
        replica.view.apply(event)
    if knows:
        replica.gateway.confirmed.change(CHARGER, version="2.0.1", master_pass=SITE)
    return replica


@pytest_asyncio.fixture
async def bus(nats_client: Client) -> Client:
    await stream.declare(nats_client.jetstream(), now=NOW, replicas=1)
    return nats_client


@pytest.mark.parametrize("dialect", [OCPP20, OCPP21])
@pytest.mark.parametrize("role", ["OWNER", "SERVICE", "OPERATOR"])
async def test_who_looks_after_a_charger_is_told_to_it_as_one_who_may_stop(
    dialect: Dialect, role: Role
) -> None:
    """C16.FR.01, FR.02: for a minute, lest it goes by that when it is offline; no refusal."""
    replica = caring(Client(), granted(role))
    charger = ACharger(replica, dialect)
    assert await charger.tap() == {
        "status": "Accepted",
        "groupIdToken": {"idToken": SITE, "type": "Central"},
        "cacheExpiryDateTime": timestamps.write(NOW + MINUTE),
    }
    async with asyncio.timeout(10):
        await replica.gateway.deciding.idle()  # nothing waits to be told
    # What decides stays what it is, and says why.
    run = replica.gateway.deciding.dry_run(replica.charger(), OTHERS_CARD)
    assert isinstance(run.decision, Decision)
    assert (run.decision.reason, run.decision.group) == (Reason.NO_PERMISSION, None)


async def test_who_may_charge_is_told_as_before() -> None:
    """His cards stop his own sessions; OCPP has room for one group."""
    replica = caring(Client(), granted("OWNER", "USER"))
    info = await ACharger(replica).tap()
    assert info["status"] == "Accepted"
    assert info["groupIdToken"]["idToken"].startswith("G-")


async def test_a_charger_that_knows_no_master_pass_would_begin_and_is_not_told_of_one() -> None:
    """Nor OCPP 1.6, which has none; nor one that has moved since it was told of another site's."""
    replica = caring(Client(), granted("OWNER"), knows=False)
    assert (await ACharger(replica).tap())["status"] == "NotAtThisLocation"
    replica.gateway.confirmed.change(CHARGER, version="2.0.1", master_pass="elsewhere")
    assert (await ACharger(replica).tap())["status"] == "NotAtThisLocation"
    replica.gateway.confirmed.change(CHARGER, master_pass=SITE)
    answer = await ACharger(replica, OCPP16).call("Authorize", {"idTag": OTHERS_CARD})
    assert answer == {"idTagInfo": {"status": "Invalid"}}


async def test_where_the_site_wants_none_he_is_refused_whatever_the_charger_knows() -> None:
    """A charger without a display would stop everything (C16.FR.02): the default."""
    replica = caring(Client(), granted("OWNER"), master_pass(wanted=False))
    assert (await ACharger(replica).tap()) == {"status": "NotAtThisLocation"}
    replica.view.apply(master_pass(wanted=True))
    assert (await ACharger(replica).tap())["status"] == "Accepted"
    assert not Installation(SITE).master_pass


NOT_IN_ORDER: list[tuple[str, PublishedEvent]] = [
    ("Blocked", identity.UserBlocked(user_id="bob")),
    ("Blocked", access.UserBlockedAtInstallation(installation_id=SITE, user_id="bob")),
    (
        "Blocked",
        identity.IdentificationStatusChanged(
            identification_id="others", user_id="bob", status="BLOCKED"
        ),
    ),
    (
        "Expired",
        identity.IdentificationExpiryChanged(
            identification_id="others", user_id="bob", valid_until=NOW
        ),
    ),
    (
        "Invalid",
        access.IdentificationTypesSet(
            charger_id=CHARGER, installation_id=SITE, identification_types=("PIN",)
        ),
    ),
    ("NotAtThisLocation", identity.PendingUserAdded(user_id="bob")),
]


@pytest.mark.parametrize(("status", "event"), NOT_IN_ORDER)
async def test_what_is_not_in_order_stops_nothing(status: str, event: PublishedEvent) -> None:
    """R12, R18, R19: nor who has not verified his address (R7)."""
    info = await ACharger(caring(Client(), granted("OWNER"), event)).tap()
    assert info == {"status": status}


async def test_it_stops_the_session_of_another_and_begins_none(bus: Client) -> None:
    """O46, C16: the start is refused and stopped, however the charger came to it."""
    replica = caring(bus, granted("OWNER"))
    charger = ACharger(replica)
    refused = await charger.event("Started", "Authorized", 0, OTHERS_CARD)
    assert refused == {"idTokenInfo": {"status": "NotAtThisLocation"}}
    assert charger.calls == ["RequestStopTransaction"]
    await charger.event("Ended", "RemoteStop", 1, None)

    other = ACharger(replica)
    await replica.take(token=CARD, transaction="tx2", at=NOW)
    stopped = await replica.take(
        Phase.UPDATED, token=OTHERS_CARD, transaction="tx2", number=1, stops=True
    )
    assert stopped is not None
    assert (stopped.master_pass, stopped.group, stopped.user_id) == (True, SITE, "bob")
    # Whoever only shows it in somebody else's session does not go on with that.
    shown = await replica.take(Phase.UPDATED, token=OTHERS_CARD, transaction="tx2", number=2)
    assert shown is not None
    assert (shown.master_pass, shown.reason) == (False, Reason.NO_PERMISSION)
    assert other.calls == []
    [session] = replica.running.of_charger(CHARGER)
    await replica.take(Phase.ENDED, token=OTHERS_CARD, transaction="tx2", number=3, stops=True)
    assert replica.running.of_charger(CHARGER) == []
    kinds = [type(event) for event in await events_of(bus)]
    assert kinds == [StartRefused, SessionStarted, SessionEnded]
    assert session.user_id == "ada"


async def test_a_strangers_stop_is_still_no_business_of_his(bus: Client) -> None:
    replica = caring(bus)
    await replica.take(token=CARD, transaction="tx2", at=NOW)
    stopping = await replica.take(
        Phase.UPDATED, token=OTHERS_CARD, transaction="tx2", number=1, stops=True
    )
    assert stopping is not None
    assert (stopping.master_pass, stopping.reason) == (False, Reason.NO_PERMISSION)


def looks_after(view: View, charger: str = CHARGER, at: int = NOW) -> bool:
    there, bob = view.charger(charger), view.user("bob")
    assert there is not None
    assert bob is not None
    return view.looks_after(bob, there, at)


def a_view(*events: PublishedEvent) -> View:
    view = View()
    fill(view)
    for event in (REVOKED, *events):
        view.apply(event)
    return view


JOINED = access.PartnerMemberAdded(partner_id="fleet", user_id="bob", manages=False)
LEFT = access.PartnerMemberRemoved(partner_id="fleet", user_id="bob")
GONE = access.PermissionRevoked(permission_id="care", installation_id=SITE, user_id="bob")
ONLY_USER = access.PermissionChanged(
    permission_id="care", installation_id=SITE, user_id="bob", roles=("USER",)
)
MOVED = access.ChargerMoved(
    charger_id=CHARGER, installation_id="elsewhere", from_installation_id=SITE
)
FORGOTTEN = access.UserForgotten(user_id="bob")
BACK = access.ChargerMoved(
    charger_id=CHARGER, installation_id=SITE, from_installation_id="elsewhere"
)


@pytest.mark.parametrize(
    ("events", "here", "beside"),
    [
        ([], False, False),
        ([granted("USER")], False, False),
        ([granted("OWNER")], True, True),
        ([granted("USER", "SERVICE", charger=CHARGER)], True, False),
        ([granted("OWNER", until=NOW)], False, False),
        ([granted("OWNER", until=NOW + 1)], True, True),
        ([granted("OWNER"), GONE], False, False),
        ([granted("OWNER"), ONLY_USER], False, False),
        ([granted("OWNER"), FORGOTTEN], False, False),
        # Of his partner, as long as he is in it (R8).
        ([granted("SERVICE", partner="fleet")], False, False),
        ([granted("SERVICE", partner="fleet"), JOINED], True, True),
        ([JOINED, granted("SERVICE", partner="fleet")], True, True),
        ([JOINED, granted("SERVICE", partner="fleet"), LEFT], False, False),
        # R11: what was held on the charger alone is lost; what is of the site stays there.
        ([granted("OWNER", charger=CHARGER), MOVED], False, False),
        ([granted("OWNER", charger=CHARGER), MOVED, BACK], False, False),
        ([granted("OWNER"), MOVED], False, True),
    ],
)
def test_who_looks_after_what(events: list[PublishedEvent], *, here: bool, beside: bool) -> None:
    """R5, R22."""
    view = a_view(*events)
    assert (looks_after(view), looks_after(view, "second")) == (here, beside)


def test_a_view_that_hears_everything_again_has_forgotten_who_looks_after_what() -> None:
    view = a_view(granted("OWNER"))
    assert view.digest() != a_view().digest()
    view.reset("access")
    fill(view)
    view.apply(REVOKED)
    assert not looks_after(view)
    assert view.digest() == a_view().digest()
