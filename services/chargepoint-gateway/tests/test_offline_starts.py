"""Starts of chargers that were offline, told to gateways that know what has come since (R23)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import ocpp.v16
import ocpp.v16.call
import ocpp.v16.call_result
import pytest
import websockets
from nats.aio.client import Client
from ocpp.routing import on

from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.published import access, identity
from chargekey_common.published.sessions import SessionStarted, StartRefused
from chargekey_gateway import guessing, lockouts
from chargekey_gateway.decision import Decision, Reason, Status, decided, explain
from chargekey_gateway.ocpp import timestamps
from chargekey_gateway.ocpp16.id_tag_info import id_tag_info
from chargekey_gateway.sessions.transactions import Phase

from .replicas import CARD, MINUTE, NOW, PIN, SECRET, Replica, Replicas, events_of, following
from .test_ocpp20_chargers import PASSWORD, connected, listening, pin, socket_of

HOUR = 60 * MINUTE
WEEK = 7 * 24 * HOUR
LOST = NOW - HOUR
BEFORE, AFTER = LOST - 1, LOST
REMOVED = identity.IdentificationRemoved(identification_id="pin", user_id="ada")
BLOCKED = access.UserBlockedAtInstallation(installation_id="site", user_id="ada")
REVOKED = access.PermissionRevoked(installation_id="site", permission_id="ada", user_id="ada")
CLOSED = access.AuthorisationOverrideSet(
    charger_id="open", installation_id="site", authorisation_override="INHERIT"
)


async def authorized(replica: Replica, token: str) -> Decision:
    answer = replica.gateway.deciding.authorize(replica.charger(), token)
    return answer if isinstance(answer, Decision) else await answer


async def starts_of(replica: Replica) -> list[SessionStarted | StartRefused]:
    events = await events_of(replica.client)
    return [each for each in events if isinstance(each, SessionStarted | StartRefused)]


@pytest.mark.parametrize("loss", [REMOVED, BLOCKED, REVOKED], ids=lambda loss: type(loss).__name__)
async def test_what_was_lost_since_does_not_count(
    replicas: Replicas, loss: identity.IdentificationRemoved
) -> None:
    """And sent again to another replica, which has just begun, it gets the same id and verdict."""
    one, other = replicas
    for replica in replicas:
        replica.view.apply(loss, LOST)
    assert not (await authorized(one, PIN)).accepted
    assert not (await one.start(started_at=NOW)).decision.accepted
    assert not (await one.start(started_at=AFTER)).decision.accepted
    then = await one.start(started_at=BEFORE)
    assert (then.decision.status, then.decision.user_id) == (Status.ACCEPTED, "ada")
    # Chargers remember answers: this one is over before it is there.
    assert then.decision.valid_until == BEFORE
    assert id_tag_info(then.decision).expiry_date == timestamps.write(BEFORE)
    assert await other.start(started_at=BEFORE) == then
    assert not (await authorized(one, PIN)).accepted
    recorded = (await starts_of(one))[-1]
    assert isinstance(recorded, SessionStarted)
    assert recorded.offline
    assert recorded.inputs.withdrawn
    assert recorded.inputs.at == BEFORE
    again = decided(recorded.inputs)
    assert (again.status, again.reason) == (recorded.status, recorded.reason)
    assert "installation_permission (as of then; not any more)" in explain(recorded.inputs)[-1]


async def test_what_was_given_since_counts_too(replicas: Replicas) -> None:
    """R23: nobody is refused because a charger's clock is a little behind."""
    replica, _ = replicas
    replica.view.apply(BLOCKED, LOST - HOUR)
    for event in (
        REVOKED,
        access.PermissionGranted(
            installation_id="site", permission_id="new", user_id="ada", roles=("USER",)
        ),
    ):
        replica.view.apply(event, LOST)
    replica.view.apply(
        access.UserUnblockedAtInstallation(installation_id="site", user_id="ada"), LOST
    )
    started = await replica.start(started_at=BEFORE)
    assert started.decision.permission_id == "new"
    recorded = (await starts_of(replica))[0]
    assert not recorded.inputs.withdrawn
    assert started.decision.valid_until is None


