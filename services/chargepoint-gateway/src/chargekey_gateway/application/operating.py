"""What a payment operator does at the sites that it manages, from its own back end."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from chargekey_common.keyed_ids import CodeClass, classify
from chargekey_gateway.application.deciding import Deciding
from chargekey_gateway.application.starting_from_afar import LATEST_REQUEST_ID
from chargekey_gateway.command_errors import (
    ChargerUnknownError,
    OperatorNotDecidingError,
    SessionUnknownError,
    StartRefusedError,
)
from chargekey_gateway.commands import RemoteStart
from chargekey_gateway.decision import NamedDecision, Reason, Status
from chargekey_gateway.sessions.running import RunningSession, RunningSessions
from chargekey_gateway.view.entries import Charger
from chargekey_gateway.view.view import View

# In OCPI's words. What OCPP has no word for is NOT_ALLOWED.
_WORDS = {
    Reason.IDENTIFICATION_BLOCKED: "BLOCKED",
    Reason.USER_BLOCKED: "BLOCKED",
    Reason.IDENTIFICATION_EXPIRED: "EXPIRED",
    Reason.NO_CREDIT: "NO_CREDIT",
}
# What an operator could try out, or become somebody by, is nobody's to it (R13, R17).
_UNTOLD = frozenset({CodeClass.PIN, CodeClass.APP})


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What OCPI says of a card: `allowed` in its words, "" of one that is nobody's."""

    allowed: str = ""
    charger_ids: Sequence[str] = ()
    identification_id: str = ""


class Operating:
    """Answers for one operator at a time; belongs to one event loop."""

    def __init__(
        self,
        view: View,
        running: RunningSessions,
        deciding: Deciding,
        *,
        clock: Callable[[], int],
    ) -> None:
        """Find in `view` and `running`; `clock` tells nanoseconds since the epoch."""
        self._view = view
        self._running = running
        self._deciding = deciding
        self._clock = clock

    def chargers(
        self, partner_id: str, installation_id: str, charger_ids: Iterable[str] = ()
    ) -> Collection[Charger]:
        """Return these chargers of a site, or all; raises ChargerUnknownError.

        Also where the site is not the operator's: of others' it hears nothing.
        """
        standing = {each.id: each for each in self._view.chargers_at(installation_id)}
        if any(each.installation.managed_by != partner_id for each in standing.values()):
            raise ChargerUnknownError
        wanted = list(charger_ids) or sorted(standing)
        if not wanted or any(each not in standing for each in wanted):
            raise ChargerUnknownError
        return [standing[each] for each in wanted]

    def charger(self, partner_id: str, installation_id: str, charger_id: str) -> Charger:
        """Return the charger, of a site that has one alone without its id.

        Raises ChargerUnknownError.
        """
        found = self.chargers(partner_id, installation_id, filter(None, (charger_id,)))
        if len(found) != 1:
            raise ChargerUnknownError
        return next(iter(found))

    def session(self, partner_id: str, session_id: str) -> RunningSession:
        """Return what runs at a site of the operator; raises SessionUnknownError."""
        session = self._running.by_session_id(session_id)
        charger = None if session is None else self._view.charger(session.charger_id)
        if session is None or charger is None or charger.installation.managed_by != partner_id:
            raise SessionUnknownError
        return session

    def authorize(self, chargers: Collection[Charger], code: str) -> Verdict:
        """Decide over a card at chargers of one site where permissions decide, and tell nobody.

        Of who holds nothing there, and held nothing, nothing is said: not that he is known,
        nor that he is blocked. Raises OperatorNotDecidingError where the operator itself decides.
        """
        if classify(code)[0] in _UNTOLD:
            return Verdict()
        found = {each.id: self._deciding.dry_run(each, code).decision for each in chargers}
        decisions = {key: each for key, each in found.items() if isinstance(each, NamedDecision)}
        if len(decisions) < len(found):
            detail = "Here you decide; nobody else is asked."
            raise OperatorNotDecidingError(detail)
        known = [each for each in decisions.values() if each.identification_id is not None]
        if not known or not self._concerns(known[0].user_id, chargers):
            return Verdict()
        allowed = [key for key, each in decisions.items() if each.status is Status.ACCEPTED]
        word = "ALLOWED" if allowed else _WORDS.get(known[0].reason, "NOT_ALLOWED")
        return Verdict(
            allowed=word,
            charger_ids=allowed,
            identification_id=known[0].identification_id or "",
        )

    def _concerns(self, user_id: str | None, chargers: Iterable[Charger]) -> bool:
        """Whether any of the chargers, or their site, is what he holds or held something on."""
        here = {place for each in chargers for place in (each.id, each.installation.id)}
        return user_id is not None and not here.isdisjoint(self._view.concerned(user_id))

    def start(
        self,
        charger: Charger,
        token: str,
        connector: int | None,
        *,
        partner_id: str,
        reference: str | None,
    ) -> RemoteStart:
        """Return what to tell a charger of a site where this operator decides, and has.

        Raises OperatorNotDecidingError where it does not, and StartRefusedError for what
        nobody can be let in by, whoever sends it.
        """
        if not charger.installation.external:
            detail = "Here permissions decide, and no token of yours."
            raise OperatorNotDecidingError(detail)
        decision = self._deciding.if_allowed(charger, token)
        if not decision.accepted:
            raise StartRefusedError.because(decision.reason)
        return RemoteStart(
            token=token,
            connector=connector,
            request_id=secrets.randbelow(LATEST_REQUEST_ID) + 1,
            asked_at=self._clock(),
            allowed_by=partner_id,
            reference=reference,
        )
