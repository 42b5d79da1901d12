"""What can be done about requests for access (R8)."""

from __future__ import annotations

from collections.abc import Collection

from chargekey_access.application import holding
from chargekey_access.application.permissions import Permissions
from chargekey_access.domain import access_request, installation, permission
from chargekey_access.domain.events import Role
from chargekey_access.domain.permission import Subject, Target
from chargekey_access.projections.directory import Directory
from chargekey_common import local_days
from chargekey_common.accounts import Caller
from chargekey_common.attempts import Attempts
from chargekey_common.eventstore.store import EventStore, Work, command

# How many requests a caller can make within how many seconds.
REQUESTS = 100
REQUESTS_WITHIN = 86_400


def count_request(attempts: Attempts, caller: Caller) -> None:
    """Count that somebody asks, before he does; raises TooManyAttemptsError."""
    attempts.spend(f"access-request/{caller}", most=REQUESTS, within=REQUESTS_WITHIN)


class AccessRequests:
    """The commands about requests for access; what is approved is granted by `permissions`."""

    def __init__(self, store: EventStore, directory: Directory, permissions: Permissions) -> None:
        self.store = store
        self._directory = directory
        self._permissions = permissions

    @command
    def request_access(
        self,
        work: Work,
        *,
        subject: Subject,
        installation_id: str | None,
        roles: Collection[Role],
    ) -> str:
        """Ask for roles; return the request's id.

        At an installation one request of a subject waits at a time: asking the same again
        answers the one that waits, and asking for something else takes its place.
        """
        if installation_id is not None:
            installation.existing(work.load(installation.evolve, installation_id).state)
        target = Target(installation_id or "")
        kind = self._permissions.kind_of(subject, target)
        wanted = permission.role_set(kind, target, roles, None)
        for key in self._directory.access_requests.waiting_of(subject):
            waiting = work.load(access_request.evolve, key)
            before = access_request.existing(waiting.state)
            if installation_id is None or before.installation_id != installation_id:
                continue
            if not before.waits(now=work.at):
                continue
            if before.roles == wanted:
                return key
            work.record(waiting, *access_request.withdraw(before, now=work.at))
        asked = work.begin()
        events = access_request.ask(
            subject, installation_id=installation_id, roles=wanted, now=work.at
        )
        work.record(asked, *events)
        return asked.id

    @command
    def approve_access_request(
        self,
        work: Work,
        *,
        access_request_id: str,
        by_link: bool,
        target: Target,
        roles: Collection[Role],
        valid_until: str,
    ) -> str:
        """Grant what was asked for, or fewer `roles`, and return the permission's id.

        What the subject holds on the target stays, with the end that is given now. The
        approver gives no more than he could by a permission (R5).
        """
        asked = work.load(access_request.evolve, access_request_id)
        request = access_request.asked_there(asked.state, target.installation_id, by_link=by_link)
        access_request.answerable(request, now=work.at)
        held = holding.held(work, request.subject, target).state
        had = held.roles if held is not None and held.counts(now=work.at) else ()
        site = self._directory.sites.installation(target.installation_id)
        permission_id = self._permissions.grant(
            work,
            Caller(work.actor),
            target=target,
            subject=request.subject,
            kind=self._permissions.kind_of(request.subject, target),
            roles={*access_request.granted(request, roles), *had},
            valid_until=local_days.end_of(valid_until, site.time_zone, now=work.at),
        )
        events = access_request.approve(
            installation_id=target.installation_id, permission_id=permission_id
        )
        work.record(asked, *events)
        return permission_id

    @command
    def deny_access_request(
        self, work: Work, *, access_request_id: str, by_link: bool, installation_id: str
    ) -> None:
        """Refuse it, as an owner of that installation."""
        asked = work.load(access_request.evolve, access_request_id)
        request = access_request.asked_there(asked.state, installation_id, by_link=by_link)
        events = access_request.deny(request, installation_id=installation_id, now=work.at)
        work.record(asked, *events)

    @command
    def withdraw_access_request(self, work: Work, *, access_request_id: str) -> None:
        """Ask no longer."""
        asked = work.load(access_request.evolve, access_request_id)
        work.record(asked, *access_request.withdraw(asked.state, now=work.at))
