"""Starting from afar: "start here as me", from the portal or an app."""

from __future__ import annotations

import secrets

from chargekey_gateway.app_codes import AppCode
from chargekey_gateway.application.deciding import Deciding
from chargekey_gateway.command_errors import StartRefusedError
from chargekey_gateway.commands import RemoteStart
from chargekey_gateway.decision import Decision, Reason
from chargekey_gateway.inputs import grant_here
from chargekey_gateway.remote_starts import RemoteStarts
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.view.entries import Charger
from chargekey_gateway.view.view import View

LATEST_REQUEST_ID = 2**31 - 1


class StartingFromAfar:
    """Says what a charger is told, for whom the decision is that he may charge there."""

    def __init__(
        self, view: View, running: RunningSessions, deciding: Deciding, remote_starts: RemoteStarts
    ) -> None:
        self._view = view
        self._running = running
        self._deciding = deciding
        self._remote_starts = remote_starts

    def is_his_own(self, user_id: str, charger_id: str) -> bool:
        """Whether the user may ask: where permissions decide, whoever was given one.

        The decision tells him why not, if so. Access would tell somebody who is blocked, or
        whose permission has ended, no more than a stranger.
        """
        charger, user = self._view.charger(charger_id), self._view.user(user_id)
        return (
            charger is not None
            and user is not None
            and charger.authorisation_required
            and not charger.installation.external
            and grant_here(charger, user) is not None
        )

    async def command(self, charger: Charger, app: AppCode, connector: int | None) -> RemoteStart:
        """Return what to tell the charger, where the app's code counts from now on.

        Raises StartRefusedError where it would be refused, and UnavailableError.
        """
        self._require_permission(charger, app)
        return RemoteStart(
            token=app.code,
            connector=connector,
            request_id=secrets.randbelow(LATEST_REQUEST_ID) + 1,
            identification_id=app.identification_id,
            asked_at=await self._remote_starts.ask(charger.id, app.identification_id),
        )

    def _require_permission(self, charger: Charger, app: AppCode) -> None:
        """Decide as if it were presented; what an operator decides he does at the charger."""
        decision = self._deciding.dry_run(charger, app.code, from_afar=True).decision
        if not isinstance(decision, Decision):
            return
        if not decision.accepted:
            raise StartRefusedError.because(decision.reason)
        held = decision.identification_id
        if decision.reason is Reason.OPEN_CHARGER or held is None:
            return
        if self._running.lock(held).held:
            raise StartRefusedError.because(Reason.ALREADY_CHARGING)
