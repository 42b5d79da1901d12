"""What can be done to permissions."""

from __future__ import annotations

import time
from collections.abc import Collection
from collections.abc import Set as AbstractSet

from chargekey_access.application import callers, holding, operators
from chargekey_access.domain import granting, permission
from chargekey_access.domain.errors import LocalUserElsewhereError, UserUnknownError
from chargekey_access.domain.events import Role
from chargekey_access.domain.permission import Permission, Subject, SubjectKind, Target
from chargekey_access.projections.directory import Directory
from chargekey_common import local_days
from chargekey_common.accounts import Caller, is_administrator
from chargekey_common.eventstore.store import EventStore, Loaded, Reaction, Work, command
from chargekey_common.positions import Position
from chargekey_common.published.identity import LocalUserAdded


class Permissions:
    """The commands about who holds what."""

    def __init__(self, store: EventStore, directory: Directory) -> None:
        self.store = store
        self._directory = directory

    @command
    def grant_permission(
        self,
        work: Work,
        *,
        target: Target,
        subject: Subject,
        roles: Collection[Role],
        valid_until: str,
        invited: bool = False,
    ) -> str:
        """Give a subject exactly these roles on the target; return the permission's id.

        A user must be known here, unless he is `invited`: found by his address.
        """
        if subject.user_id is not None and not invited:
            callers.require_known(self._directory, subject.user_id)
        return self.grant(
            work,
            Caller(work.actor),
            target=target,
            subject=subject,
            kind=self.kind_of(subject, target),
            roles=roles,
            valid_until=self._end(target, valid_until, now=work.at),
            invited=invited,
        )

    @command
    def change_permission(
        self, work: Work, *, permission_id: str, roles: Collection[Role], valid_until: str | None
    ) -> None:
        """Give a permission other roles, or another end; nothing for either leaves it."""
        state = permission.existing(work.load(permission.evolve, permission_id).state)
        end = state.valid_until
        if valid_until is not None:
            end = self._end(state.target, valid_until, now=work.at)
        self.grant(
            work,
            Caller(work.actor),
            target=state.target,
            subject=state.subject,
            kind=self.kind_of(state.subject, state.target),
            roles=roles or state.roles,
            valid_until=end,
        )

    @command
    def revoke_permission(self, work: Work, *, permission_id: str) -> None:
        """Take a permission away; everybody may take his own."""
        loaded = work.load(permission.evolve, permission_id)
        state = permission.existing(loaded.state)
        caller = Caller(work.actor)
        if not callers.is_own(self._directory, caller, state.subject):
            may = self.grantable(caller, state.target, now=work.at)
            granting.require(may, before=state.roles, after=())
        take(work, loaded)

    def grant(
        self,
        work: Work,
        by: Caller,
        *,
        target: Target,
        subject: Subject,
        kind: SubjectKind,
        roles: Collection[Role],
        valid_until: int | None,
        invited: bool = False,
    ) -> str:
        """Give roles on behalf of `by`, as part of a save; return the permission's id.

        Raises RoleNotGrantableError where he may not (R5), and what `holding.give` and
        `operators.connect` raise.
        """
        permission.role_set(kind, target, roles, valid_until)
        before = holding.held(work, subject, target).state
        granting.require(
            self.grantable(by, target, now=work.at),
            before=before.roles if before is not None else (),
            after=roles,
            other_end=before is not None and before.valid_until != valid_until,
        )
        had = before is not None and "OPERATOR" in before.roles
        if "OPERATOR" in roles and not had:
            operators.connect(
                work,
                installation_id=target.installation_id,
                partner_id=subject.partner_id or "",
            )
        permission_id = holding.give(
            work,
            target=target,
            subject=subject,
            kind=kind,
            roles=roles,
            valid_until=valid_until,
            invited=invited,
            awaited=self._directory.invitees.is_awaited(subject.user_id or ""),
        )
        if had and "OPERATOR" not in roles:
            operators.disconnect(work, installation_id=target.installation_id)
        return permission_id

    def require_grantable(
        self, by: Caller, *, target: Target, roles: Collection[Role], valid_until: str
    ) -> None:
        """Raise what granting this to a person whom nobody knows yet would raise."""
        now = time.time_ns()
        permission.role_set("PERSON", target, roles, self._end(target, valid_until, now=now))
        granting.require(self.grantable(by, target, now=now), before=(), after=roles)

    def grantable(self, by: Caller, target: Target, *, now: int) -> AbstractSet[Role]:
        """Return the roles that the caller may give and take there (R5)."""
        if is_administrator(by):
            return granting.EVERY_ROLE
        site = Target(target.installation_id)
        return granting.grantable(
            callers.roles(self._directory, by, site, now=now),
            callers.roles(self._directory, by, target, now=now),
        )

    def kind_of(self, subject: Subject, target: Target) -> SubjectKind:
        """Tell what a subject is that is to hold something there.

        Raises UserUnknownError for who is forgotten, LocalUserElsewhereError or
        PartnerUnknownError.
        """
        if subject.partner_id is not None:
            return self._directory.partners.partner(subject.partner_id).kind
        user_id = subject.user_id or ""
        if self._directory.holdings.is_forgotten(user_id):
            raise UserUnknownError
        home = self._directory.holdings.home_of(user_id)
        if home is None:
            return "PERSON"
        if home != target.installation_id:
            raise LocalUserElsewhereError
        return "LOCAL"

    def react_to_local_user_added(self, event: LocalUserAdded, reaction: Reaction) -> Position:
        """Let a new local user charge at the own installation; never a second time."""
        target, subject = Target(event.installation_id), Subject(event.user_id)

        def decide(work: Work) -> None:
            forgotten = self._directory.holdings.is_forgotten(event.user_id)
            if not forgotten and holding.held(work, subject, target).state is None:
                holding.give(work, target=target, subject=subject, kind="LOCAL", roles=["USER"])

        return self.store.react(reaction, decide)

    def _end(self, target: Target, valid_until: str, *, now: int) -> int | None:
        zone = self._directory.sites.installation(target.installation_id).time_zone
        return local_days.end_of(valid_until, zone, now=now)


def take(work: Work, loaded: Loaded[Permission]) -> None:
    """Take a permission away as part of a save; that of an operator disconnects it (R9)."""
    state = permission.existing(loaded.state)
    holding.take(work, loaded)
    if "OPERATOR" in state.roles:
        operators.disconnect(work, installation_id=state.target.installation_id)
