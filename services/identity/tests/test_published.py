"""What the stream is told: everything that happens, and nothing personal."""

from __future__ import annotations

import pytest

from chargekey_common.eventstore.records import DomainEvent, Record
from chargekey_common.published import identity as published
from chargekey_common.relay import Publication
from chargekey_identity.domain import events
from chargekey_identity.published import publication

ADDED = events.IdentificationAdded(
    user_id="u",
    type="PIN",
    installation_id="home",
    status="ACTIVE",
    valid_until=10,
    code="#1234",
    keyed_id="aa",
)
STORED: tuple[DomainEvent, ...] = (
    events.LocalUserAdded(installation_id="home", first_name="Kari", last_name="N", blocked=True),
    events.UserRenamed(first_name="Kari", last_name="N"),
    events.UserBlocked(installation_id="home"),
    events.UserUnblocked(installation_id="home"),
    ADDED,
    events.IdentificationStatusChanged(user_id="u", status="BLOCKED"),
    events.IdentificationExpiryChanged(user_id="u", valid_until=10),
    events.IdentificationCodeChanged(user_id="u", code="#5678", keyed_id="bb"),
    events.IdentificationRemoved(user_id="u"),
    events.CodeRevealed(user_id="u"),
    events.CodeReserved(user_id="u", identification_id="i"),
    events.CodeReleased(user_id="u", identification_id="i"),
)


def published_form(event: DomainEvent) -> Publication:
    return publication(Record("key", 1, 0, "cause", "actor", event))


def test_every_event_has_a_published_form_of_the_same_name() -> None:
    assert {type(event) for event in STORED} == set(events.EVENTS)
    names = [type(published_form(event).event).__name__ for event in STORED]
    assert names == [type(event).__name__ for event in STORED]
    assert set(names) == {event.__name__ for event in published.EVENTS}


@pytest.mark.parametrize("event", STORED, ids=lambda event: type(event).__name__)
def test_no_published_event_holds_a_personal_field(event: DomainEvent) -> None:
    """R17."""
    told = published_form(event).event
    assert not set(event.personal) & set(told.__struct_fields__)
    for secret in ("Kari", "1234", "5678", "'aa'", "'bb'"):
        assert secret not in repr(told)


def test_a_keyed_id_travels_alone_and_goes_when_the_code_does() -> None:
    """R17."""
    added, _, changed, removed = (
        published_form(event) for event in STORED[4:9] if event != STORED[5]
    )
    assert added.private == [published.IdentificationKey(identification_id="key", keyed_id="aa")]
    assert not added.erased
    assert changed.private == [published.IdentificationKey(identification_id="key", keyed_id="bb")]
    assert changed.erased == removed.erased == ["identity.v1.key.key"]
    assert not removed.private


def test_a_destroyed_keyed_id_is_not_published_again() -> None:
    """R20: erased fields come back empty."""
    erased = events.IdentificationCodeChanged(user_id="u", code="", keyed_id="")
    assert not published_form(erased).private
