"""Who is told what: given these events, when this one, then those are told."""

from __future__ import annotations

import msgspec
import pytest

from chargekey_common.published import access, chargers, feed, identity, sessions
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.published.feed import moment
from chargekey_notifier.feeds.scopes import LONGEST_WAIT

from .story import (
    ADA,
    BOB,
    HOME,
    LEFT,
    NOON,
    RIGHT,
    SECOND,
    VOLT,
    WATT,
    WORK,
    Story,
    added,
    card,
    created,
    ended,
    events,
    given,
    holds,
    left,
    moved,
    names,
    online,
    refused,
    started,
    status,
    taken,
)

SEEN_BY_OWNERS = [
    "PermissionGranted",
    "IdentificationAdded",
    "UserBlocked",
    "SessionStarted",
    "AuthorizationRefused",
]
SETTINGS = ["AuthorisationRequiredSet", "AuthenticationTypeSet", "PoliciesSet"]


def blocked(user: str = ADA, site: str | None = None) -> PublishedEvent:
    return identity.UserBlocked(user_id=user, installation_id=site)


def test_a_new_feed_starts_with_all_that_is_so() -> None:
    """F1."""
    story = Story(
        created(),
        created(WORK),
        added(),
        added(RIGHT),
        added("else", WORK),
        online(),
        status(),
        online("else", WORK),
        holds(),
        holds(BOB, WORK),
        card(),
        card(BOB),
        blocked(),
        started(),
    )
    assert story.told == []
    told = story.then(given())
    assert names(told) == [
        "AccessStarted",
        *SETTINGS,
        "ChargerAdded",
        "ChargerConnected",
        "ConnectorStatusChanged",
        "ChargerAdded",
        "PermissionGranted",
        "IdentificationAdded",
        "UserBlocked",
        "SessionStarted",
    ]
    assert told[0].id == f"event-{story.count}"
    assert len({each.id for each in told}) == len(told)
    assert {each.at for each in told} == {story.at}
    assert not any(each in repr(told) for each in ("work", BOB, "else"))


def test_the_same_story_has_the_same_ids() -> None:
    """F1."""
    first, second = (Story(created(), added(), holds(), card(), given()) for _ in range(2))
    assert first.told == second.told


@pytest.mark.parametrize(
    ("role", "sees"),
    [
        ("USER", []),
        ("SERVICE", ["PermissionGranted", "AuthorizationRefused"]),
        (
            "OWNER",
            SEEN_BY_OWNERS,
        ),
        (
            "OPERATOR",
            SEEN_BY_OWNERS,
        ),
    ],
)
def test_a_role_sees_what_it_needs(role: access.Role, sees: list[str]) -> None:
    """F2."""
    happening = [holds(), card(), blocked(), started(), refused()]
    story = Story(created(), added(), given(VOLT, role))
    assert names(story.then(online(), *happening)) == ["ChargerConnected", *sees]
    # The same at once, for whoever comes later.
    later = Story(created(), added(), online(), *happening)
    at_once = names(later.then(given(VOLT, role)))
    assert at_once == [
        "AccessStarted",
        *SETTINGS,
        "ChargerAdded",
        "ChargerConnected",
        *(each for each in sees if each != "AuthorizationRefused"),
    ]


