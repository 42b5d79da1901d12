"""Sessions: charges at what an operator operates, told as OCPI tells them (2.2.1 §9).

An operator is told its own tokens. No other code is known here, so what is none of those is told
by the operator's own reference for its decision, or by our opaque id of what was presented; and
as a one-time token where nobody presented anything. Without tariffs there is no cost to tell.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import msgspec

from chargekey_common.evses import evse_uid
from chargekey_common.published import feed
from chargekey_notifier.ocpi.messages import CredentialsRole, Message, Party, nanoseconds, told
from chargekey_notifier.ocpi.tokens import Token, TokenType

# A reading begins a new charging period when the one before is this old (§9.3.1).
PERIOD = 15 * 60 * 1_000_000_000
# How long the end of a charge that its charger did not tell of is waited for.
PRESUMED = 60 * 60 * 1_000_000_000
_HOUR = 3600 * 1_000_000_000

AuthMethod = Literal["AUTH_REQUEST", "COMMAND", "WHITELIST"]


class Reading(msgspec.Struct, frozen=True, array_like=True):
    """What a meter said: watt-hours, at nanoseconds since the epoch."""

    at: int
    meter: int


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """A session as the feed has told of it; times in nanoseconds, meters in watt-hours.

    `readings` begin charging periods, `last` is the newest. `refused` where it should never
    have begun. `presumed` while the charger itself has not told of the end.
    """

    id: str
    installation_id: str
    charger_id: str
    connector: int
    started_at: int
    identification_id: str | None = None
    reference: str | None = None
    by_operator: bool = False
    refused: bool = False
    readings: tuple[Reading, ...] = ()
    last: Reading | None = None
    ended_at: int | None = None
    presumed: bool = False

    @property
    def energy(self) -> int:
        """Watt-hours so far."""
        if self.last is None or not self.readings:
            return 0
        return max(0, self.last.meter - self.readings[0].meter)

    @property
    def completed(self) -> bool:
        """Whether nothing more is to come."""
        return self.ended_at is not None and not self.presumed

    @property
    def listed(self) -> bool:
        """Whether there is anything to tell: of one that was refused, that energy flowed."""
        return not self.refused or (self.completed and self.energy > 0)


class Driver(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator has told us of who charges: its token, if it is known.

    `reference` is its own name for its consent; `commanded` where it began the charge itself.
    """

    token: Token | None = None
    reference: str | None = None
    commanded: bool = False


class CdrToken(Message, frozen=True, kw_only=True):
    """What was presented (§10.4.5)."""

    country_code: str
    party_id: str
    uid: str
    type: TokenType
    contract_id: str


class CdrDimension(Message, frozen=True, kw_only=True):
    """Kilowatt-hours of ENERGY, or hours of TIME (§10.4.2)."""

    type: Literal["ENERGY", "TIME"]
    volume: float


class ChargingPeriod(Message, frozen=True, kw_only=True):
    """A part of a charge, which lasts until the next begins (§10.4.6)."""

    start_date_time: str
    dimensions: tuple[CdrDimension, ...]


class Session(Message, frozen=True, kw_only=True):
    """A charge (§9.3.1)."""

    country_code: str
    party_id: str
    id: str
    start_date_time: str
    end_date_time: str | None = None
    kwh: float
    cdr_token: CdrToken
    auth_method: AuthMethod
    authorization_reference: str | None = None
    location_id: str
    evse_uid: str
    connector_id: str
    currency: str
    charging_periods: tuple[ChargingPeriod, ...] = ()
    status: Literal["ACTIVE", "COMPLETED", "INVALID"]
    last_updated: str


