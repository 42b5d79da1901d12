"""Sessions and CDRs as OCPI tells them: given these events, then these values."""

from __future__ import annotations

from functools import reduce

import msgspec
import pytest

from chargekey_common.published import feed
from chargekey_notifier.ocpi import cdrs, sessions
from chargekey_notifier.ocpi.sessions import Charge, Driver, Session

from .given import (
    CARD,
    CHARGER,
    EVSE_2,
    HOUR,
    MINUTE,
    NOON,
    PLACE,
    SECOND,
    SESSION,
    SITE,
    THEIR_TOKEN,
    THEM,
    US,
    as_sent,
    corrected,
    read,
    refused,
    started,
    stopped,
)


def charge(*events: feed.FeedEvent) -> Charge:
    found: Charge | None = reduce(sessions.after, events, None)
    assert found is not None
    return found


def told(*events: feed.FeedEvent, driver: Driver | None = None) -> Session:
    """Return what is told, by default of a driver that nothing but the reference is known of."""
    found = charge(*events)
    return sessions.session(
        found,
        party=US,
        currency="NOK",
        operator=THEM,
        changed_at=NOON + HOUR,
        driver=driver or Driver(reference=found.reference),
    )


def periods(found: Session | cdrs.Cdr) -> list[tuple[str, float, float]]:
    """Return each period's start, and its energy and time."""
    return [
        (each.start_date_time[11:16], each.dimensions[0].volume, each.dimensions[1].volume)
        for each in found.charging_periods
    ]


def test_a_session_that_has_just_begun_is_told_in_the_standards_form() -> None:
    """P24."""
    found = as_sent(told(started(reference="REF-1", reason="operator_accepted")))
    assert found == {
        "country_code": "NO",
        "party_id": "CKY",
        "id": SESSION,
        "start_date_time": "2026-03-03T12:00:00.000Z",
        "kwh": 0.0,
        "cdr_token": {
            "country_code": "DE",
            "party_id": "VLT",
            "uid": "REF-1",
            "type": "OTHER",
            "contract_id": "REF-1",
        },
        "auth_method": "AUTH_REQUEST",
        "authorization_reference": "REF-1",
        "location_id": SITE,
        "evse_uid": EVSE_2,
        "connector_id": "2",
        "currency": "NOK",
        "status": "ACTIVE",
        "last_updated": "2026-03-03T13:00:00.000Z",
    }


@pytest.mark.parametrize(
    ("reference", "card", "uid", "kind"),
    [
        ("REF-1", CARD, "REF-1", "OTHER"),
        (None, CARD, CARD, "OTHER"),
        (None, None, SESSION, "AD_HOC_USER"),
    ],
)
def test_a_token_is_named_by_the_operators_reference_or_an_id_and_by_no_code(
    reference: str | None, card: str | None, uid: str, kind: str
) -> None:
    """P25."""
    token = told(started(reference=reference, identification_id=card)).cdr_token
    assert (token.uid, token.contract_id, token.type) == (uid, uid, kind)


@pytest.mark.parametrize("commanded", [True, False])
def test_an_operator_is_told_its_own_token(commanded: bool) -> None:
    """P50: and its own reference, where it gave one."""
    found = told(started(reference="ours"), driver=Driver(token=THEIR_TOKEN, commanded=commanded))
    assert as_sent(found.cdr_token) == {
        "country_code": "DE",
        "party_id": "VLT",
        "uid": "04A1B2C3",
        "type": "RFID",
        "contract_id": "DE-VLT-C1",
    }
    assert found.authorization_reference is None
    named = Driver(token=THEIR_TOKEN, reference="REF-1", commanded=commanded)
    found = told(started(reference="REF-1"), driver=named)
    assert (found.authorization_reference, found.cdr_token.uid) == ("REF-1", "04A1B2C3")