async def test_whom_neither_then_nor_now_lets_in_is_refused_as_now(replicas: Replicas) -> None:
    """The charger remembers the answer."""
    replica, _ = replicas
    replica.view.apply(REVOKED, LOST - HOUR)
    replica.view.apply(BLOCKED, LOST)
    refused = await replica.start(started_at=BEFORE)
    assert refused.decision.reason is Reason.USER_BLOCKED


async def test_a_clock_that_is_plainly_wrong_brings_back_nothing(replicas: Replicas) -> None:
    """R18: in 1970 nobody was blocked; such a charger need not have been offline at all."""
    replica, _ = replicas
    replica.view.apply(BLOCKED, LOST)
    for started_at in (0, NOW - WEEK - 1, NOW + HOUR):
        refused = await replica.start(started_at=started_at)
        assert refused.decision.reason is Reason.USER_BLOCKED
    assert (await replica.start(started_at=NOW - WEEK)).decision.accepted


async def test_a_charger_that_was_online_is_judged_by_now(replicas: Replicas) -> None:
    """A block counts from when it is known, whatever is on its way."""
    replica, _ = replicas
    replica.gateway.charging.connected(replica.charger())
    replica.now += 2 * MINUTE
    replica.view.apply(BLOCKED, replica.now)
    refused = await replica.start(started_at=replica.now - MINUTE)
    assert refused.decision.reason is Reason.USER_BLOCKED
    assert (await replica.start(started_at=NOW - 1)).decision.accepted


async def test_where_a_charger_was_open_nobody_is_locked(replicas: Replicas) -> None:
    """O37: as it was there, though his card is charging elsewhere by now."""
    replica, _ = replicas
    assert (await replica.start(token=CARD, started_at=NOW)).decision.accepted
    replica.view.apply(CLOSED, LOST)
    anybody = await replica.start("open", token="WHOEVER", started_at=BEFORE)
    known = await replica.start("open", token=CARD, connector=2, started_at=BEFORE)
    assert anybody.decision.reason is known.decision.reason is Reason.OPEN_CHARGER
    assert anybody.decision.valid_until == BEFORE
    assert known.decision.user_id == "ada"


async def test_who_charges_already_is_told_so_though_his_card_is_gone(replicas: Replicas) -> None:
    """R21."""
    replica, _ = replicas
    assert (await replica.start("second", started_at=NOW)).decision.accepted
    replica.view.apply(REMOVED, LOST)
    refused = await replica.start(started_at=BEFORE)
    assert refused.decision.reason is Reason.ALREADY_CHARGING
    assert refused.decision.valid_until is None
    assert "as of then" not in explain((await starts_of(replica))[-1].inputs)[-1]


async def test_a_session_belongs_to_where_its_charger_stood(replicas: Replicas) -> None:
    """R11."""
    replica, _ = replicas
    replica.view.apply(
        access.ChargerMoved(
            charger_id="first", installation_id="another", from_installation_id="site"
        ),
        LOST,
    )
    assert (await replica.start(started_at=BEFORE)).decision.accepted
    assert not (await replica.start(started_at=AFTER)).decision.accepted
    places = [each.installation_id for each in await starts_of(replica)]
    assert places == ["site", "another"]


async def test_guesses_count_whatever_time_they_are_given(replicas: Replicas) -> None:
    """R14: also where no PIN was asked for then, or at all, and sent again they are one."""
    replica, _ = replicas
    types = access.IdentificationTypesSet(
        charger_id="first", installation_id="site", identification_types=("RFID", "PIN")
    )
    replica.view.apply(
        access.IdentificationTypesSet(
            charger_id="first", installation_id="site", identification_types=("RFID",)
        ),
        LOST - HOUR,
    )
    replica.view.apply(types, LOST)
    for number in range(guessing.MOST_AT_CHARGER):
        assert not replica.gateway.lockouts.locked(replica.charger(), NOW)
        for _ in range(3):
            refused = await replica.start(token=f"#000{number}", started_at=BEFORE - number)
            assert refused.decision.reason is Reason.IDENTIFICATION_UNKNOWN
    replica.now += MINUTE
    assert replica.gateway.lockouts.locked(replica.charger(), replica.now)
    # Nor does the past let anybody in where PINs are locked now.
    keyed_id = KeyedIds(SECRET).of_token("#1357", "site")[1].hex()
    replica.view.apply(
        identity.IdentificationKey(identification_id="real", keyed_id=keyed_id), LOST - HOUR
    )
    replica.view.apply(
        identity.IdentificationAdded(
            identification_id="real", user_id="ada", type="PIN", status="ACTIVE"
        ),
        LOST - HOUR,
    )
    replica.view.apply(BLOCKED, NOW)
    locked = await replica.start(token="#1357", started_at=AFTER)
    assert locked.decision.reason is Reason.PIN_LOCKED_OUT