def test_settings_are_told_as_they_change() -> None:
    """F2."""
    story = Story(created(), added(), given(VOLT, "USER"), given(WATT, "USER", charger=LEFT))
    changes: list[PublishedEvent] = [
        access.AuthorisationRequiredSet(installation_id=HOME, authorisation_required=False),
        access.AuthenticationTypeSet(installation_id=HOME, authentication_type="EXTERNAL"),
        access.PoliciesSet(
            installation_id=HOME,
            on_block="FINISH",
            on_revoke="STOP",
            on_operator_timeout="LAST_KNOWN",
            pin_length=4,
        ),
        access.OverridesAllowedSet(installation_id=HOME, overrides_allowed=True),
        access.AuthorisationOverrideSet(
            installation_id=HOME, charger_id=LEFT, authorisation_override="REQUIRED"
        ),
        access.IdentificationTypesSet(
            installation_id=HOME, charger_id=LEFT, identification_types=("PIN",)
        ),
        chargers.ChargerDisconnected(installation_id=HOME, charger_id=LEFT),
    ]
    told = story.then(*changes)
    assert (
        events(told)
        == events(told, WATT)
        == [
            feed.AuthorisationRequiredSet(installation_id=HOME, authorisation_required=False),
            feed.AuthenticationTypeSet(installation_id=HOME, authentication_type="EXTERNAL"),
            feed.PoliciesSet(
                installation_id=HOME,
                on_block="FINISH",
                on_revoke="STOP",
                on_operator_timeout="LAST_KNOWN",
            ),
            feed.OverridesAllowedSet(installation_id=HOME, overrides_allowed=True),
            feed.AuthorisationOverrideSet(
                installation_id=HOME, charger_id=LEFT, authorisation_override="REQUIRED"
            ),
            feed.IdentificationTypesSet(
                installation_id=HOME, charger_id=LEFT, identification_types=("PIN",)
            ),
            feed.ChargerDisconnected(installation_id=HOME, charger_id=LEFT),
        ]
    )
    at_once = events(story.then(given("third", "USER")), "third")
    assert at_once[1:] == [
        *events(told)[:3],
        feed.ChargerAdded(
            installation_id=HOME,
            charger_id=LEFT,
            ocpp_identity="LEFT",
            authorisation_override="REQUIRED",
            identification_types=("PIN",),
        ),
    ]


def test_who_manages_is_told_to_that_operator_alone() -> None:
    """F2."""
    story = Story(created(), given(WATT, "SERVICE"))
    told = story.then(access.OperatorConnected(installation_id=HOME, partner_id=VOLT), given())
    assert names(told) == ["AccessStarted", *SETTINGS, "OperatorConnected", "OverridesAllowedSet"]
    assert names(told, WATT) == ["OverridesAllowedSet"]
    elsewhere = Story(created(), access.OperatorConnected(installation_id=HOME, partner_id=VOLT))
    gone = access.OperatorDisconnected(installation_id=HOME, partner_id=VOLT)
    assert elsewhere.then(gone) == [], "to which nothing was told yet"
    story.then(given(VOLT, "SERVICE", changed=True))
    told = story.then(gone)
    assert names(told) == ["OperatorDisconnected", "OverridesAllowedSet"]
    assert names(told, WATT) == ["OverridesAllowedSet"]


def test_an_operator_that_comes_or_goes_changes_whether_chargers_deviate() -> None:
    """F2: for everybody who has access, and for itself where it had it before."""
    story = Story(created(), added(), given(VOLT, "SERVICE"), given(WATT, "USER", charger=LEFT))
    told = story.then(access.OperatorConnected(installation_id=HOME, partner_id=VOLT))
    suspended = feed.OverridesAllowedSet(installation_id=HOME, overrides_allowed=False)
    assert events(told) == [feed.OperatorConnected(installation_id=HOME), suspended]
    assert events(told, WATT) == [suspended]
    assert len({each.id for each in told if each.partner_id == VOLT}) == len(events(told))
    told = story.then(taken(VOLT))
    assert names(told) == ["OperatorDisconnected", "AccessEnded"]
    assert names(told, WATT) == [], "the site closes first"
    told = story.then(access.OperatorDisconnected(installation_id=HOME, partner_id=VOLT))
    again = feed.OverridesAllowedSet(installation_id=HOME, overrides_allowed=True)
    assert events(told, WATT) == [again]
    assert names(told) == []


