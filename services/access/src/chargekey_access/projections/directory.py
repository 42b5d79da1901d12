"""What there is, as access's own events tell it: sites, holdings, partners, requests, invitees.

Five parts that are read in one go, so that a question about several of them is
answered as of one moment.
"""

from __future__ import annotations

from chargekey_access.domain.events import (
    AccessRequestEvent,
    ChargerEvent,
    InstallationEvent,
    OwnersEvent,
    PartnerEvent,
    PermissionEvent,
    UserForgotten,
)
from chargekey_access.projections.access_requests import AccessRequests
from chargekey_access.projections.holdings import Holdings
from chargekey_access.projections.invitees import Invitees
from chargekey_access.projections.partners import Partners
from chargekey_access.projections.sites import Sites
from chargekey_common.eventstore.projection import Projection
from chargekey_common.eventstore.records import Record
from chargekey_common.eventstore.store import EventStore


class Directory(Projection):
    """Each part answers for itself, from the end of the log."""

    def __init__(self, store: EventStore) -> None:
        super().__init__(store)
        self.sites = Sites(self.caught_up)
        self.holdings = Holdings(self.caught_up)
        self.partners = Partners(self.caught_up)
        self.access_requests = AccessRequests(self.caught_up)
        self.invitees = Invitees(self.caught_up)

    def apply(self, record: Record) -> None:
        """Take in one event."""
        key, event = record.originator_id, record.event
        if isinstance(event, InstallationEvent | ChargerEvent):
            self.sites.apply(key, event)
        elif isinstance(event, PermissionEvent | OwnersEvent | UserForgotten):
            self.holdings.apply(key, event)
        elif isinstance(event, PartnerEvent):
            self.partners.apply(key, event)
        elif isinstance(event, AccessRequestEvent):
            self.access_requests.apply(key, event, record.at)
        self.invitees.apply(event)
        # Lookup keys are met by their ids alone.