async def test_a_charger_that_was_moved_is_no_way_to_guess_on_where_it_stood(
    replicas: Replicas,
) -> None:
    """R14: locked now, it is locked for all that it tells."""
    replica, _ = replicas
    keyed_id = KeyedIds(SECRET).of_token("#1357", "site")[1].hex()
    for event in (
        identity.IdentificationKey(identification_id="real", keyed_id=keyed_id),
        identity.IdentificationAdded(
            identification_id="real", user_id="ada", type="PIN", status="ACTIVE"
        ),
    ):
        replica.view.apply(event, LOST - HOUR)
    replica.view.apply(
        access.ChargerMoved(
            charger_id="first", installation_id="another", from_installation_id="site"
        ),
        LOST,
    )
    for number in range(guessing.MOST_AT_CHARGER):
        await replica.start(token=f"#000{number}", started_at=BEFORE)
    replica.now += MINUTE
    locked = await replica.start(token="#1357", started_at=BEFORE)
    assert locked.decision.reason is Reason.PIN_LOCKED_OUT
    replica.now += guessing.SHORTEST
    assert (await replica.start(token="#1357", started_at=BEFORE - 1)).decision.accepted


def test_of_starts_with_pins_the_last_are_known_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """R14: as many as are remembered."""
    monkeypatch.setattr(lockouts, "MOST_STARTS", 2)
    known = lockouts.Lockouts(Client(), tell=lambda *_: None, clock=lambda: NOW)
    told_again = [known.is_told_again(key) for key in ("one", "two", "one", "three", "one")]
    assert told_again == [False, False, True, False, False]


async def test_where_an_operator_decides_by_now_it_is_his(replicas: Replicas) -> None:
    """R3: nobody can be asked for what an operator would have said of before he was there."""
    replica, _ = replicas
    for event in (
        access.OperatorConnected(installation_id="site", partner_id="volt"),
        access.AuthenticationTypeSet(installation_id="site", authentication_type="EXTERNAL"),
    ):
        replica.view.apply(event, LOST)
    refused = await replica.start(token=CARD, started_at=BEFORE)
    assert refused.decision.reason is Reason.OPERATOR_UNREACHABLE
    # And once he is gone again it is the permissions that there are.
    replica.view.apply(
        access.AuthenticationTypeSet(installation_id="site", authentication_type="NATIVE"), NOW
    )
    assert (await replica.start(token=CARD, started_at=AFTER)).decision.accepted


async def test_a_transaction_of_ocpp_2_keeps_its_verdict_though_its_pin_is_gone(
    replicas: Replicas,
) -> None:
    """O40: its other messages belong to who began it, and to nobody else's card."""
    one, other = replicas
    for replica in replicas:
        replica.view.apply(REMOVED, LOST)
    async with following(other) as caught_up:
        begun = await one.take(at=BEFORE, offline=True)
        assert begun is not None
        assert begun.accepted
        assert await one.take(at=BEFORE, offline=True) == begun
        await caught_up()
        assert await other.take(at=BEFORE, offline=True) == begun
        updated = await other.take(Phase.UPDATED, number=1, at=AFTER, offline=True)
        assert updated is not None
        assert updated.accepted
        somebody = await other.take(Phase.UPDATED, number=2, token="#9999", at=AFTER)
        assert somebody is not None
        assert not somebody.accepted
        ended = await other.take(Phase.ENDED, number=3, at=NOW - MINUTE, offline=True)
        assert ended is not None
        assert ended.accepted
        await caught_up()
    assert not other.running.of_charger("first")


async def test_the_very_start_sent_again_keeps_its_verdict_whatever_has_happened(
    replicas: Replicas,
) -> None:
    """R23, E05: what came since is for the messages that come since."""
    replica, _ = replicas
    begun = await replica.take(at=NOW)
    replica.view.apply(BLOCKED, NOW)
    assert await replica.take(at=NOW) == begun
    updated = await replica.take(Phase.UPDATED, number=1, at=NOW)
    assert updated is not None
    assert updated.reason is Reason.USER_BLOCKED