def test_site_and_charger_together_tell_each_event_once() -> None:
    """F3."""
    story = Story(created(), added(), holds(), card(), given(VOLT, "OPERATOR"))
    told = story.then(given(VOLT, "OWNER", charger=LEFT))
    assert names(told) == ["AccessStarted"], "the rest is known"
    assert names(story.then(online(), started(), ended())) == [
        "ChargerConnected",
        "SessionStarted",
        "SessionEnded",
    ]
    assert names(story.then(taken(VOLT))) == ["AccessEnded"]
    assert names(story.then(status())) == ["ConnectorStatusChanged"], "by the charger alone"
    assert names(story.then(taken(VOLT, charger=LEFT), status())) == ["AccessEnded"]


def test_access_to_a_charger_shows_nothing_of_the_others() -> None:
    """F3."""
    story = Story(
        created(), added(), added(RIGHT), holds(), card(), holds(BOB, charger=LEFT), card(BOB)
    )
    told = story.then(given(VOLT, "OWNER", charger=LEFT))
    assert names(told) == [
        "AccessStarted",
        *SETTINGS,
        "ChargerAdded",
        "PermissionGranted",
        "IdentificationAdded",
    ]
    assert not any("ada" in repr(each) or "right" in repr(each) for each in told)
    assert story.then(online(RIGHT), started("r", RIGHT), holds("eve"), card(ADA, name="two")) == []


def test_other_roles_show_what_they_let_see() -> None:
    """F2."""
    story = Story(created(), added(), holds(), card(), given(VOLT, "USER"))
    told = story.then(given(VOLT, "USER", "SERVICE", changed=True))
    assert names(told) == ["AccessChanged", "PermissionGranted"]
    told = story.then(given(VOLT, "OPERATOR", changed=True))
    assert names(told) == ["AccessChanged", "IdentificationAdded"]
    assert (
        names(story.then(given(VOLT, "OPERATOR", until=story.at + 9 * SECOND, changed=True))) == []
    )
    assert names(story.then(started())) == ["SessionStarted"]
    assert names(story.then(given(VOLT, "SERVICE", changed=True))) == ["AccessChanged"]
    told = story.then(started("t"), card(ADA, name="two"), ended(), ended("t"))
    assert names(told) == ["SessionEnded"], "of the one that it has seen begin"


def test_access_ends_at_once_where_nothing_runs() -> None:
    """F6."""
    story = Story(created(), added(), given(), started(), ended())
    told = story.then(taken())
    assert [(each.id, each.event) for each in told] == [
        (f"event-{story.count}", feed.AccessEnded(installation_id=HOME))
    ]
    assert story.then(online(), started(), ended(), holds(), card(), taken()) == []


def test_sessions_that_run_when_access_is_taken_are_told_to_their_end() -> None:
    """F6, R9."""
    story = Story(
        created(),
        added(),
        added(RIGHT),
        access.OperatorConnected(installation_id=HOME, partner_id=VOLT),
        given(),
        started("s"),
        started("t", RIGHT),
    )
    told = story.then(
        taken(),
        access.AuthorisationRequiredSet(installation_id=HOME, authorisation_required=True),
        access.OperatorDisconnected(installation_id=HOME, partner_id=VOLT),
    )
    assert names(told) == ["OperatorDisconnected"]
    revoked = f"event-{story.count - 2}"
    assert story.then(online(), started("u"), holds()) == []
    assert names(story.then(ended("u"), ended("s"))) == ["SessionEnded"]
    told = story.then(ended("t", RIGHT))
    assert names(told) == ["SessionEnded", "AccessEnded"]
    assert told[1].id == revoked
    assert story.then(ended("t", RIGHT)) == []


def test_an_end_that_nobody_tells_keeps_no_access_open() -> None:
    """F6."""
    story = Story(created(), added(), given(), started(), taken())
    taken_at = story.at
    assert story.scopes.expire(taken_at + LONGEST_WAIT - 1) == []
    assert names(story.scopes.expire(taken_at + LONGEST_WAIT)) == ["AccessEnded"]


def test_access_that_is_given_again_begins_again() -> None:
    """F6."""
    story = Story(created(), added(), given(), started(), taken())
    told = story.then(given())
    assert names(told)[:2] == ["AccessEnded", "AccessStarted"]
    assert names(told)[-1] == "SessionStarted"
    assert len({each.id for each in story.told}) == len(story.told)


