"""Locations: the sites that an operator operates, told as OCPI tells them (2.2.1 §8).

A Location is an installation, an EVSE is one connector of a charger. What a connector looks
like is known of none: each is told as a three-phase Type 2 socket of 32 A. A site without an
address is no Location, because OCPI requires one. None is for publishing: they are people's
homes and car parks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from chargekey_common.evses import evse_uid
from chargekey_common.published import feed
from chargekey_notifier.ocpi.evses import evse_id
from chargekey_notifier.ocpi.messages import Message, Party, told

# What a connector is taken for, and a charger whose connectors nobody has told of yet has one.
STANDARD = "IEC_62196_T2"
FORMAT = "SOCKET"
POWER_TYPE = "AC_3_PHASE"
MAX_VOLTAGE = 230  # between line and neutral (§8.4.4)
MAX_AMPERAGE = 32
CAPABILITIES = ("REMOTE_START_STOP_CAPABLE", "RFID_READER", "UNLOCK_CAPABLE")
_FIRST = 1
_WHOLE_CHARGER = 0

Status = Literal[
    "AVAILABLE",
    "BLOCKED",
    "CHARGING",
    "INOPERATIVE",
    "OUTOFORDER",
    "REMOVED",
    "RESERVED",
    "UNKNOWN",
]
# OCPP's words, 1.6 and 2.x. `BLOCKED` is a car in the way: plugged in, and not charging.
_STATUSES: Mapping[str, Status] = {
    "Available": "AVAILABLE",
    "Preparing": "BLOCKED",
    "Charging": "CHARGING",
    "SuspendedEV": "CHARGING",
    "SuspendedEVSE": "CHARGING",
    "Finishing": "BLOCKED",
    "Occupied": "CHARGING",
    "Reserved": "RESERVED",
    "Unavailable": "INOPERATIVE",
    "Faulted": "OUTOFORDER",
}
_WHOLE: frozenset[Status] = frozenset({"INOPERATIVE", "OUTOFORDER"})


class Place(msgspec.Struct, frozen=True):
    """Where a site is, as access tells it."""

    address: str
    postal_code: str
    city: str
    country: str
    latitude: str
    longitude: str
    time_zone: str


class Charger(msgspec.Struct, frozen=True):
    """A charger as it was last told of: the states of its connectors in OCPP's words."""

    online: bool = False
    connectors: Mapping[int, str] = {}


class Seen(msgspec.Struct, frozen=True):
    """An EVSE as it is told, since when in nanoseconds."""

    charger_id: str
    connector: int
    status: Status
    since: int


class Site(msgspec.Struct, frozen=True):
    """What a partner's feed has told of a site.

    `roles` are the partner's, on the site under "" and on one charger under its id. `evses`,
    by uid, are those that it operates, and those that it did, which are REMOVED (§8.1).
    """

    id: str
    roles: Mapping[str, tuple[str, ...]] = {}
    chargers: Mapping[str, Charger] = {}
    evses: Mapping[str, Seen] = {}
    place: Place | None = None

    def operates(self, charger_id: str) -> bool:
        """Whether the partner is an operator of this charger."""
        return any("OPERATOR" in self.roles.get(each, ()) for each in ("", charger_id))

    @property
    def operated(self) -> bool:
        """Whether the partner is an operator of anything there."""
        return any("OPERATOR" in each for each in self.roles.values())

    @property
    def listed(self) -> bool:
        """Whether it is a Location: one needs an address, and something to tell of."""
        return self.place is not None and bool(self.evses)


class GeoLocation(Message, frozen=True, kw_only=True):
    """Decimal degrees (§8.4.13)."""

    latitude: str
    longitude: str


class Connector(Message, frozen=True, kw_only=True):
    """A socket or a plug (§8.3.3)."""

    id: str
    standard: str
    format: str
    power_type: str
    max_voltage: int
    max_amperage: int
    last_updated: str


class Evse(Message, frozen=True, kw_only=True):
    """What charges one car at a time (§8.3.2)."""

    uid: str
    evse_id: str
    status: Status
    capabilities: tuple[str, ...]
    connectors: tuple[Connector, ...]
    last_updated: str


class Location(Message, frozen=True, kw_only=True):
    """A site (§8.3.1)."""

    country_code: str
    party_id: str
    id: str
    publish: bool
    address: str
    city: str
    postal_code: str | None = None
    country: str
    coordinates: GeoLocation
    evses: tuple[Evse, ...]
    time_zone: str
    last_updated: str


class EvseChange(Message, frozen=True, kw_only=True):
    """What is patched of an EVSE (§8.2.2.3)."""

    status: Status
    last_updated: str


class Push(msgspec.Struct, frozen=True):
    """What to send, where behind the other side's endpoint."""

    method: Literal["PUT", "PATCH", "POST"]
    path: tuple[str, ...]
    body: Message


def sites_of(event: feed.FeedEvent) -> Sequence[str]:
    """Return the sites that `after` needs for this event."""
    match event:
        case feed.ChargerMoved():
            ids = (event.from_installation_id, event.installation_id)
        case (
            feed.AccessStarted()
            | feed.AccessChanged()
            | feed.AccessEnded()
            | feed.ChargerAdded()
            | feed.ChargerConnected()
            | feed.ChargerDisconnected()
            | feed.ConnectorStatusChanged()
        ):
            ids = (event.installation_id, None)
        case _:
            return ()
    return [each for each in ids if each is not None]


def after(sites: Mapping[str, Site], event: feed.FeedEvent, at: int) -> Sequence[Site]:
    """Return the sites that the event changes, as they are after it.

    `sites` has those of `sites_of` that are known already.
    """
    before = {each: sites.get(each, Site(each)) for each in sites_of(event)}
    changed = (_settled(site, at) for site in _after(before, event))
    return [site for site in changed if site != before[site.id]]


