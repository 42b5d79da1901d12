"""Whatever happens in identity, what is told about it to owners holds nothing personal."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chargekey_common.audit.changes import Changes
from chargekey_common.eventstore.records import DomainEvent
from chargekey_common.eventstore.store import Context, EventStore, Work
from chargekey_identity.domain.events import EVENTS
from chargekey_identity.published import publication

# In every personal field, and in what is secret without being anybody's.
MARK = "c0ffee5eed"
SECRET = frozenset({"secret_hash"})
OBJECTS = ("user:u", "installation:i", "user:u/installation:i", "permission:p", "partner:f")
IDS = {"user_id": "u", "installation_id": "i", "permission_id": "p", "partner_id": "f"}


def an_event(event: type[DomainEvent], draw: st.DataObject) -> DomainEvent:
    hints = get_type_hints(event)
    fields = {
        name: MARK
        if name in event.personal or name in SECRET
        else IDS.get(name) or draw.draw(_values(hints[name]), label=name)
        for name in event.__struct_fields__
    }
    return msgspec.convert(fields, event)


def _values(hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is tuple:
        return st.lists(_values(get_args(hint)[0]), max_size=3)
    if type(None) in get_args(hint):
        [rest] = [each for each in get_args(hint) if each is not type(None)]
        return st.none() | _values(rest)
    known: dict[Any, st.SearchStrategy[Any]] = {
        str: st.sampled_from(["one", "two"]),
        int: st.integers(0, 10**18),
        bool: st.booleans(),
    }
    return known[hint]


def test_no_personal_value_can_appear(store: EventStore) -> None:
    """A property: any events in any order, with a mark wherever something is personal."""
    told: list[str] = []

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def property_(draw: st.DataObject) -> None:
        events = [an_event(each, draw) for each in draw.draw(st.permutations(EVENTS))]

        def decide(work: Work) -> None:
            for event in events:
                key = draw.draw(st.sampled_from(["u", "a", "b"]))
                work.record(work.load(lambda _, e: e, key), event)

        store.execute("tell", type(None), Context("user:x", f"c{store.end()}"), decide)
        changes = Changes(store, publication)
        found = [change for obj in OBJECTS for change in changes.of(obj, 1000)]
        assert found
        told.extend(each.event for each in found)
        assert MARK not in repr(found)

    property_()
    assert {each.__name__ for each in EVENTS} == set(told)


def test_the_mark_is_in_what_is_kept_and_never_in_a_file(store: EventStore, tmp_path: Path) -> None:
    """So the property above looks for something that is there."""
    [event] = [each for each in EVENTS if each.__name__ == "LocalUserAdded"]
    added = msgspec.convert(
        {"installation_id": "i", "first_name": MARK, "last_name": MARK, "blocked": False}, event
    )

    def decide(work: Work) -> None:
        work.record(work.load(lambda _, e: e, "u"), added)

    store.execute("tell", type(None), Context("user:x", "c"), decide)
    assert store.records("u")[0].event.first_name == MARK
    assert Changes(store, publication).of("user:u", 1)[0].fields == {
        "installation_id": "i",
        "blocked": "false",
    }
    assert all(MARK.encode() not in each.read_bytes() for each in tmp_path.iterdir())
