"""What can be done about who owns a site, and who is blocked at it."""

from __future__ import annotations

from collections.abc import Sequence

from chargekey_access.application import callers, holding
from chargekey_access.application.permissions import Permissions
from chargekey_access.domain import granting, installation, owners, permission
from chargekey_access.domain.errors import (
    BlockLocalUserError,
    LocalUserCannotOwnError,
    NoOwnerToOfferError,
    UserUnknownError,
)
from chargekey_access.domain.events import (
    OwnershipTransferred,
    PermissionEvent,
    Role,
    UserArrived,
)
from chargekey_access.domain.ids import derived
from chargekey_access.domain.owners import Owners as State
from chargekey_access.domain.permission import Permission, Subject, Target
from chargekey_access.projections.directory import Directory
from chargekey_common.accounts import Caller
from chargekey_common.eventstore.store import EventStore, Loaded, Reaction, Work, command
from chargekey_common.positions import Position
from chargekey_common.published.identity import InvitationAccepted


class Owners:
    """The commands about ownership, and blocks at installations."""

    def __init__(self, store: EventStore, directory: Directory, permissions: Permissions) -> None:
        self.store = store
        self._directory = directory
        self._permissions = permissions

    @command
    def block_user_at_installation(self, work: Work, *, installation_id: str, user_id: str) -> None:
        """Refuse a user at a site's chargers (R12).

        As much as taking away what he holds on the site: only by who may do that.
        """
        site = _site(work, installation_id)
        self._require_no_local_user(user_id)
        target = Target(installation_id)
        held = holding.held(work, Subject(user_id), target).state
        may = self._permissions.grantable(Caller(work.actor), target, now=work.at)
        granting.require(may, before=held.roles if held is not None else (), after=())
        events = owners.block(site.state, installation_id=installation_id, user_id=user_id)
        work.record(site, *events)

    @command
    def unblock_user_at_installation(
        self, work: Work, *, installation_id: str, user_id: str
    ) -> None:
        """Lift that block."""
        site = _site(work, installation_id)
        self._require_no_local_user(user_id)
        events = owners.unblock(site.state, installation_id=installation_id, user_id=user_id)
        work.record(site, *events)

    @command
    def offer_ownership(
        self, work: Work, *, installation_id: str, user_id: str, invited: bool = False
    ) -> None:
        """Offer the caller's ownership to a user, who is known here or `invited` (R6).

        An administrator offers that of the one owner there is.
        """
        site = _site(work, installation_id)
        if not invited:
            callers.require_known(self._directory, user_id)
        if self._directory.holdings.home_of(user_id) is not None:
            raise LocalUserCannotOwnError
        if self._directory.holdings.is_forgotten(user_id):
            raise UserUnknownError
        events = owners.offer(
            site.state,
            installation_id=installation_id,
            from_user_id=_offering(work.actor, site.state),
            to_user_id=user_id,
            invited=invited,
        )
        work.record(site, *events)

    @command
    def accept_ownership(self, work: Work, *, installation_id: str) -> None:
        """Take over what was offered to the caller; the one owns, the other no longer (R6)."""
        site = _site(work, installation_id)
        transferred = owners.accept(
            site.state,
            installation_id=installation_id,
            user_id=callers.user_of(work.actor) or "",
        )
        work.record(site, transferred)
        _hand_over(work, transferred)

    @command
    def withdraw_ownership_offer(self, work: Work, *, installation_id: str) -> None:
        """End the offer that stands."""
        site = _site(work, installation_id)
        work.record(site, *owners.withdraw(site.state, installation_id=installation_id))

    def react_to_invitation_accepted(
        self, event: InvitationAccepted, reaction: Reaction
    ) -> Position:
        """Count whoever accepts any invitation wherever he was made an owner by his address (R6).

        A sign-in accepts all of them: he is a person, and knows where.
        """
        user_id = event.user_id

        def decide(work: Work) -> None:
            for site in self._directory.holdings.invited_at(user_id):
                loaded = work.load(owners.evolve, owners.owners_id(site))
                events = owners.arrive(loaded.state, installation_id=site, user_id=user_id)
                work.record(loaded, *events)
            mark = work.load(_arrived, derived("arrived", user_id))
            if mark.state is None:
                work.record(mark, UserArrived(user_id=user_id))

        return self.store.react(reaction, decide)

    def require_offerable(self, by: Caller, installation_id: str) -> None:
        """Raise what offering ownership to somebody unknown would; NoOwnerToOfferError."""
        self._directory.sites.installation(installation_id)
        state = self._directory.holdings.owners(installation_id)
        if _offering(by, state) not in state.owners:
            raise NoOwnerToOfferError

    def _require_no_local_user(self, user_id: str) -> None:
        callers.require_known(self._directory, user_id)
        if self._directory.holdings.home_of(user_id) is not None:
            raise BlockLocalUserError


def _arrived(_: UserArrived | None, event: UserArrived) -> UserArrived:
    return event


def _site(work: Work, installation_id: str) -> Loaded[State]:
    installation.existing(work.load(installation.evolve, installation_id).state)
    return work.load(owners.evolve, owners.owners_id(installation_id))


def _offering(caller: str, state: State | None) -> str:
    """Return whose ownership the caller may offer; raises NoOwnerToOfferError."""
    user_id = callers.user_of(caller)
    if user_id is not None:
        return user_id
    site_owners = (state or owners.NOBODY).owners
    if len(site_owners) != 1:
        raise NoOwnerToOfferError
    return next(iter(site_owners))


def _hand_over(work: Work, transferred: OwnershipTransferred) -> None:
    """Bring both permissions in step; who had no other role there has no permission then."""
    target = Target(transferred.installation_id)
    giver = holding.held(work, Subject(transferred.from_user_id), target)
    # Taken away since the owners were read, it is theirs to say: this save meets them changed.
    if giver.state is not None and giver.state.holds:
        rest = [role for role in giver.state.roles if role != "OWNER"]
        work.record(giver, *_left_with(giver.state, rest))

    taker = holding.held(work, Subject(transferred.to_user_id), target)
    events = permission.grant(
        taker.state,
        target=target,
        subject=Subject(transferred.to_user_id),
        kind="PERSON",
        roles={"OWNER", "USER", *(() if taker.state is None else taker.state.roles)},
        valid_until=None,
    )
    work.record(taker, *events)


def _left_with(held: Permission, roles: Sequence[Role]) -> Sequence[PermissionEvent]:
    if not roles:
        return permission.revoke(held)
    return permission.grant(
        held,
        target=held.target,
        subject=held.subject,
        kind="PERSON",
        roles=roles,
        valid_until=held.valid_until,
    )
