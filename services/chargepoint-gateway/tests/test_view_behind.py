"""What follows where the view was not known to be complete for longer than a site allows (O50)."""

from __future__ import annotations

import msgspec
import pytest
from nats.aio.client import Client

from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.published import access
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.published.sessions import Inputs, SessionStarted
from chargekey_gateway.decision import Decision, Reason, accept_at_once, explain
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.sessions.verifying import refusal
from chargekey_gateway.view.entries import Installation
from chargekey_gateway.view.sites import LEAST_BOUND

from .replicas import CARD, NOW, OTHERS_CARD, SECRET, Replica

DAY = 24 * 3600.0
REVOKED = access.PermissionRevoked(installation_id="site", permission_id="bob", user_id="bob")
EXTERNAL = access.AuthenticationTypeSet(installation_id="site", authentication_type="EXTERNAL")
OPEN = access.AuthorisationRequiredSet(installation_id="site", authorisation_required=False)


def policies(
    minutes: int, behind: access.OnViewBehind = "DENY", site: str = "site"
) -> access.PoliciesSet:
    return access.PoliciesSet(
        installation_id=site,
        on_block="STOP",
        on_revoke="FINISH",
        on_operator_timeout="DENY",
        view_bound_minutes=minutes,
        on_view_behind=behind,
        pin_length=4,
    )


def stale(seconds: float, *events: PublishedEvent) -> Replica:
    replica = Replica(Client())
    for event in events:
        replica.view.apply(event)
    replica.view.set_staleness(seconds)
    return replica


def tapped(replica: Replica, card: str = CARD, charger: str = "first") -> Reason:
    decision = replica.gateway.deciding.authorize(replica.charger(charger), card)
    assert isinstance(decision, Decision)
    return decision.reason


@pytest.mark.parametrize(
    ("seconds", "events", "reason"),
    [
        (DAY, [], Reason.INSTALLATION_PERMISSION),
        (DAY + 1, [], Reason.VIEW_BEHIND),
        (DAY + 1, [policies(2 * 1440)], Reason.INSTALLATION_PERMISSION),
        (60, [policies(1)], Reason.INSTALLATION_PERMISSION),
        (61, [policies(1)], Reason.VIEW_BEHIND),
        (61, [policies(1), policies(2)], Reason.INSTALLATION_PERMISSION),
        (10 * DAY, [policies(1, "LAST_KNOWN")], Reason.INSTALLATION_PERMISSION),
        (10 * DAY, [OPEN], Reason.OPEN_CHARGER),
    ],
)
def test_beyond_the_sites_bound_no_permission_counts_unless_the_site_goes_on(
    seconds: float, events: list[PublishedEvent], reason: Reason
) -> None:
    """O50."""
    assert tapped(stale(seconds, *events)) is reason


def test_no_site_allows_less_than_is_looked_for() -> None:
    """O50: a view that is younger costs nothing."""
    assert policies(1).view_bound_minutes * 60 == LEAST_BOUND
    assert Installation("site").view_bound_minutes * 60 == DAY


def test_who_charges_goes_on() -> None:
    """O50: nothing has been taken from him that anybody knows of."""
    replica = stale(2 * DAY)
    charger = replica.charger()
    presented = Lookup(replica.view, KeyedIds(SECRET))(charger, CARD)
    inputs = replica.gateway.deciding.inputs(charger, presented, NOW)
    began = SessionStarted(
        installation_id="site",
        charger_id="first",
        session_id="session",
        connector=1,
        started_at=NOW,
        meter_start=0,
        status="Accepted",
        reason="installation_permission",
        inputs=Inputs(at=NOW),
        user_id="ada",
        identification_id="card",
    )
    replica.running.started(1, began)
    [session] = replica.running.of_charger("first")
    site = msgspec.structs.replace(charger.installation, on_revoke="STOP")
    assert inputs.view_behind
    assert refusal(session, inputs, site) is None


def test_open_chargers_go_on_and_refusals_keep_their_reasons() -> None:
    """O50."""
    replica = stale(2 * DAY, REVOKED)
    assert tapped(replica, charger="open") is Reason.OPEN_CHARGER
    assert tapped(replica, OTHERS_CARD) is Reason.NO_PERMISSION
    assert tapped(replica, "04FFFFFF") is Reason.IDENTIFICATION_UNKNOWN


def test_at_external_sites_the_operator_is_asked_as_ever() -> None:
    """O50, R3."""
    replica = stale(2 * DAY, EXTERNAL)
    assert not isinstance(replica.gateway.deciding.authorize(replica.charger(), CARD), Decision), (
        "he has to be asked"
    )


def test_a_view_that_is_fresh_again_is_gone_by_at_once() -> None:
    """O50, and nothing of it costs a tap of every day anything."""
    replica = stale(0)
    charger = replica.charger()
    before = charger.by_permission
    replica.view.set_staleness(2 * DAY)
    assert charger.by_permission == frozenset()
    replica.view.set_staleness(1)
    assert charger.by_permission is before
    assert not replica.view.is_behind(charger)
    assert tapped(replica) is Reason.INSTALLATION_PERMISSION


def test_what_changes_meanwhile_opens_nothing_and_is_there_afterwards() -> None:
    """O50: a late event of one stream says nothing of the other."""
    elsewhere = access.ChargerMoved(
        charger_id="first", installation_id="cabin", from_installation_id="site"
    )
    types = access.IdentificationTypesSet(
        charger_id="second", installation_id="site", identification_types=("RFID",)
    )
    replica = stale(2 * DAY, policies(7 * 1440, site="cabin"), types)
    replica.view.apply(msgspec.structs.replace(types, identification_types=("RFID", "PIN")))
    assert tapped(replica, charger="second") is Reason.VIEW_BEHIND
    replica.view.apply(elsewhere)
    assert tapped(replica) is Reason.NO_PERMISSION
    assert replica.charger().by_permission == {"RFID", "PIN"}, "there a week is allowed"
    replica.view.apply(policies(1, "LAST_KNOWN"))
    replica.view.set_staleness(2 * DAY + 1)
    assert tapped(replica, charger="second") is Reason.INSTALLATION_PERMISSION


def test_why_tells_what_was_decided_from_and_decides_the_same_again() -> None:
    """O50, O43."""
    replica = stale(2 * DAY)
    charger = replica.charger()
    run = replica.gateway.deciding.dry_run(charger, CARD)
    assert isinstance(run.decision, Decision)
    assert (run.decision.reason, run.decision.permission_id) == (Reason.VIEW_BEHIND, "ada")
    assert run.explanation[-1].endswith(
        "Has the view not been heard to be complete for longer than the site allows? "
        "yes: view_behind"
    )
    presented = Lookup(replica.view, KeyedIds(SECRET))(charger, CARD)
    inputs = replica.gateway.deciding.inputs(charger, presented, NOW)
    again = msgspec.json.decode(msgspec.json.encode(inputs), type=type(inputs))
    assert again.view_behind
    assert explain(again) == run.explanation


def test_it_is_this_replicas_alone() -> None:
    """O50: no part of what replicas have in common."""
    replica = stale(0)
    digest = replica.view.digest()
    replica.view.set_staleness(2 * DAY)
    assert replica.view.digest() == digest
    known = replica.view.identification_by_id("card")
    assert known is not None
    assert accept_at_once(replica.charger(), known, NOW) is None
