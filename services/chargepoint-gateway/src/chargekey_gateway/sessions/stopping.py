"""Which session is over: by whose StopTransaction, or by what the charger does next."""

from __future__ import annotations

from collections.abc import Sequence

from chargekey_gateway.sessions.batches import Start
from chargekey_gateway.sessions.keys import session_id
from chargekey_gateway.sessions.running import RunningSession
from chargekey_gateway.view.entries import Identification


def match_open(
    sessions: Sequence[RunningSession], presented: Identification | None, ended_at: int
) -> RunningSession | None:
    """Find the session of a stop that carries no id (OCPP 1.6: -1, the id was never received).

    The charger's only one that had begun by then, else the only one of the
    identification or user that stops it; None rather than a guess.
    """
    begun = [session for session in sessions if session.started_at <= ended_at]
    if len(begun) > 1 and presented is not None:
        begun = [session for session in begun if may_stop(session, presented)]
    return begun[0] if len(begun) == 1 else None


def superseded(sessions: Sequence[RunningSession], start: Start) -> Sequence[RunningSession]:
    """Find the charger's sessions that this start proves to be over: earlier ones there.

    A connector carries one transaction at a time (OCPP 1.6 §3.7), so the charger has
    ended the earlier one and its stop is lost, or the charger has forgotten it. The
    same start sent again proves nothing.
    """
    return [
        session
        for session in sessions
        # A charger of OCPP 2.x need not say where: then nothing is proven.
        if session.connector == start.connector != 0
        and session.started_at < start.started_at
        and session.session_id != session_id(start.key)
    ]


def may_stop(session: RunningSession, presented: Identification | None) -> bool:
    """Whether this identification may end the session: it, its user or group began it (R22).

    A stop without a token is the charger's own; an anonymous session is anyone's at
    the charger.
    """
    if presented is None or session.identification_id is None:
        return True
    if session.group_id is not None and session.group_id == presented.terms.group_id:
        return True
    return session.identification_id == presented.id or session.user_id == presented.user.id
