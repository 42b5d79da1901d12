"""What is kept as it is told to one operator, as us, in our currency."""

from __future__ import annotations

from chargekey_notifier.errors import OcpiNotConnectedError
from chargekey_notifier.ocpi import cdrs, locations, sessions
from chargekey_notifier.ocpi.calls import Party
from chargekey_notifier.ocpi.cdrs import Cdr, Settled
from chargekey_notifier.ocpi.locations import Location, Site
from chargekey_notifier.ocpi.messages import CredentialsRole
from chargekey_notifier.ocpi.objects import Object
from chargekey_notifier.ocpi.peers import Peer
from chargekey_notifier.ocpi.sessions import Charge, Session


class Teller:
    """Tells as `party`; `currency` is ISO 4217's name of it."""

    def __init__(self, party: Party, currency: str) -> None:
        self._party = party
        self._currency = currency

    def location(self, site: Object[Site]) -> Location:
        """Return the site as a Location."""
        return locations.location(site.state, party=self._party, changed_at=site.changed_at)

    def session(self, charge: Object[Charge], peer: Peer) -> Session:
        """Return the charge as a Session."""
        return sessions.session(
            charge.state,
            party=self._party,
            currency=self._currency,
            operator=_operator(peer),
            changed_at=charge.changed_at,
        )

    def cdr(self, settled: Object[Settled], peer: Peer) -> Cdr:
        """Return what is settled as a CDR."""
        return cdrs.cdr(
            settled.state,
            party=self._party,
            currency=self._currency,
            operator=_operator(peer),
            changed_at=settled.changed_at,
        )


def _operator(peer: Peer) -> CredentialsRole:
    """Return as whom it told us that it sends drivers; raises OcpiNotConnectedError."""
    if peer.operator is None:
        raise OcpiNotConnectedError
    return peer.operator
