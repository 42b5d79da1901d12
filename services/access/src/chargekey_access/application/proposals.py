"""What an import of people proposes is granted, on behalf of whoever imported them."""

from __future__ import annotations

import structlog

from chargekey_access.application import holding
from chargekey_access.application.permissions import Permissions
from chargekey_access.domain.permission import Permission, Subject, SubjectKind, Target
from chargekey_access.projections.directory import Directory
from chargekey_common.accounts import Caller
from chargekey_common.errors import ChargekeyError, UnavailableError
from chargekey_common.eventstore.store import EventStore, Reaction, Work
from chargekey_common.positions import Position
from chargekey_common.published.identity import AccessProposed

log = structlog.get_logger()


class Proposals:
    """The one reaction to them."""

    def __init__(self, store: EventStore, directory: Directory, permissions: Permissions) -> None:
        self.store = store
        self._directory = directory
        self._permissions = permissions

    def react_to_access_proposed(self, event: AccessProposed, reaction: Reaction) -> Position:
        """Grant it, beside what the user holds there by now; nothing is taken away by it.

        What cannot be granted any more, as to somebody who was blocked there since, is
        passed over: it must not hold up what others were given.
        """

        def decide(work: Work) -> None:
            try:
                self._grant(work, event, reaction)
            except UnavailableError:
                raise
            except ChargekeyError as error:
                work.records.clear()
                log.warning("access_proposal_refused", cause=reaction.event_id, code=error.code)

        return self.store.react(reaction, decide)

    def _grant(self, work: Work, event: AccessProposed, reaction: Reaction) -> None:
        if self._directory.holdings.is_forgotten(event.user_id):
            return
        target, subject = Target(event.installation_id), Subject(event.user_id)
        kind: SubjectKind = "LOCAL" if event.local else "PERSON"
        before = holding.held(work, subject, target).state
        if before is None or not before.holds or event.local:
            roles, end = set(event.roles), event.valid_until
        else:
            roles = {*before.roles, *event.roles}
            end = None if "OWNER" in roles else _later(before, event)
        self._permissions.grant(
            work,
            Caller(reaction.actor),
            target=target,
            subject=subject,
            kind=kind,
            roles=roles,
            valid_until=end,
            invited=not event.local,
        )


def _later(before: Permission, event: AccessProposed) -> int | None:
    if before.valid_until is None or event.valid_until is None:
        return None
    return max(before.valid_until, event.valid_until)