def test_access_ends_by_itself() -> None:
    """F6."""
    until = NOON + 100 * SECOND
    story = Story(created(), added(), given(until=until))
    assert not story.scopes.ends_by(until - 1)
    assert story.scopes.expire(until - 1) == []
    [told] = story.scopes.expire(until + 5)
    assert (told.at, told.event) == (until, feed.AccessEnded(installation_id=HOME))


def test_what_happens_after_the_end_ends_it_first() -> None:
    """F6: of streams that are read late."""
    story = Story(created(), added(), given(until=NOON + 4 * SECOND))
    assert names(story.then(online())) == ["AccessEnded"]
    late = Story(created(), given(until=NOON))
    assert late.told == []
    longer = late.then(given(until=NOON + 100 * SECOND, changed=True))
    assert names(longer)[0] == "AccessStarted"
    assert names(late.then(given(until=NOON, changed=True))) == ["AccessEnded"]


def test_a_moved_charger_takes_nothing_along() -> None:
    """F7, R11."""
    story = Story(
        created(),
        created(WORK),
        added(),
        status(),
        holds(charger=LEFT),
        given(),
        given(WATT, site=WORK),
        given("both"),
        given("both", site=WORK),
    )
    told = story.then(left(charger=LEFT), moved())
    home, work, both = (events(told, each) for each in (VOLT, WATT, "both"))
    assert home[1:] == [feed.ChargerMoved(charger_id=LEFT, from_installation_id=HOME)]
    assert work == [
        feed.ChargerMoved(charger_id=LEFT, installation_id=WORK),
        feed.ChargerAdded(
            installation_id=WORK,
            charger_id=LEFT,
            ocpp_identity="LEFT",
            authorisation_override="INHERIT",
            identification_types=("RFID", "PIN"),
        ),
        feed.ConnectorStatusChanged(
            installation_id=WORK,
            charger_id=LEFT,
            connector=1,
            status="Available",
            error_code="NoError",
        ),
    ]
    assert both[1:] == [
        feed.ChargerMoved(charger_id=LEFT, installation_id=WORK, from_installation_id=HOME)
    ]
    assert names(story.then(online(site=WORK))) == []
    assert "ChargerAdded" not in names(story.then(given("later")), "later")
    assert "ChargerAdded" in names(story.then(given("later", site=WORK)), "later")


def test_what_a_user_presents_is_told_with_his_first_permission() -> None:
    """F8."""
    story = Story(
        created(), created(WORK), added(), card(), card(site=WORK, name="pin"), blocked(), given()
    )
    assert names(story.then(holds())) == ["PermissionGranted", "IdentificationAdded", "UserBlocked"]
    assert names(story.then(holds(charger=LEFT))) == ["PermissionGranted"], "the rest is known"
    assert names(story.then(card(site=WORK, name="other pin"))) == []
    told = story.then(
        identity.IdentificationStatusChanged(
            user_id=ADA, identification_id="card-of-ada", status="BLOCKED"
        ),
        identity.IdentificationExpiryChanged(
            user_id=ADA, identification_id="card-of-ada", valid_until=NOON
        ),
        identity.IdentificationCodeChanged(user_id=ADA, identification_id="card-of-ada"),
        identity.IdentificationCodeChanged(user_id=ADA, identification_id="pin-of-ada"),
        identity.IdentificationRemoved(user_id=ADA, identification_id="card-of-ada"),
        identity.IdentificationRemoved(user_id=ADA, identification_id="pin-of-ada"),
        identity.UserUnblocked(user_id=ADA),
        access.UserBlockedAtInstallation(installation_id=HOME, user_id=ADA),
        access.UserUnblockedAtInstallation(installation_id=HOME, user_id=ADA),
        access.UserBlockedAtInstallation(installation_id=WORK, user_id=ADA),
        left(),
        card(name="new"),
    )
    assert events(told) == [
        feed.IdentificationStatusChanged(
            user_id=ADA, identification_id="card-of-ada", status="BLOCKED"
        ),
        feed.IdentificationExpiryChanged(
            user_id=ADA, identification_id="card-of-ada", valid_until=moment(NOON)
        ),
        feed.IdentificationCodeChanged(user_id=ADA, identification_id="card-of-ada"),
        feed.IdentificationRemoved(user_id=ADA, identification_id="card-of-ada"),
        feed.UserUnblocked(user_id=ADA),
        feed.UserBlockedAtInstallation(installation_id=HOME, user_id=ADA),
        feed.UserUnblockedAtInstallation(installation_id=HOME, user_id=ADA),
        feed.PermissionRevoked(installation_id=HOME, permission_id="ada-home", user_id=ADA),
        feed.IdentificationAdded(
            identification_id="new-of-ada", user_id=ADA, type="RFID", status="ACTIVE"
        ),
    ], "still a user there, by the charger"
    assert names(story.then(left(charger=LEFT), card(name="newer"))) == ["PermissionRevoked"]


