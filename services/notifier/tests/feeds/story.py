"""What happens at two sites, as values: published events with their ids and times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chargekey_common.positions import Position
from chargekey_common.published import access, chargers, identity, sessions
from chargekey_common.published.envelope import Attributes, PublishedEvent
from chargekey_common.published.feed import FeedEvent
from chargekey_notifier.feeds.memory import Memory
from chargekey_notifier.feeds.scopes import Happened, Scopes
from chargekey_notifier.feeds.store import Telling

NOON = 1_800_000_000_000_000_000
SECOND = 10**9
HOME, WORK = "home", "work"
LEFT, RIGHT = "left", "right"  # chargers at home
VOLT, WATT = "volt", "watt"  # partners
ADA, BOB = "ada", "bob"
GENERATION = "00000000000000a1"


def created(site: str = HOME) -> PublishedEvent:
    return access.InstallationCreated(
        installation_id=site, name="A", time_zone="UTC", authorisation_required=True
    )


def added(charger: str = LEFT, site: str = HOME) -> PublishedEvent:
    return access.ChargerAdded(
        charger_id=charger,
        installation_id=site,
        ocpp_identity=charger.upper(),
        authorisation_override="INHERIT",
        identification_types=("RFID", "PIN"),
    )


def given(
    partner: str = VOLT,
    *roles: access.Role,
    site: str = HOME,
    charger: str | None = None,
    until: int | None = None,
    changed: bool = False,
) -> PublishedEvent:
    form = access.PermissionChanged if changed else access.PermissionGranted
    return form(
        installation_id=site,
        charger_id=charger,
        permission_id=f"{partner}-{charger or site}",
        partner_id=partner,
        roles=roles or ("OPERATOR",),
        valid_until=until,
    )


def taken(partner: str = VOLT, site: str = HOME, charger: str | None = None) -> PublishedEvent:
    return access.PermissionRevoked(
        installation_id=site,
        charger_id=charger,
        permission_id=f"{partner}-{charger or site}",
        partner_id=partner,
    )


def holds(user: str = ADA, site: str = HOME, charger: str | None = None) -> PublishedEvent:
    return access.PermissionGranted(
        installation_id=site,
        charger_id=charger,
        permission_id=f"{user}-{charger or site}",
        user_id=user,
        roles=("USER",),
    )


def left(user: str = ADA, site: str = HOME, charger: str | None = None) -> PublishedEvent:
    return access.PermissionRevoked(
        installation_id=site,
        charger_id=charger,
        permission_id=f"{user}-{charger or site}",
        user_id=user,
    )


def moved(charger: str = LEFT, to: str = WORK, from_: str = HOME) -> PublishedEvent:
    return access.ChargerMoved(charger_id=charger, installation_id=to, from_installation_id=from_)


def card(user: str = ADA, site: str | None = None, name: str = "card") -> PublishedEvent:
    return identity.IdentificationAdded(
        user_id=user,
        identification_id=f"{name}-of-{user}",
        type="RFID",
        status="ACTIVE",
        installation_id=site,
    )


def online(charger: str = LEFT, site: str = HOME) -> PublishedEvent:
    return chargers.ChargerConnected(charger_id=charger, installation_id=site, ocpp_version="1.6")


def status(charger: str = LEFT, site: str = HOME, word: str = "Available") -> PublishedEvent:
    return chargers.ConnectorStatusChanged(
        charger_id=charger, installation_id=site, connector=1, status=word, error_code="NoError"
    )


def started(
    session: str = "s",
    charger: str = LEFT,
    site: str = HOME,
    user: str | None = ADA,
    **inputs: Any,
) -> PublishedEvent:
    return sessions.SessionStarted(
        installation_id=site,
        charger_id=charger,
        session_id=session,
        connector=1,
        started_at=NOON,
        meter_start=100,
        status="Accepted",
        reason="installation_permission",
        inputs=sessions.Inputs(at=NOON, **inputs),
        user_id=user,
    )


def ended(session: str = "s", charger: str = LEFT, site: str = HOME) -> PublishedEvent:
    return sessions.SessionEnded(
        installation_id=site,
        charger_id=charger,
        session_id=session,
        transaction_id=1,
        connector=1,
        ended_at=NOON,
        meter_stop=200,
        reason="Local",
    )


def refused(site: str = HOME, **inputs: Any) -> PublishedEvent:
    return sessions.AuthorizationRefused(
        installation_id=site,
        charger_id=LEFT,
        status="Invalid",
        reason="no_permission",
        inputs=sessions.Inputs(at=NOON, **inputs),
    )


class Story:
    """Events one behind the other, a second apart, and what partners were told of them."""

    def __init__(self, *events: PublishedEvent) -> None:
        self.memory = Memory()
        self.scopes = Scopes(self.memory)
        self.told: list[Telling] = []
        self.at = NOON
        self.count = 0
        self.then(*events)

    def then(self, *events: PublishedEvent, again: bool = False) -> list[Telling]:
        """Let it happen, and return what is told by it."""
        before = len(self.told)
        for event in events:
            self.count += 1
            self.at += SECOND
            happened = Happened(f"event-{self.count}", self.at, event, again)
            self.told.extend(self.scopes.apply(happened))
        return self.told[before:]


def names(told: Sequence[Telling], partner: str = VOLT) -> list[str]:
    return [type(each.event).__name__ for each in told if each.partner_id == partner]


def events(told: Sequence[Telling], partner: str = VOLT) -> list[FeedEvent]:
    return [each.event for each in told if each.partner_id == partner]


def about(event: PublishedEvent, number: int, at: int, generation: str = GENERATION) -> Attributes:
    """Return the attributes of event `number` of its service, or of its stream."""
    of_store = event.stream in {"access", "identity"}
    return Attributes(
        id=f"{event.stream}-{number}-{at}",
        at=at,
        cause="",
        actor="",
        position=Position(event.stream, generation, number) if of_store else None,
    )
