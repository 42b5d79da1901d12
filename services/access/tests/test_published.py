"""What the stream is told: everything that happens, under its own name."""

from __future__ import annotations

import msgspec
import pytest

from chargekey_access.domain.events import EVENTS
from chargekey_access.published import publication
from chargekey_common.eventstore.records import DomainEvent, Record
from chargekey_common.published import access as published
from chargekey_common.published.envelope import Catalogue
from chargekey_common.testing.examples import example

CATALOGUE = Catalogue(*published.EVENTS)
# Nobody outside finds a partner by its key, or needs to know that a user is local or where
# a secret is kept; whoever may know where a site is asks for it.
ADDRESS = {"address", "postal_code", "city", "country", "latitude", "longitude"}
# Fetched with the secret by whoever asks there.
ENDPOINT = {"secret_id", "parties"}
PRIVATE = {"password_hash", "lookup_key", "local", *ADDRESS, *ENDPOINT}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_every_stored_event_is_told_under_its_name_with_all_that_is_not_private(
    event: type[DomainEvent],
) -> None:
    stored = example(event)
    told = publication(Record("key", 1, 0, "cause", "actor", stored)).event
    assert type(told).__name__ == event.__name__
    fields = set(stored.__struct_fields__) - PRIVATE
    assert {name: getattr(told, name) for name in fields} == {
        name: getattr(stored, name) for name in fields
    }
    assert not PRIVATE & set(told.__struct_fields__)
    assert CATALOGUE.decode(told.subject, msgspec.json.encode(told)) == told
