"""What a partner's feed tells in the tests of what becomes of it in OCPI."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import msgspec

from chargekey_common.published import feed
from chargekey_notifier.ocpi.locations import Place
from chargekey_notifier.ocpi.messages import BusinessDetails, CredentialsRole, Message, Party
from chargekey_notifier.ocpi.tokens import Token

SITE = "3f0c5d52-8a39-4ad1-9f4c-0d5a3b1f7e11"
OTHER_SITE = "5b1e61a4-2f0a-4b43-8c77-2a4d6f0b9c22"
CHARGER = "71aa0c44-1d5e-4a0b-9d3e-6b8f2c4e5d33"
EVSE_1 = "71aa0c441d5e4a0b9d3e6b8f2c4e5d33*1"
EVSE_2 = "71aa0c441d5e4a0b9d3e6b8f2c4e5d33*2"
SESSION = "8d2f7b10-93c4-5e6a-a1b2-c3d4e5f60744"
CARD = "9e3a8c21-04d5-4f7b-b2c3-d4e5f6071855"

NOON = 1_772_539_200_000_000_000  # 2026-03-03T12:00Z
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

US = Party(country_code="NO", party_id="CKY", name="Chargekey")
THEM = CredentialsRole(
    role="EMSP",
    business_details=BusinessDetails(name="Volt"),
    party_id="VLT",
    country_code="DE",
)
THEIR_TOKEN = Token(
    country_code="DE",
    party_id="VLT",
    uid="04A1B2C3",
    type="RFID",
    contract_id="DE-VLT-C1",
    issuer="Volt",
    valid=True,
    whitelist="ALWAYS",
    last_updated=feed.moment(NOON),
)
PLACE = Place(
    address="Storgata 1",
    postal_code="0155",
    city="Oslo",
    country="NOR",
    latitude="59.913868",
    longitude="10.752245",
    time_zone="Europe/Oslo",
)


def as_sent(message: Message) -> Any:
    return json.loads(msgspec.json.encode(message))


def moment(at: int) -> dt.datetime:
    return feed.moment(at)


def begun(roles: tuple[str, ...] = ("OPERATOR",), charger_id: str | None = None) -> feed.FeedEvent:
    return feed.AccessStarted(installation_id=SITE, charger_id=charger_id, roles=roles)  # type: ignore[arg-type]


def ended(charger_id: str | None = None) -> feed.FeedEvent:
    return feed.AccessEnded(installation_id=SITE, charger_id=charger_id)


def added(charger_id: str = CHARGER) -> feed.FeedEvent:
    return feed.ChargerAdded(
        installation_id=SITE,
        charger_id=charger_id,
        ocpp_identity="CP-1",
        authorisation_override="INHERIT",
        identification_types=("RFID",),
    )


def online() -> feed.FeedEvent:
    return feed.ChargerConnected(installation_id=SITE, charger_id=CHARGER, ocpp_version="1.6")


def offline() -> feed.FeedEvent:
    return feed.ChargerDisconnected(installation_id=SITE, charger_id=CHARGER)


def state(status: str, connector: int = 1) -> feed.FeedEvent:
    return feed.ConnectorStatusChanged(
        installation_id=SITE,
        charger_id=CHARGER,
        connector=connector,
        status=status,
        error_code="NoError",
    )


def started(
    *,
    at: int = NOON,
    meter: int | None = 1000,
    reference: str | None = None,
    identification_id: str | None = CARD,
    reason: str = "installation_permission",
    by_operator: bool | None = None,
) -> feed.SessionStarted:
    return feed.SessionStarted(
        installation_id=SITE,
        charger_id=CHARGER,
        session_id=SESSION,
        connector=2,
        started_at=moment(at),
        reason=reason,
        identification_id=identification_id,
        meter_start=meter,
        authorization_reference=reference,
        by_operator=reason == "operator_accepted" if by_operator is None else by_operator,
    )


def read(meter: int, *, at: int) -> feed.SessionUpdated:
    return feed.SessionUpdated(
        installation_id=SITE,
        charger_id=CHARGER,
        session_id=SESSION,
        connector=2,
        at=moment(at),
        meter=meter,
    )


def stopped(meter: int, *, at: int, presumed: bool = False) -> feed.SessionEnded:
    return feed.SessionEnded(
        installation_id=SITE,
        charger_id=CHARGER,
        session_id=SESSION,
        connector=2,
        ended_at=moment(at),
        meter_stop=meter,
        reason="Local",
        presumed=presumed,
    )


def corrected(meter: int, *, at: int) -> feed.SessionCorrected:
    return feed.SessionCorrected(
        installation_id=SITE,
        charger_id=CHARGER,
        session_id=SESSION,
        ended_at=moment(at),
        meter_stop=meter,
        reason="Local",
    )


def refused(at: int = NOON) -> feed.StartRefused:
    return feed.StartRefused(
        installation_id=SITE,
        charger_id=CHARGER,
        session_id=SESSION,
        connector=2,
        started_at=moment(at),
        status="Invalid",
        reason="no_permission",
        identification_id=CARD,
    )
