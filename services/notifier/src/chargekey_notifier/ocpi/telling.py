"""What is kept as it is told to one operator, as us, in our currency."""

from __future__ import annotations

from chargekey_notifier.errors import OcpiNotConnectedError
from chargekey_notifier.ocpi import cdrs, locations, sessions
from chargekey_notifier.ocpi.cdrs import Cdr, Settled
from chargekey_notifier.ocpi.locations import Location, Site
from chargekey_notifier.ocpi.messages import CredentialsRole, Party
from chargekey_notifier.ocpi.objects import Object
from chargekey_notifier.ocpi.peers import Peer
from chargekey_notifier.ocpi.sessions import Charge, Driver, Session
from chargekey_notifier.ocpi.starts import Starts
from chargekey_notifier.ocpi.tokens import Tokens


class Teller:
    """Tells as `party`; `currency` is ISO 4217's name of it.

    Blocking where it tells of charges, whose drivers are in `tokens` and `starts`; safe from any
    thread. Raises DatabaseUnavailableError there.
    """

    def __init__(self, party: Party, currency: str, tokens: Tokens, starts: Starts) -> None:
        self._party = party
        self._currency = currency
        self._tokens = tokens
        self._starts = starts

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
            driver=self._driver(charge.state, peer),
        )

    def cdr(self, settled: Object[Settled], peer: Peer) -> Cdr:
        """Return what is settled as a CDR."""
        return cdrs.cdr(
            settled.state,
            party=self._party,
            currency=self._currency,
            operator=_operator(peer),
            changed_at=settled.changed_at,
            driver=self._driver(settled.state.charge, peer),
        )

    def _driver(self, charge: Charge, peer: Peer) -> Driver:
        """Return whose charge it is, by the reference; one of ours is for nobody else."""
        reference = charge.reference
        if reference is None:
            return Driver()
        start = self._starts.get(peer.partner_id, reference)
        if start is not None:
            own = reference if start.named else None
            return Driver(token=start.token, reference=own, commanded=True)
        token = self._tokens.referred(peer.partner_id, reference)
        return Driver(reference=reference) if token is None else Driver(token=token)


def _operator(peer: Peer) -> CredentialsRole:
    """Return as whom it told us that it sends drivers; raises OcpiNotConnectedError."""
    if peer.operator is None:
        raise OcpiNotConnectedError
    return peer.operator
