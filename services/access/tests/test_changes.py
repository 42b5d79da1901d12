"""What owners are told was done at their site holds no secret of a charger."""

from __future__ import annotations

from pathlib import Path

from chargekey_access.domain.events import (
    EVENTS,
    ChargerAdded,
    ChargerMoved,
    ChargerPasswordReplaced,
    ReaderQuirksSet,
)
from chargekey_access.published import publication
from chargekey_common.audit.changes import Changes
from chargekey_common.eventstore.records import DomainEvent
from chargekey_common.eventstore.store import Context, EventStore, Work

HASH = "c0ffee5eedc0ffee"


def test_a_charger_s_password_is_not_told_even_as_a_hash_and_a_moved_one_is_the_new_site_s(
    tmp_path: Path,
) -> None:
    """R11: whoever had it sees that it went, and nothing of what is done to it afterwards."""
    store = EventStore("access", tmp_path / "access.db", EVENTS)
    events: list[DomainEvent] = [
        ChargerAdded(
            installation_id="home",
            ocpp_identity="CP-1",
            password_hash=HASH,
            authorisation_override="INHERIT",
            identification_types=("RFID", "PIN"),
        ),
        ChargerMoved(from_installation_id="home", installation_id="office"),
        ReaderQuirksSet(installation_id="office", reversed=True, truncated=False, prefix=""),
        ChargerPasswordReplaced(installation_id="office", password_hash=HASH),
    ]

    def decide(work: Work) -> None:
        work.record(work.load(lambda _, event: event, "cp"), *events)

    store.execute("tell", type(None), Context("user:owner", "command"), decide)
    changes = Changes(store, publication)
    told = {obj: changes.of(obj, 10) for obj in ("charger:cp", "installation:home")}
    assert [each.event for each in told["charger:cp"]] == [
        "ChargerPasswordReplaced",
        "ReaderQuirksSet",
        "ChargerMoved",
        "ChargerAdded",
    ]
    assert [each.event for each in told["installation:home"]] == ["ChargerMoved", "ChargerAdded"]
    assert told["charger:cp"][0].fields == {"installation_id": "office"}
    assert told["charger:cp"][3].fields == {
        "installation_id": "home",
        "ocpp_identity": "CP-1",
        "authorisation_override": "INHERIT",
        "identification_types": "RFID, PIN",
    }
    assert HASH not in repr(told)
    store.close()