# Over a real socket.


class Charger16(ocpp.v16.ChargePoint):  # type: ignore[misc] # the library is untyped
    """A charger that notes what it is told to stop."""

    def __init__(self, connection: websockets.ClientConnection) -> None:
        super().__init__("first", connection)
        self.stopped: asyncio.Queue[int] = asyncio.Queue()

    @on("RemoteStopTransaction")
    async def stop(self, transaction_id: int) -> Any:
        self.stopped.put_nowait(transaction_id)
        return ocpp.v16.call_result.RemoteStopTransaction(status="Accepted")


@pytest.fixture
async def replica(replicas: Replicas) -> Replica:
    replica = replicas[0]
    hashed = ChargerPasswords(SECRET).hash("first", PASSWORD)
    replica.view.apply(access.ChargerCredential(charger_id="first", password_hash=hashed))
    return replica


@contextlib.asynccontextmanager
async def charger_16(replica: Replica) -> AsyncIterator[Charger16]:
    async with socket_of(replica, "ocpp1.6") as socket:
        charger = Charger16(socket)
        async with listening(charger):
            yield charger


async def test_a_charger_of_16_that_comes_back_is_told_to_stop_who_was_blocked_meanwhile(
    replica: Replica,
) -> None:
    """R12, R23, O20: his start was right, and what runs still is to stop."""
    replica.view.apply(BLOCKED, LOST)
    start = ocpp.v16.call.StartTransaction(
        connector_id=1, id_tag=PIN, meter_start=100, timestamp=timestamps.write(LOST - HOUR)
    )
    async with charger_16(replica) as charger:
        await charger.call(
            ocpp.v16.call.BootNotification(charge_point_model="m", charge_point_vendor="v")
        )
        started = await charger.call(start)
        assert started.id_tag_info["status"] == "Accepted"
        assert started.id_tag_info["expiry_date"] == timestamps.write(LOST - HOUR)
        assert await charger.stopped.get() == started.transaction_id
        assert await charger.call(start) == started
        authorized = await charger.call(ocpp.v16.call.Authorize(id_tag=PIN))
        assert authorized.id_tag_info["status"] == "Blocked"
    (recorded,) = await starts_of(replica)
    assert isinstance(recorded, SessionStarted)
    assert recorded.offline


async def test_a_charger_of_2x_that_comes_back_is_told_to_stop_who_was_blocked_meanwhile(
    replica: Replica,
) -> None:
    """The same of a TransactionEvent that says it is an offline one."""
    replica.view.apply(BLOCKED, LOST)
    began = timestamps.write(LOST - HOUR)
    async with connected(replica, "ocpp2.0.1") as charger:
        await charger.says(
            "BootNotification",
            charging_station={"vendor_name": "v", "model": "m"},
            reason="PowerUp",
        )
        for _ in range(2):
            verdict = await charger.tells(
                "Started", 0, id_token=pin(), offline=True, timestamp=began
            )
            assert verdict is not None
            assert verdict["status"] == "Accepted"
        assert await charger.stopped.get() == "its own"
        assert await charger.authorize(PIN.removeprefix("#"), "KeyCode") == "Blocked"
    (recorded,) = await starts_of(replica)
    assert isinstance(recorded, SessionStarted)
    assert recorded.offline


async def test_another_pin_of_somebody_elses_is_his_from_when_it_was_given_to_him(
    replicas: Replicas,
) -> None:
    """R13: a PIN that is free may be given to somebody else, who has not charged before."""
    replica, _ = replicas
    keyed_id = KeyedIds(SECRET).of_token(PIN, "site")[1].hex()
    for event in (
        REMOVED,
        identity.IdentificationKey(identification_id="bobs", keyed_id=keyed_id),
        identity.IdentificationAdded(
            identification_id="bobs", user_id="bob", type="PIN", status="ACTIVE"
        ),
    ):
        replica.view.apply(event, LOST)
    assert (await replica.start(started_at=BEFORE)).decision.user_id == "ada"
    assert (await replica.start(connector=2, started_at=AFTER)).decision.user_id == "bob"
