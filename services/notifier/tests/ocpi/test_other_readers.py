"""What is told by OCPI, as libraries that others wrote for its other end read it."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chargekey_notifier.ocpi import cdrs, locations, sessions
from chargekey_notifier.ocpi.commands import CommandResult
from chargekey_notifier.ocpi.locations import Location
from chargekey_notifier.ocpi.messages import (
    BusinessDetails,
    Credentials,
    CredentialsRole,
    LocationReferences,
    Message,
    Module,
    VersionDetails,
)
from chargekey_notifier.ocpi.sessions import Charge, Driver
from chargekey_notifier.ocpi.tokens import AuthorizationInfo, Token

from .given import (
    CARD,
    EVSE_1,
    HOUR,
    NOON,
    PLACE,
    SITE,
    THEM,
    US,
    added,
    as_sent,
    begun,
    corrected,
    moment,
    online,
    read,
    started,
    state,
    stopped,
)

# Installed beside everything else by `make setup`, each with what it needs.
INSTALLED = Path(sys.prefix) / "ocpi"
# Each with the module that has its model of a version's details.
VERSIONS = {"extrawest-ocpi": "versions.v_2_2_1", "py-ocpi": "versions"}
LIBRARIES = sorted(VERSIONS)
pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="they need a pydantic that knows no newer Python"
)
# What neither has, and the standard does (§10.4.4).
UNREAD = dict.fromkeys(("cdr", "corrected cdr", "credit cdr"), "not known: /cdr_location/evse_uid")


def _location(*statuses: str) -> Location:
    sites: dict[str, locations.Site] = {}
    events = [begun(), added(), online(), *(state(each) for each in statuses)]
    for event in events:
        sites |= {each.id: each for each in locations.after(sites, event, NOON)}
    site = msgspec.structs.replace(sites[SITE], place=PLACE)
    return locations.location(site, party=US, changed_at=NOON)


def _charge(*events: Any) -> Charge:
    found: Charge | None = reduce(sessions.after, events, None)
    assert found is not None
    return found


def _session(*events: Any) -> Message:
    charge = _charge(*events)
    driver = Driver(reference=charge.reference)
    return sessions.session(
        charge, party=US, currency="NOK", operator=THEM, changed_at=NOON, driver=driver
    )


def _cdr(settled: cdrs.Settled) -> Message:
    driver = Driver(token=_token("APP_USER"), commanded=True)
    return cdrs.cdr(
        settled, party=US, currency="NOK", operator=THEM, changed_at=NOON, driver=driver
    )


def _token(kind: str) -> Token:
    return Token(
        country_code="NO",
        party_id="CKY",
        uid="04A1B2C3",
        type=kind,  # type: ignore[arg-type]
        contract_id=CARD,
        issuer="Chargekey",
        valid=True,
        whitelist="NEVER",
        last_updated=moment(NOON).replace(tzinfo=dt.UTC),
    )


def _told(versions: str) -> dict[str, tuple[str, str, Message]]:
    """Return everything that is told, by a name, with the module and the model that read it."""
    begin = started(reference="REF-1", reason="operator_accepted")
    readings = [read(1000 + 500 * hour, at=NOON + hour * HOUR) for hour in (1, 2)]
    over = [begin, *readings, stopped(2400, at=NOON + 3 * HOUR, presumed=True)]
    first = cdrs.settled(_charge(*over, stopped(2400, at=NOON + 3 * HOUR)), PLACE)
    credit, second = cdrs.corrected(first, _charge(*over, corrected(2600, at=NOON + 4 * HOUR)))
    free, charging = _location("Available"), _location("Available", "Charging")
    put, patch = locations.pushes(free, None)[0], locations.pushes(charging, free)[0]
    url = "https://charge.example/ocpi"
    role = CredentialsRole(
        role="CPO",
        business_details=BusinessDetails(name="Chargekey"),
        party_id="CKY",
        country_code="NO",
    )
    return {
        "version details": (
            versions,
            "VersionDetail",
            VersionDetails(
                version="2.2.1",
                endpoints=(Module(identifier="cdrs", role="SENDER", url=f"{url}/cdrs"),),
            ),
        ),
        "credentials": (
            "credentials.v_2_2_1",
            "Credentials",
            Credentials(token="c2VjcmV0", url=f"{url}/versions", roles=(role,)),
        ),
        "location": ("locations.v_2_2_1", "Location", put.body),
        "change of an EVSE": ("locations.v_2_2_1", "EVSEPartialUpdate", patch.body),
        "running session": ("sessions.v_2_2_1", "Session", _session(begin, *readings)),
        "session of nobody": (
            "sessions.v_2_2_1",
            "Session",
            _session(started(identification_id=None, meter=None)),
        ),
        "completed session": (
            "sessions.v_2_2_1",
            "Session",
            _session(*over, stopped(2400, at=NOON + 3 * HOUR)),
        ),
        "cdr": ("cdrs.v_2_2_1", "Cdr", _cdr(first)),
        "credit cdr": ("cdrs.v_2_2_1", "Cdr", _cdr(credit)),
        "corrected cdr": ("cdrs.v_2_2_1", "Cdr", _cdr(second)),
        "authorization": (
            "tokens.v_2_2_1",
            "AuthorizationInfo",
            AuthorizationInfo(
                allowed="ALLOWED",
                token=_token("RFID"),
                location=LocationReferences(location_id=SITE, evse_uids=(EVSE_1,)),
            ),
        ),
        "refusal": (
            "tokens.v_2_2_1",
            "AuthorizationInfo",
            AuthorizationInfo(allowed="NOT_ALLOWED", token=_token("OTHER")),
        ),
        "place that is asked about": (
            "tokens.v_2_2_1",
            "LocationReference",
            LocationReferences(location_id=SITE, evse_uids=(EVSE_1,)),
        ),
        "result of a command": (
            "commands.v_2_2_1",
            "CommandResult",
            CommandResult(result="ACCEPTED"),
        ),
    }


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_of_others_read_all_that_is_told_and_leave_nothing_out(library: str) -> None:
    """P37."""
    told = _told(VERSIONS[library])
    documents = [(module, model, as_sent(each)) for module, model, each in told.values()]
    found = dict(zip(told, _trouble(library, documents), strict=True))
    assert found == {name: UNREAD.get(name) for name in told}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_of_others_refuses_what_is_not_ocpi(library: str) -> None:
    """Else it would have read nothing."""
    session = as_sent(_session(started()))
    broken = [
        {name: value for name, value in session.items() if name != "evse_uid"},
        session | {"status": "RUNNING"},
        session | {"watt": 1},
    ]
    documents = [("sessions.v_2_2_1", "Session", each) for each in broken]
    assert None not in _trouble(library, documents)


def _trouble(library: str, documents: Sequence[tuple[str, str, Any]]) -> list[str | None]:
    answer = subprocess.run(
        [sys.executable, Path(__file__).with_name("reader.py")],
        input=json.dumps(documents),
        env={"PYTHONPATH": str(INSTALLED / library)},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=60,
    )
    found: list[str | None] = json.loads(answer.stdout)
    return found