def test_an_erasure_is_told_to_whoever_was_told_of_the_user() -> None:
    """F8, R20."""
    story = Story(created(), holds(), card(), given(), given(WATT, "SERVICE"), given("new", "USER"))
    story.then(taken(WATT), left())
    told = story.then(identity.UserErased(user_id=ADA))
    assert events(told) == events(told, WATT) == [feed.UserErased(user_id=ADA)]
    assert names(told, "new") == []
    assert story.then(identity.UserErased(user_id=ADA)) == []
    assert story.memory.identifications.where("user_id", ADA) == []


def test_decisions_are_told_to_who_made_them_as_theirs() -> None:
    """F2."""
    story = Story(
        created(),
        added(),
        access.OperatorConnected(installation_id=HOME, partner_id=VOLT),
        given(),
        given(WATT, "OWNER"),
    )
    yes = sessions.OperatorAnswer(status="ALLOWED", reference="volt-7")
    told = story.then(started(user=None, operator_answer=yes))
    [by_volt], [by_watt] = events(told), events(told, WATT)
    assert isinstance(by_volt, feed.SessionStarted)
    assert isinstance(by_watt, feed.SessionStarted)
    assert by_volt.authorization_reference == "volt-7"
    assert by_watt.authorization_reference is None
    assert (by_volt.by_operator, by_watt.by_operator) == (True, False)
    before = sessions.OperatorAnswer(status="ALLOWED", last_known=True)
    [unasked] = events(story.then(started("unasked", user=None, operator_answer=before)))
    assert isinstance(unasked, feed.SessionStarted)
    assert not unasked.by_operator
    no = sessions.OperatorAnswer(status="BLOCKED")
    old = sessions.OperatorAnswer(status="BLOCKED", last_known=True)
    silent = sessions.OperatorAnswer(status="UNREACHABLE")
    told = story.then(*(refused(operator_answer=each) for each in (no, old, silent)), refused())
    by = {
        partner: [getattr(each, "by_operator", None) for each in events(told, partner)]
        for partner in (VOLT, WATT)
    }
    assert by == {VOLT: [True, False, False, False], WATT: [False] * 4}


def test_a_meter_that_nobody_read_is_told_as_none() -> None:
    """F2."""
    event = started()
    assert isinstance(event, sessions.SessionStarted)
    story = Story(created(), added(), given())
    [told] = events(story.then(msgspec.structs.replace(event, meter_unknown=True, meter_start=0)))
    assert isinstance(told, feed.SessionStarted)
    assert told.meter_start is None
    assert told.started_at == moment(NOON)


def test_what_is_told_again_is_told_to_nobody_who_came_later() -> None:
    """F5: a stream that lost its end is read from its beginning."""
    story = Story(created(), added(), given())
    since = story.at
    story.at -= 2 * SECOND
    assert story.then(started(), again=True) == []
    story.at = since
    assert names(story.then(ended(), again=True)) == ["SessionEnded"]
