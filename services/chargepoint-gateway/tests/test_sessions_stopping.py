"""Which session a stop means and who may end it; pure."""

from __future__ import annotations

import pytest

from chargekey_gateway.sessions.running import RunningSession
from chargekey_gateway.sessions.stopping import match_open, may_stop
from chargekey_gateway.view.entries import NEVER, Identification, Terms, User

ADA, BOB = User("ada"), User("bob")


def identification(name: str, user: User, group_id: str | None = None) -> Identification:
    return Identification(name, user, Terms("RFID", "ACTIVE", None, NEVER, group_id=group_id))


def session(
    number: int,
    *,
    user: str | None = "ada",
    card: str | None = "card",
    group_id: str | None = None,
    started_at: int = 10,
) -> RunningSession:
    return RunningSession(
        number,
        f"s{number}",
        "charger",
        "site",
        number,
        user,
        card,
        group_id,
        started_at,
        by_permission=True,
        holds_lock=True,
        sequence=number,
    )


ADAS, ADAS_OTHER = identification("card", ADA), identification("pin", ADA)
BOBS = identification("bobs", BOB)


@pytest.mark.parametrize(
    ("presented", "allowed"),
    [(ADAS, True), (ADAS_OTHER, True), (BOBS, False), (None, True)],
)
def test_who_began_a_session_may_end_it_with_whatever_he_has(
    presented: Identification | None, allowed: bool
) -> None:
    """R22."""
    assert may_stop(session(1), presented) is allowed


def test_cards_of_one_group_end_each_others_sessions() -> None:
    """R22."""
    fleet = session(1, group_id="fleet")
    assert may_stop(fleet, identification("bobs", BOB, "fleet"))
    assert not may_stop(fleet, identification("bobs", BOB, "another"))
    assert not may_stop(fleet, BOBS)
    assert not may_stop(session(1), BOBS)


def test_an_anonymous_session_is_anyones_at_the_charger() -> None:
    """R22."""
    assert may_stop(session(1, user=None, card=None), BOBS)


def test_the_only_open_session_is_meant() -> None:
    assert match_open([session(1)], None, ended_at=20) == session(1)
    assert match_open([], ADAS, ended_at=20) is None


def test_among_several_the_one_of_the_token_is_meant() -> None:
    several = [session(1), session(2, user="bob", card="bobs")]
    assert match_open(several, BOBS, ended_at=20) == several[1]
    assert match_open(several, None, ended_at=20) is None
    assert match_open([*several, session(3)], ADAS, ended_at=20) is None


def test_a_session_that_began_later_is_not_meant() -> None:
    """The stop of an earlier one, sent again, must not end the next."""
    assert match_open([session(1, started_at=30)], ADAS, ended_at=20) is None