def after(charge: Charge | None, event: feed.FeedEvent) -> Charge | None:
    """Return the charge after an event about it; None for one whose start nobody told of."""
    match event:
        case feed.SessionStarted():
            started = nanoseconds(event.started_at)
            meter = event.meter_start
            first = None if meter is None else Reading(started, meter)
            return Charge(
                id=event.session_id,
                installation_id=event.installation_id,
                charger_id=event.charger_id,
                connector=event.connector,
                started_at=started,
                identification_id=event.identification_id,
                reference=event.authorization_reference,
                by_operator=event.by_operator,
                readings=() if first is None else (first,),
                last=first,
            )
        case feed.StartRefused():
            return Charge(
                id=event.session_id,
                installation_id=event.installation_id,
                charger_id=event.charger_id,
                connector=event.connector,
                started_at=nanoseconds(event.started_at),
                identification_id=event.identification_id,
                by_operator=event.by_operator,
                refused=True,
            )
        case feed.SessionUpdated():
            at = nanoseconds(event.at)
            return _read(charge, at, event.meter) if charge and _is_news(charge, at) else charge
        case feed.SessionEnded() | feed.SessionCorrected():
            if charge is None:
                return None
            ended = nanoseconds(event.ended_at)
            presumed = isinstance(event, feed.SessionEnded) and event.presumed
            return msgspec.structs.replace(
                _read(charge, ended, event.meter_stop), ended_at=ended, presumed=presumed
            )
        case _:
            return charge


def session(
    charge: Charge,
    *,
    party: Party,
    currency: str,
    operator: CredentialsRole,
    changed_at: int,
    driver: Driver,
) -> Session:
    """Return the charge as a Session; one whose end is presumed goes on for now."""
    ended = told(charge.ended_at) if charge.ended_at is not None and charge.completed else None
    status: Literal["ACTIVE", "COMPLETED"] = "ACTIVE" if ended is None else "COMPLETED"
    return Session(
        country_code=party.country_code,
        party_id=party.party_id,
        id=charge.id,
        start_date_time=told(charge.started_at),
        end_date_time=ended,
        kwh=charge.energy / 1000,
        cdr_token=cdr_token(charge, operator, driver),
        auth_method=auth_method(charge, driver),
        authorization_reference=driver.reference,
        location_id=charge.installation_id,
        evse_uid=evse_uid(charge.charger_id, charge.connector),
        connector_id=str(charge.connector),
        currency=currency,
        charging_periods=charging_periods(charge),
        status="INVALID" if charge.refused else status,
        last_updated=told(changed_at),
    )


def cdr_token(charge: Charge, operator: CredentialsRole, driver: Driver) -> CdrToken:
    """Return what can be told of what was presented."""
    token = driver.token
    if token is not None:
        return CdrToken(
            country_code=token.country_code,
            party_id=token.party_id,
            uid=token.uid,
            type=token.type,
            contract_id=token.contract_id,
        )
    known = driver.reference or charge.identification_id
    uid = known or charge.id
    return CdrToken(
        country_code=operator.country_code,
        party_id=operator.party_id,
        uid=uid,
        type="AD_HOC_USER" if known is None else "OTHER",
        contract_id=uid,
    )


def auth_method(charge: Charge, driver: Driver) -> AuthMethod:
    """Return what let it: the operator's command, its answer, or what was known without asking."""
    if driver.commanded:
        return "COMMAND"
    return "AUTH_REQUEST" if charge.by_operator else "WHITELIST"


def charging_periods(charge: Charge) -> tuple[ChargingPeriod, ...]:
    """Return the energy and the time of each part, up to the newest reading."""
    if charge.last is None:
        return ()
    bounds = [each for each in charge.readings if each.at < charge.last.at]
    return tuple(
        ChargingPeriod(
            start_date_time=told(begin.at),
            dimensions=(
                CdrDimension(type="ENERGY", volume=max(0, end.meter - begin.meter) / 1000),
                CdrDimension(type="TIME", volume=hours(end.at - begin.at)),
            ),
        )
        for begin, end in itertools.pairwise([*bounds, charge.last])
    )


def hours(duration: int) -> float:
    """Return nanoseconds as hours, to a ten-thousandth, a third of a second (§16.3)."""
    return round(duration / _HOUR, 4)


def _is_news(charge: Charge, at: int) -> bool:
    """Whether a reading tells of a charge what is not known better."""
    return charge.ended_at is None and (charge.last is None or at >= charge.last.at)


def _read(charge: Charge, at: int, meter: int) -> Charge:
    """Return the charge with a reading that is the last word so far."""
    reading = Reading(at, meter)
    readings: Sequence[Reading] = charge.readings
    if not readings:
        # Nobody told what the meter stood at when it began: what is known begins here.
        readings = [reading]
    elif at - readings[-1].at >= PERIOD:
        readings = [*readings, reading]
    return msgspec.structs.replace(charge, readings=tuple(readings), last=reading)
