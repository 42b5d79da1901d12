"""What the stream is told: everything that happens, and nothing personal."""

from __future__ import annotations

import msgspec
import pytest

from chargekey_common.eventstore.records import DomainEvent, Record
from chargekey_common.published import identity as published
from chargekey_common.published.envelope import Catalogue
from chargekey_common.relay import Publication
from chargekey_common.testing.examples import example
from chargekey_identity.domain import events
from chargekey_identity.published import publication

CATALOGUE = Catalogue(*published.EVENTS)
STORED = tuple(example(event) for event in events.EVENTS)
# What partners call their secrets is theirs, and so is what the secrets hash to.
PRIVATE = {"label", "secret_hash"}


def published_form(event: DomainEvent) -> Publication:
    return publication(Record("key", 1, 0, "cause", "actor", event))


@pytest.mark.parametrize("stored", STORED, ids=lambda event: type(event).__name__)
def test_every_stored_event_is_told_under_its_name_with_all_that_is_not_personal(
    stored: DomainEvent,
) -> None:
    """R17, R20."""
    told = published_form(stored).event
    assert type(told).__name__ == type(stored).__name__
    hidden = {*stored.personal, *PRIVATE}
    fields = set(stored.__struct_fields__) - hidden
    assert {name: getattr(told, name) for name in fields} == {
        name: getattr(stored, name) for name in fields
    }
    assert not hidden & set(told.__struct_fields__)
    assert CATALOGUE.decode(told.subject, msgspec.json.encode(told)) == told


def test_a_keyed_id_travels_alone_and_goes_when_the_code_does() -> None:
    """R17."""
    added = published_form(example(events.IdentificationAdded, keyed_id="aa", alias="cc"))
    changed = published_form(example(events.IdentificationCodeChanged, keyed_id="bb", alias=""))
    removed = published_form(example(events.IdentificationRemoved))
    key = published.IdentificationKey
    assert added.private == [key(identification_id="key", keyed_id="aa", alias="cc")]
    assert not added.erased
    assert changed.private == [key(identification_id="key", keyed_id="bb")]
    assert changed.erased == removed.erased == ["identity.v1.key.key"]
    assert not removed.private


def test_a_destroyed_keyed_id_is_not_published_again() -> None:
    """R20: erased fields come back empty."""
    erased = example(events.IdentificationCodeChanged, code="", keyed_id="", alias="")
    assert not published_form(erased).private
