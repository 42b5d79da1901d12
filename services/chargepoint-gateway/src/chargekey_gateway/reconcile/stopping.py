"""What should not be running any more at a charger, and until when the rest may."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from chargekey_gateway.inputs import grant_here
from chargekey_gateway.sessions.running import RunningSession
from chargekey_gateway.view.entries import NEVER, Charger, Identification, Installation, User


class Rights(Protocol):
    """Who may charge where, as far as stopping goes: the view, as it is or as it would be."""

    @property
    def whole(self) -> bool:
        """Whether what is not there is not on its way."""

    def charger(self, charger_id: str) -> Charger | None:
        """Return the registered charger."""

    def installation(self, installation_id: str) -> Installation:
        """Return the installation."""

    def user(self, user_id: str) -> User | None:
        """Return the user."""

    def identification_by_id(self, identification_id: str) -> Identification | None:
        """Return what is presented."""

    def refuses_type(self, charger: Charger, identification: Identification) -> bool:
        """Whether something must be presented there, and nothing of this type will do."""


def to_stop(sessions: Iterable[RunningSession], view: Rights, at: int) -> Sequence[RunningSession]:
    """Return those that must not go on at `at` (R12).

    Those of blocked users, or begun with what is not ACTIVE any more, where the site's policy
    on blocks is STOP. At an open charger only a block of the whole platform counts: anybody
    else may charge there, so whoever is blocked at the site would just start again. And those
    that began with a permission where it, or what was presented, has ended or is gone, or is
    of a type that is switched off there, and the policy on that is STOP.
    """
    return [
        session
        for session in sessions
        if _is_blocked(session, view) or _right_ends(session, view) <= at
    ]


def next_end(sessions: Iterable[RunningSession], view: Rights, at: int) -> int | None:
    """Return when the next of these must not go on because its right ends, if any does."""
    ends = (_right_ends(session, view) for session in sessions)
    return min((end for end in ends if at < end < NEVER), default=None)


def _is_blocked(session: RunningSession, view: Rights) -> bool:
    user = _user(session, view)
    if user is None or view.installation(session.installation_id).on_block != "STOP":
        return False
    if None in user.blocks:
        return True
    presented = _presented(session, view)
    switched_off = presented is not None and presented.terms.status != "ACTIVE"
    blocked = bool(user.blocks) or session.installation_id in user.blocked_at
    return session.by_permission and (blocked or switched_off)


def _right_ends(session: RunningSession, view: Rights) -> int:
    """Return when a session must end for want of a right: 0 at once, NEVER not at all."""
    user, charger = _user(session, view), view.charger(session.charger_id)
    site = view.installation(session.installation_id)
    if (
        user is None
        or charger is None
        or not session.by_permission
        or site.external  # an operator decides now, and no permission
        or site.on_revoke != "STOP"
        or not view.whole
    ):
        return NEVER
    grant, presented = grant_here(charger, user), _presented(session, view)
    if grant is None or presented is None:
        return 0
    if view.refuses_type(charger, presented):
        return 0
    end = presented.terms.valid_until
    ends = grant.right.ends
    return ends if end is None else min(ends, end)


def _presented(session: RunningSession, view: Rights) -> Identification | None:
    known = session.identification_id
    return None if known is None else view.identification_by_id(known)


def _user(session: RunningSession, view: Rights) -> User | None:
    return None if session.user_id is None else view.user(session.user_id)