def location(site: Site, *, party: Party, changed_at: int) -> Location:
    """Return the site as a Location; raises ValueError for one without an address."""
    where = site.place
    if where is None:
        raise ValueError(site.id)
    return Location(
        country_code=party.country_code,
        party_id=party.party_id,
        id=site.id,
        publish=False,
        address=where.address,
        city=where.city,
        postal_code=where.postal_code or None,
        country=where.country,
        coordinates=GeoLocation(latitude=where.latitude, longitude=where.longitude),
        evses=tuple(_evse(uid, site.evses[uid], party) for uid in sorted(site.evses)),
        time_zone=where.time_zone,
        last_updated=told(changed_at),
    )


def pushes(now: Location, before: Location | None) -> Sequence[Push]:
    """Return what brings the other side from `before`, None for nothing, to `now` (§8.1).

    Where only statuses differ, these: a site's whole Location is long.
    """
    own = (now.country_code, now.party_id, now.id)
    if before is None or _without_statuses(before) != _without_statuses(now):
        return [Push("PUT", own, now)]
    statuses = {each.uid: each.status for each in before.evses}
    return [
        Push(
            "PATCH",
            (*own, each.uid),
            EvseChange(status=each.status, last_updated=each.last_updated),
        )
        for each in now.evses
        if each.status != statuses[each.uid]
    ]


def _after(sites: Mapping[str, Site], event: feed.FeedEvent) -> Iterable[Site]:
    match event:
        case feed.AccessStarted() | feed.AccessChanged():
            yield _with_roles(sites[event.installation_id], event.charger_id, event.roles)
        case feed.AccessEnded():
            yield _with_roles(sites[event.installation_id], event.charger_id, ())
        case feed.ChargerAdded():
            site = sites[event.installation_id]
            # Told again where the partner sees it by another permission, too.
            yield _with(site, event.charger_id, site.chargers.get(event.charger_id, Charger()))
        case feed.ChargerMoved():
            charger = Charger()
            if event.from_installation_id is not None:
                site = sites[event.from_installation_id]
                charger = site.chargers.get(event.charger_id, charger)
                yield _with(site, event.charger_id, None)
            if event.installation_id is not None:
                yield _with(sites[event.installation_id], event.charger_id, charger)
        case feed.ChargerConnected() | feed.ChargerDisconnected():
            site = sites[event.installation_id]
            charger = site.chargers.get(event.charger_id, Charger())
            online = isinstance(event, feed.ChargerConnected)
            yield _with(site, event.charger_id, Charger(online, charger.connectors))
        case feed.ConnectorStatusChanged():
            site = sites[event.installation_id]
            charger = site.chargers.get(event.charger_id, Charger())
            connectors = {**charger.connectors, event.connector: event.status}
            yield _with(site, event.charger_id, Charger(charger.online, connectors))


def _with_roles(site: Site, charger_id: str | None, roles: tuple[str, ...]) -> Site:
    given = {**site.roles, charger_id or "": roles}
    held = {key: each for key, each in given.items() if each}
    # Of what the partner sees no more it hears no more: not that it was moved away, either.
    seen = {key: each for key, each in site.chargers.items() if "" in held or key in held}
    return msgspec.structs.replace(site, roles=held, chargers=seen)


def _with(site: Site, charger_id: str, charger: Charger | None) -> Site:
    chargers = {key: each for key, each in site.chargers.items() if key != charger_id}
    if charger is not None:
        chargers[charger_id] = charger
    return msgspec.structs.replace(site, chargers=chargers)


def _settled(site: Site, at: int) -> Site:
    """Return the site with its EVSEs as they are; what is one no longer is REMOVED."""
    evses = {
        uid: seen
        if seen.status == "REMOVED"
        else Seen(seen.charger_id, seen.connector, "REMOVED", at)
        for uid, seen in site.evses.items()
    }
    for charger_id, charger in site.chargers.items():
        if not site.operates(charger_id):
            continue
        for connector in {each for each in charger.connectors if each} or {_FIRST}:
            uid = evse_uid(charger_id, connector)
            status = _status(charger, connector)
            seen = site.evses.get(uid)
            same = seen is not None and seen.status == status
            evses[uid] = seen if seen and same else Seen(charger_id, connector, status, at)
    return msgspec.structs.replace(site, evses=evses)


def _status(charger: Charger, connector: int) -> Status:
    if not charger.online:
        return "UNKNOWN"
    whole = _STATUSES.get(charger.connectors.get(_WHOLE_CHARGER, ""), "UNKNOWN")
    if whole in _WHOLE:
        return whole
    return _STATUSES.get(charger.connectors.get(connector, ""), "UNKNOWN")


def _evse(uid: str, seen: Seen, party: Party) -> Evse:
    since = told(seen.since)
    return Evse(
        uid=uid,
        evse_id=evse_id(party.country_code, party.party_id, seen.charger_id, seen.connector),
        status=seen.status,
        capabilities=CAPABILITIES,
        connectors=(
            Connector(
                id=str(seen.connector),
                standard=STANDARD,
                format=FORMAT,
                power_type=POWER_TYPE,
                max_voltage=MAX_VOLTAGE,
                max_amperage=MAX_AMPERAGE,
                last_updated=since,
            ),
        ),
        last_updated=since,
    )


def _without_statuses(whole: Location) -> Location:
    return msgspec.structs.replace(
        whole,
        last_updated="",
        evses=tuple(
            msgspec.structs.replace(each, status="UNKNOWN", last_updated="", connectors=())
            for each in whole.evses
        ),
    )
