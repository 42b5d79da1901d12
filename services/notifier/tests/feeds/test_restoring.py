"""A restored service: given what was so, and what is so by it, then this is told."""

from __future__ import annotations

from chargekey_common.published import access, feed
from chargekey_common.published.envelope import PublishedEvent
from chargekey_notifier.feeds.restoring import restored
from chargekey_notifier.feeds.scopes import Happened, Scopes
from chargekey_notifier.feeds.store import Telling

from .story import (
    ADA,
    HOME,
    LEFT,
    NOON,
    SECOND,
    VOLT,
    WATT,
    Story,
    added,
    card,
    created,
    ended,
    events,
    given,
    holds,
    names,
    started,
    taken,
)

NOW = NOON + 1000 * SECOND


def by(story: Story, stream: str, *heard: PublishedEvent) -> tuple[Story, list[Telling]]:
    """Return the story as it goes on by what a service tells of itself, and what is told."""
    memory = story.memory.without(stream)
    silent = Scopes(memory)
    for number, event in enumerate(heard):
        silent.apply(Happened(f"again-{number}", NOON + number * SECOND, event))
    told = restored(story.memory, memory, cause="b2", at=NOW)
    after = Story()
    after.memory, after.scopes, after.at = memory, Scopes(memory), NOW
    return after, list(told)


def test_what_is_the_same_is_not_told() -> None:
    """F5."""
    story = [created(), added(), holds(), given(), given(WATT), taken(WATT)]
    assert by(Story(*story, card(), started()), "ACCESS", *story)[1] == []


def test_access_that_is_gone_by_it_is_told_to_its_sessions_end() -> None:
    """F5, F6."""
    story = Story(created(), added(), given(), started())
    after, told = by(story, "ACCESS", created(), added())
    assert told == []
    assert names(after.then(ended())) == ["SessionEnded", "AccessEnded"]


def test_access_that_was_being_taken_is_taken_or_begins_again() -> None:
    """F5, F6."""
    story = [created(), added(), given(), started(), taken()]
    stores = [each for each in story if each.stream == "access"]
    after, told = by(Story(*story), "ACCESS", *stores)
    assert told == []
    assert names(after.then(ended())) == ["SessionEnded", "AccessEnded"]
    _, told = by(Story(*story), "ACCESS", *stores[:-1])
    assert names(told)[:2] == ["AccessEnded", "AccessStarted"]
    assert names(told)[-1] == "SessionStarted"


def test_access_that_was_taken_long_ago_stays_so() -> None:
    """F5: whatever runs there by now."""
    story = [created(), added(), given(), taken()]
    after, told = by(Story(*story, started()), "ACCESS", *story)
    assert told == []
    assert list(after.memory.scopes) == []


def test_access_goes_on_as_of_when_it_began() -> None:
    """F5: sessions that are told again are told to it, as before."""
    story = Story(created(), added(), given())
    [scope] = story.memory.scopes
    after, _ = by(story, "ACCESS", created(), created("x"), created("y"), added(), given())
    assert list(after.memory.scopes) == [scope]


def test_an_operator_that_never_came_lets_chargers_deviate() -> None:
    """F5."""
    before = [created(), given(VOLT, "SERVICE"), given(WATT, "SERVICE")]
    story = Story(*before, access.OperatorConnected(installation_id=HOME, partner_id=VOLT))
    _, told = by(story, "ACCESS", *before)
    again = feed.OverridesAllowedSet(installation_id=HOME, overrides_allowed=True)
    assert events(told) == [feed.OperatorDisconnected(installation_id=HOME), again]
    assert events(told, WATT) == [again]


def test_people_are_as_identity_says() -> None:
    """F5."""
    story = Story(created(), holds(), card(), card(name="new"), given())
    _, told = by(story, "IDENTITY", card())
    assert events(told) == [feed.IdentificationRemoved(identification_id="new-of-ada", user_id=ADA)]
    _, told = by(story, "ACCESS", created(), added(), given())
    assert events(told) == [
        feed.PermissionRevoked(installation_id=HOME, permission_id="ada-home", user_id=ADA),
        feed.ChargerAdded(
            installation_id=HOME,
            charger_id=LEFT,
            ocpp_identity="LEFT",
            authorisation_override="INHERIT",
            identification_types=("RFID", "PIN"),
        ),
    ], "nothing of what he presents, whom it does not know any more"
    assert {each.partner_id for each in told} == {VOLT}