@pytest.mark.parametrize(
    ("reason", "asked", "method"),
    [
        ("operator_accepted", True, "AUTH_REQUEST"),
        ("operator_accepted", False, "WHITELIST"),
        ("installation_permission", False, "WHITELIST"),
        ("open_charger", False, "WHITELIST"),
    ],
)
def test_what_let_somebody_in_is_told(reason: str, asked: bool, method: str) -> None:
    """P52."""
    begin = started(reason=reason, by_operator=asked)
    assert told(begin).auth_method == method
    assert told(begin, driver=Driver(commanded=True)).auth_method == "COMMAND"


def test_readings_are_periods_of_a_quarter_of_an_hour_or_more() -> None:
    """P24."""
    found = told(
        started(),
        read(1100, at=NOON + 5 * MINUTE),
        read(1500, at=NOON + 15 * MINUTE),
        read(1600, at=NOON + 20 * MINUTE),
        read(2600, at=NOON + 45 * MINUTE),
        read(2700, at=NOON + 50 * MINUTE),
    )
    assert found.kwh == 1.7
    assert periods(found) == [("12:00", 0.5, 0.25), ("12:15", 1.1, 0.5), ("12:45", 0.1, 0.0833)]
    assert (found.status, found.end_date_time) == ("ACTIVE", None)


def test_readings_that_come_late_count_for_nothing() -> None:
    late = (started(), read(2000, at=NOON + HOUR), read(1500, at=NOON + MINUTE))
    assert charge(*late) == charge(*late[:2])
    over = (started(), stopped(2000, at=NOON + HOUR), read(9000, at=NOON + 2 * HOUR))
    assert charge(*over) == charge(*over[:2])


def test_an_end_is_the_last_word_also_where_it_was_before_a_reading() -> None:
    found = told(started(), read(3000, at=NOON + HOUR), stopped(2500, at=NOON + 50 * MINUTE))
    assert (found.kwh, periods(found)) == (1.5, [("12:00", 1.5, 0.8333)])


def test_a_meter_that_began_anew_or_that_nobody_read_tells_of_no_energy() -> None:
    assert told(started(meter=5000), stopped(10, at=NOON + HOUR)).kwh == 0
    nobody = told(started(meter=None), stopped(7000, at=NOON + HOUR))
    assert (nobody.kwh, nobody.charging_periods) == (0, ())
    since = told(started(meter=None), read(6000, at=NOON + MINUTE), stopped(7000, at=NOON + HOUR))
    assert since.kwh == 1


def test_an_end_completes_a_session_and_a_presumed_one_only_when_it_is_over() -> None:
    """P26."""
    found = told(started(), read(1500, at=NOON + 30 * MINUTE), stopped(3000, at=NOON + HOUR))
    assert (found.status, found.end_date_time) == ("COMPLETED", "2026-03-03T13:00:00.000Z")
    assert periods(found) == [("12:00", 0.5, 0.5), ("12:30", 1.5, 0.5)]
    presumed = charge(started(), stopped(2000, at=NOON + HOUR, presumed=True))
    assert not presumed.completed
    waiting = told(started(), stopped(2000, at=NOON + HOUR, presumed=True))
    assert (waiting.status, waiting.end_date_time) == ("ACTIVE", None)
    true = told(
        started(),
        stopped(2000, at=NOON + HOUR, presumed=True),
        corrected(1800, at=NOON + 50 * MINUTE),
    )
    assert (true.status, true.kwh) == ("COMPLETED", 0.8)
    assert true.end_date_time == "2026-03-03T12:50:00.000Z"


def test_energy_of_a_start_that_was_refused_is_told_as_invalid() -> None:
    """P27: it will not be billed."""
    assert not charge(refused()).listed
    assert not charge(refused(), stopped(0, at=NOON + MINUTE)).listed
    flowed = (refused(), read(100, at=NOON + MINUTE), stopped(500, at=NOON + HOUR))
    assert charge(*flowed).listed
    found = told(*flowed)
    assert (found.status, found.kwh, found.cdr_token.uid) == ("INVALID", 0.4, CARD)


