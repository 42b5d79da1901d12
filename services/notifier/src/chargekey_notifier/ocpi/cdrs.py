"""CDRs: completed sessions as they are settled (2.2.1 §10).

Once made, one is never changed: where a charger tells after all how a charge ended, the CDR
is credited and another is made. Nothing is asked for here: the cost is 0, and energy and time
are for the operator's own tariffs.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import msgspec

from chargekey_common.evses import evse_uid
from chargekey_notifier.ocpi import locations
from chargekey_notifier.ocpi.evses import evse_id
from chargekey_notifier.ocpi.locations import GeoLocation, Place
from chargekey_notifier.ocpi.messages import CredentialsRole, Message, Party, told
from chargekey_notifier.ocpi.sessions import (
    AuthMethod,
    CdrDimension,
    CdrToken,
    Charge,
    ChargingPeriod,
    Driver,
    auth_method,
    cdr_token,
    charging_periods,
    hours,
)

_CORRECTED = uuid.UUID("6f0a0e0e-6a55-5f0c-9c33-5a8f9cbd4a19")


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """A charge as it was settled, and where; `credits` names the CDR that this one takes back."""

    id: str
    charge: Charge
    place: Place
    credits: str | None = None


class Price(Message, frozen=True, kw_only=True):
    """An amount of money (§16.5); some want both of nothing, too."""

    excl_vat: float
    incl_vat: float


class CdrLocation(Message, frozen=True, kw_only=True):
    """Where a charge was (§10.4.4)."""

    id: str
    address: str
    city: str
    postal_code: str | None = None
    country: str
    coordinates: GeoLocation
    evse_uid: str
    evse_id: str
    connector_id: str
    connector_standard: str
    connector_format: str
    connector_power_type: str


class Cdr(Message, frozen=True, kw_only=True):
    """A charge, to be settled (§10.3.1); hours and kilowatt-hours."""

    country_code: str
    party_id: str
    id: str
    start_date_time: str
    end_date_time: str
    session_id: str
    cdr_token: CdrToken
    auth_method: AuthMethod
    authorization_reference: str | None = None
    cdr_location: CdrLocation
    currency: str
    charging_periods: tuple[ChargingPeriod, ...]
    total_cost: Price
    total_energy: float
    total_time: float
    credit: bool | None = None
    credit_reference_id: str | None = None
    last_updated: str


def settled(charge: Charge, place: Place) -> Settled:
    """Return what a completed charge is settled by."""
    return Settled(id=charge.id, charge=charge, place=place)


def corrected(first: Settled, charge: Charge) -> Sequence[Settled]:
    """Return what takes back the first and settles the charge as it was in truth (§10.1.1).

    A session is corrected once at most; one that is no different needs nothing.
    """
    if first.charge == charge:
        return ()
    return (
        Settled(id=f"{first.id}-C", charge=first.charge, place=first.place, credits=first.id),
        Settled(id=str(uuid.uuid5(_CORRECTED, first.id)), charge=charge, place=first.place),
    )


def cdr(
    settled: Settled,
    *,
    party: Party,
    currency: str,
    operator: CredentialsRole,
    changed_at: int,
    driver: Driver,
) -> Cdr:
    """Return what is settled as a CDR; raises ValueError for a charge that goes on."""
    charge = settled.charge
    ended_at = charge.ended_at
    if ended_at is None:
        raise ValueError(charge.id)
    where = settled.place
    duration = hours(max(0, ended_at - charge.started_at))
    # At least one (§10.3.1): where no meter was read, of no energy.
    nothing = ChargingPeriod(
        start_date_time=told(charge.started_at),
        dimensions=(
            CdrDimension(type="ENERGY", volume=0.0),
            CdrDimension(type="TIME", volume=duration),
        ),
    )
    return Cdr(
        country_code=party.country_code,
        party_id=party.party_id,
        id=settled.id,
        start_date_time=told(charge.started_at),
        end_date_time=told(ended_at),
        session_id=charge.id,
        cdr_token=cdr_token(charge, operator, driver),
        auth_method=auth_method(charge, driver),
        authorization_reference=driver.reference,
        cdr_location=CdrLocation(
            id=charge.installation_id,
            address=where.address,
            city=where.city,
            postal_code=where.postal_code or None,
            country=where.country,
            coordinates=GeoLocation(latitude=where.latitude, longitude=where.longitude),
            evse_uid=evse_uid(charge.charger_id, charge.connector),
            evse_id=evse_id(
                party.country_code, party.party_id, charge.charger_id, charge.connector
            ),
            connector_id=str(charge.connector),
            connector_standard=locations.STANDARD,
            connector_format=locations.FORMAT,
            connector_power_type=locations.POWER_TYPE,
        ),
        currency=currency,
        charging_periods=charging_periods(charge) or (nothing,),
        total_cost=Price(excl_vat=0.0, incl_vat=0.0),
        total_energy=charge.energy / 1000,
        total_time=duration,
        credit=None if settled.credits is None else True,
        credit_reference_id=settled.credits,
        last_updated=told(changed_at),
    )
