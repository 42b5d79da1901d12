"""One name per fact, from the stored event to whoever reacts to it, and to partners' programs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import import_module
from inspect import signature
from pathlib import Path
from pkgutil import iter_modules, walk_packages
from typing import cast

import msgspec
import pytest
from google.protobuf.descriptor import FileDescriptor

import chargekey
from chargekey_access.domain import events as access_events
from chargekey_access.domain.rules import RULES
from chargekey_common.published import access, chargers, feed, identity, sessions
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.reactions import On
from chargekey_identity.api.access import ON_LOCAL_USER_ADDED
from chargekey_identity.domain import events as identity_events
from chargekey_stack.events import EVENTS as SHOWN

REACTING = ("access", "identity", "notifier")
ROOT = Path(__file__).parents[2]
SERVICES = ROOT / "services"
PUBLISHED = {"ACCESS": access, "IDENTITY": identity, "SESSIONS": sessions, "CHARGERS": chargers}
# What readers alone are told, on subjects of their own.
PRIVATE = {access.ChargerCredential, identity.IdentificationKey}
ONLY_IN_FEEDS = {"AccessStarted", "AccessChanged", "AccessEnded"}
# Who publishes what by name in its README; access publishes its domain's events, all of them.
TOLD_IN = {
    "IDENTITY": "identity",
    "SESSIONS": "chargepoint-gateway",
    "CHARGERS": "chargepoint-gateway",
}


def contracts() -> Iterator[FileDescriptor]:
    """Yield what every .proto file declares."""
    for module in walk_packages(chargekey.__path__, "chargekey."):
        if module.name.endswith("_pb2"):
            yield import_module(module.name).DESCRIPTOR


def reactions() -> Iterator[tuple[str, str, On]]:
    """Yield each reaction's service and module with what it declares."""
    for service in REACTING:
        package = import_module(f"chargekey_{service}.reactions")
        for module in iter_modules(package.__path__):
            if module.name == "mailing":  # no reaction: the list of those that leave mails
                continue
            declare = getattr(import_module(f"{package.__name__}.{module.name}"), module.name)
            # What it acts on, and asks, comes later.
            nothing = [None] * len(signature(declare).parameters)
            yield service, module.name, cast("On", declare(*nothing))


@pytest.mark.parametrize(
    ("stored", "published"),
    [(access_events.EVENTS, access.EVENTS), (identity_events.EVENTS, identity.EVENTS)],
    ids=["access", "identity"],
)
def test_an_event_is_stored_and_published_under_the_same_name(
    stored: tuple[type, ...], published: tuple[type, ...]
) -> None:
    assert {event.__name__ for event in stored} == {event.__name__ for event in published}


@pytest.mark.parametrize("stream", PUBLISHED)
def test_every_event_of_a_stream_is_in_its_catalogue_and_shown_under_its_name(stream: str) -> None:
    """By `chargekey events`, which shows what it knows."""
    module = PUBLISHED[stream]
    declared = {
        each
        for name, each in vars(module).items()
        if isinstance(each, type)
        and issubclass(each, PublishedEvent)
        and each.__module__ == module.__name__
        and not name.startswith("_")
    }
    assert set(module.EVENTS) == declared - PRIVATE == set(SHOWN[stream])
    assert len({event.__name__ for event in module.EVENTS}) == len(module.EVENTS)
    for event in module.EVENTS:
        prefix, _, name = event.subject_filter().rpartition(".")
        assert (prefix.split(".")[0], name) == (stream.lower(), event.__name__)


@pytest.mark.parametrize(("stream", "service"), TOLD_IN.items())
def test_who_publishes_an_event_says_so_by_its_name(stream: str, service: str) -> None:
    words = set(re.findall(r"\w+", (SERVICES / service / "README.md").read_text("utf-8")))
    assert {event.__name__ for event in SHOWN[stream]} <= words


@pytest.mark.parametrize(("service", "module", "on"), list(reactions()))
def test_a_reaction_is_called_after_its_event(service: str, module: str, on: On) -> None:
    event = re.sub(r"(?<!^)(?=[A-Z])", "_", on.event.__name__).lower()
    assert module == f"on_{event}"
    assert on.name(service) == f"{service}-{module.replace('_', '-')}"


def test_the_reaction_that_adding_a_user_waits_for_is_called_so() -> None:
    assert ON_LOCAL_USER_ADDED in {on.name(service) for service, _, on in reactions()}


def test_the_table_of_who_may_do_what_has_every_method_and_nothing_else() -> None:
    methods = {
        f"{described.package.split('.')[1]}.{method}"
        for described in contracts()
        for service in described.services_by_name.values()
        for method in service.methods_by_name
    }
    assert set(RULES) == methods


def test_what_feeds_tell_has_one_name_in_catalogue_envelope_contract_and_example() -> None:
    """Class = CloudEvents type = AsyncAPI message = its schema = its example."""
    declared = {
        each.__name__
        for name, each in vars(feed).items()
        if isinstance(each, type)
        and issubclass(each, feed.FeedEvent)
        and each is not feed.FeedEvent
        and not name.startswith("_")
    }
    names = [event.__name__ for event in feed.EVENTS]
    assert sorted(names) == sorted(declared)
    contract = json.loads((ROOT / "docs" / "api" / "asyncapi.json").read_bytes())
    schemas, messages = (contract["components"][each] for each in ("schemas", "messages"))
    assert {name for name in messages if name in schemas} == declared
    for event in feed.EVENTS:
        name, message = event.__name__, messages[event.__name__]
        assert event.cloudevents_type() == f"chargekey.feed.v1.{name}"
        properties = message["payload"]["properties"]
        assert message["name"] == name
        assert properties["type"] == {"const": event.cloudevents_type()}
        assert properties["data"] == {"$ref": f"#/components/schemas/{name}"}
        [example] = message["examples"]
        assert example["payload"]["type"] == event.cloudevents_type()
        msgspec.convert(example["payload"]["data"], event)


def test_what_feeds_tell_of_a_published_fact_is_called_like_it() -> None:
    """What only a feed tells is how access begins, changes and ends."""
    published = {event.__name__ for module in PUBLISHED.values() for event in module.EVENTS}
    assert {event.__name__ for event in feed.EVENTS} - published == ONLY_IN_FEEDS