def test_events_of_a_session_whose_start_nobody_told_of_are_nothing() -> None:
    for event in (read(1, at=NOON), stopped(1, at=NOON), corrected(1, at=NOON)):
        assert sessions.after(None, event) is None


def test_a_cdr_is_told_in_the_standards_form() -> None:
    """P28."""
    whole = charge(
        started(reference="REF-1", reason="operator_accepted"), stopped(3500, at=NOON + HOUR)
    )
    found = as_sent(
        cdrs.cdr(
            cdrs.settled(whole, PLACE),
            party=US,
            currency="NOK",
            operator=THEM,
            changed_at=NOON + 2 * HOUR,
            driver=Driver(reference="REF-1"),
        )
    )
    assert found == {
        "country_code": "NO",
        "party_id": "CKY",
        "id": SESSION,
        "start_date_time": "2026-03-03T12:00:00.000Z",
        "end_date_time": "2026-03-03T13:00:00.000Z",
        "session_id": SESSION,
        "cdr_token": {
            "country_code": "DE",
            "party_id": "VLT",
            "uid": "REF-1",
            "type": "OTHER",
            "contract_id": "REF-1",
        },
        "auth_method": "AUTH_REQUEST",
        "authorization_reference": "REF-1",
        "cdr_location": {
            "id": SITE,
            "address": "Storgata 1",
            "city": "Oslo",
            "postal_code": "0155",
            "country": "NOR",
            "coordinates": {"latitude": "59.913868", "longitude": "10.752245"},
            "evse_uid": EVSE_2,
            "evse_id": "NO*CKY*E71AA0C441D5E4A0B9D3E6B8F*2",
            "connector_id": "2",
            "connector_standard": "IEC_62196_T2",
            "connector_format": "SOCKET",
            "connector_power_type": "AC_3_PHASE",
        },
        "currency": "NOK",
        "charging_periods": [
            {
                "start_date_time": "2026-03-03T12:00:00.000Z",
                "dimensions": [
                    {"type": "ENERGY", "volume": 2.5},
                    {"type": "TIME", "volume": 1.0},
                ],
            }
        ],
        "total_cost": {"excl_vat": 0.0, "incl_vat": 0.0},
        "total_energy": 2.5,
        "total_time": 1.0,
        "last_updated": "2026-03-03T14:00:00.000Z",
    }


def cdr(settled: cdrs.Settled) -> cdrs.Cdr:
    return cdrs.cdr(
        settled, party=US, currency="NOK", operator=THEM, changed_at=NOON, driver=Driver()
    )


def test_a_cdr_has_a_period_also_where_no_meter_was_read() -> None:
    whole = charge(started(meter=None), stopped(3500, at=NOON + 30 * MINUTE))
    assert periods(cdr(cdrs.settled(whole, PLACE))) == [("12:00", 0.0, 0.5)]
    with pytest.raises(ValueError, match=SESSION):
        cdr(cdrs.settled(charge(started()), PLACE))


def test_a_correction_credits_the_first_cdr_and_makes_another() -> None:
    """P29."""
    presumed = charge(started(), stopped(2000, at=NOON + HOUR, presumed=True))
    first = cdrs.settled(msgspec.structs.replace(presumed, presumed=False), PLACE)
    true = sessions.after(first.charge, corrected(1800, at=NOON + 50 * MINUTE))
    assert true is not None
    credit, second = map(cdr, cdrs.corrected(first, true))
    assert (credit.id, credit.credit, credit.credit_reference_id) == (f"{SESSION}-C", True, SESSION)
    assert credit.total_energy == cdr(first).total_energy == 1
    assert (second.total_energy, second.credit, second.session_id) == (0.8, None, SESSION)
    assert len(second.id) <= 36
    assert second.id not in {SESSION, credit.id}
    assert not cdrs.corrected(first, first.charge)


def test_hours_are_told_to_a_ten_thousandth() -> None:
    assert sessions.hours(SECOND) == 0.0003
    assert CHARGER.replace("-", "") in EVSE_2
