"""What can be asked about addresses, and accounts of OpenID Connect providers: whose they are."""

from __future__ import annotations

from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import EventStore, Work, command
from chargekey_identity.domain import email, user
from chargekey_identity.domain.email import Email, Reservations
from chargekey_identity.domain.user import OpenIdAccount


class Addresses:
    """Every command that starts from an address; receipts hold ids alone."""

    def __init__(self, store: EventStore, reservations: Reservations) -> None:
        self.store = store
        self._reservations = reservations

    @command
    def resolve_email(self, work: Work, address: Email) -> str:
        """Return the id of the user who has it, a PENDING one made where nobody has (R7)."""
        return self.user_of(work, address)

    @command
    def resolve_openid(self, work: Work, account: OpenIdAccount, address: Email) -> str:
        """Return the id of the user who signs in by a provider's account.

        At the first time that is whoever has the address, which the provider must have
        verified; from then on the account counts, whatever address comes with it.
        """
        reserved = work.load(email.evolve, self._reservations.of_openid(account))
        held = email.holder(reserved.state)
        if held is not None:
            return held
        user_id = self.user_of(work, address)
        work.record(reserved, *email.reserve(reserved.state, user_id=user_id))
        work.record(work.load(user.evolve, user_id), *user.link_openid(account))
        return user_id

    def user_of(self, work: Work, address: Email) -> str:
        """Do the same as `resolve_email` within another command, once an address."""
        reserved = work.load(email.evolve, self._reservations.of_email(address))
        held = email.holder(reserved.state)
        if held is not None:
            return held
        added = work.load(user.evolve, new_id())
        work.record(added, *user.add_pending(address))
        work.record(reserved, *email.reserve(reserved.state, user_id=added.id))
        return added.id
