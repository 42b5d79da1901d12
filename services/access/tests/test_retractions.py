"""What an invitation was for is taken back with it (R7), by whoever might take it away himself."""

from __future__ import annotations

import pytest

from chargekey_access.domain.permission import Subject, Target
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.store import Reaction
from chargekey_common.positions import Position
from chargekey_common.published.identity import InvitationRevoked

from .conftest import Access
from .given import a_partner, a_site, by, grant, now


class Retracting:
    """Somebody takes invitations back."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._heard = 0

    def __call__(self, caller: str, **event: str) -> None:
        self._heard += 1
        position = Position("identity", "00000000000000a1", self._heard)
        revoked = InvitationRevoked(invitation_id="i", **event)
        handled = Handled("access-on-invitation-revoked", position)
        reaction = Reaction(handled, f"event-{self._heard}", 0, caller)
        self._access.retractions.react_to_invitation_revoked(revoked, reaction)


@pytest.fixture
def retract(access: Access) -> Retracting:
    return Retracting(access)


def test_a_permission_goes_with_its_invitation(access: Access, retract: Retracting) -> None:
    site = a_site(access, "owner")
    given = grant(access, by("owner"), Target(site), Subject("ghost"), "USER", invited=True)
    retract("user:owner", user_id="ghost", installation_id=site, permission_id=given)
    assert not access.directory.holdings.permission(given).holds
    # Again, as of a permission that was taken away first, changes nothing.
    end = access.store.end()
    retract("user:owner", user_id="ghost", installation_id=site, permission_id=given)
    assert access.store.end() == end


def test_nobody_takes_by_it_what_he_could_not_take_away(
    access: Access, retract: Retracting
) -> None:
    """R5, R6."""
    site = a_site(access, "owner")
    owns = grant(access, by("owner"), Target(site), Subject("ghost"), "OWNER", invited=True)
    grant(access, by("owner"), Target(site), Subject("guest"), "USER", invited=True)
    retract("user:guest", user_id="ghost", installation_id=site, permission_id=owns)
    assert access.directory.holdings.permission(owns).holds
    retract("user:owner", user_id="ghost", installation_id=site, permission_id=owns)
    assert not access.directory.holdings.permission(owns).holds


def test_a_place_in_a_partner_and_an_offer_go_the_same_way(
    access: Access, retract: Retracting
) -> None:
    partner = a_partner(access, members={"ghost": False})
    retract("user:boss", user_id="ghost", partner_id=partner)
    assert not access.directory.partners.partner(partner).members
    site = a_site(access, "owner")
    grant(access, by("owner"), Target(site), Subject("heir"), "USER", invited=True)
    access.owners.offer_ownership(by("owner"), installation_id=site, user_id="heir")
    retract("user:owner", user_id="somebody else", installation_id=site)
    assert access.directory.holdings.owners(site).offer is not None
    retract("user:owner", user_id="heir", installation_id=site)
    assert access.directory.holdings.owners(site).offer is None
    retract(str(now().actor), user_id="heir")  # of an erased user, it was for nothing any more
