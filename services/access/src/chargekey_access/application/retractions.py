"""What an invitation was for is taken back with it, on behalf of whoever took that back."""

from __future__ import annotations

import structlog

from chargekey_access.application import holding
from chargekey_access.application.permissions import Permissions
from chargekey_access.domain import granting, owners, partner, permission
from chargekey_access.domain.errors import LastOwnerError, RoleNotGrantableError
from chargekey_common.accounts import Caller
from chargekey_common.eventstore.store import EventStore, Reaction, Work
from chargekey_common.positions import Position
from chargekey_common.published.identity import InvitationRevoked

log = structlog.get_logger()


class Retractions:
    """The one reaction to them."""

    def __init__(self, store: EventStore, permissions: Permissions) -> None:
        self.store = store
        self._permissions = permissions

    def react_to_invitation_revoked(self, event: InvitationRevoked, reaction: Reaction) -> Position:
        """Take away the permission, the place in a partner or the offer that it was for.

        Also where the invited had an account and could use it already. What the revoker could
        not take away himself stays, and so does a site's last owner.
        """

        def decide(work: Work) -> None:
            try:
                self._retract(work, event, Caller(reaction.actor))
            except (LastOwnerError, RoleNotGrantableError) as error:
                work.records.clear()
                log.warning("retraction_refused", cause=reaction.event_id, code=error.code)

        return self.store.react(reaction, decide)

    def _retract(self, work: Work, event: InvitationRevoked, by: Caller) -> None:
        if event.permission_id is not None:
            held = work.load(permission.evolve, event.permission_id)
            if held.state is not None and held.state.holds:
                may = self._permissions.grantable(by, held.state.target, now=work.at)
                granting.require(may, before=held.state.roles, after=())
                holding.take(work, held)
        elif event.partner_id is not None:
            organisation = work.load(partner.evolve, event.partner_id)
            if organisation.state is not None and event.user_id in organisation.state.members:
                events = partner.remove_member(organisation.state, event.user_id)
                work.record(organisation, *events)
        elif event.installation_id is not None:
            site = work.load(owners.evolve, owners.owners_id(event.installation_id))
            offer = None if site.state is None else site.state.offer
            if offer is not None and offer.to_user_id == event.user_id:
                ended = owners.withdraw(site.state, installation_id=event.installation_id)
                work.record(site, *ended)
