"""What access's events make identity do to invitations, each given as it is published."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
import pytest_asyncio
from nats.aio.client import Client

from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Context, Reaction
from chargekey_common.eventstore.waiting import HandledPositions
from chargekey_common.nats_server import NatsServer
from chargekey_common.positions import Position
from chargekey_common.published import access
from chargekey_common.published.envelope import Attributes, PublishedEvent, headers
from chargekey_common.reactions import On, Reactions
from chargekey_identity.domain.email import Email
from chargekey_identity.domain.invitation import Given
from chargekey_identity.reactions.on_ownership_offer_withdrawn import on_ownership_offer_withdrawn
from chargekey_identity.reactions.on_ownership_offered import on_ownership_offered
from chargekey_identity.reactions.on_partner_member_added import on_partner_member_added
from chargekey_identity.reactions.on_partner_member_removed import on_partner_member_removed
from chargekey_identity.reactions.on_permission_granted import on_permission_granted
from chargekey_identity.reactions.on_permission_revoked import on_permission_revoked

from .conftest import Identity

numbers = itertools.count(1)


async def stands(_: str) -> bool:
    return True


async def stands_no_longer(_: str) -> bool:
    return False


@pytest.fixture
def ola(identity: Identity) -> str:
    context = Context("service:access", new_id())
    return identity.addresses.resolve_email(context, Email("ola@example.com")).result


async def hear(on: On, event: PublishedEvent) -> None:
    """Let a reaction hear an event, twice, as it may happen."""
    at = Position("access", "0" * 16, next(numbers))
    reaction = Reaction(Handled(on.name("identity"), at), new_id(), 0, "user:owner")
    await on.react(event, reaction)
    await on.react(event, reaction)


def granted(user_id: str | None, *, invited: bool = True) -> access.PermissionGranted:
    return access.PermissionGranted(
        installation_id="home",
        permission_id="p1",
        user_id=user_id,
        partner_id="acme" if user_id is None else None,
        charger_id="c1",
        roles=("USER",),
        invited=invited,
    )


def waiting(identity: Identity, user_id: str) -> list[Given]:
    found = identity.directory.invitations.of(user_id)
    return [each.given for each in found.values() if each.state == "WAITING"]


async def test_a_permission_given_to_an_address_invites_and_its_end_takes_that_back(
    identity: Identity, ola: str
) -> None:
    """R7: whether or not the address had an account."""
    on_granted = on_permission_granted(identity.invitations, stands)
    on_revoked = on_permission_revoked(identity.invitations)
    await hear(on_granted, granted(ola))
    given = Given(ola, installation_id="home", charger_id="c1", permission_id="p1")
    assert waiting(identity, ola) == [given]
    other = access.PermissionRevoked(installation_id="home", permission_id="p2", user_id=ola)
    await hear(on_revoked, other)
    assert waiting(identity, ola) == [given]
    await hear(
        on_revoked,
        access.PermissionRevoked(installation_id="home", permission_id="p1", user_id=ola),
    )
    assert waiting(identity, ola) == []
    await hear(on_granted, granted(ola))
    assert waiting(identity, ola) == [given]


@pytest.mark.parametrize("still", [stands, stands_no_longer])
async def test_nobody_is_invited_to_what_was_given_by_id_to_a_partner_or_is_gone_again(
    identity: Identity, ola: str, still: Callable[[str], Awaitable[bool]]
) -> None:
    on = on_permission_granted(identity.invitations, still)
    for event in (granted(ola, invited=False), granted(None, invited=False)):
        await hear(on, event)
    await hear(on_permission_granted(identity.invitations, stands_no_longer), granted(ola))
    await hear(
        on_permission_revoked(identity.invitations),
        access.PermissionRevoked(installation_id="home", permission_id="p1", partner_id="acme"),
    )
    assert waiting(identity, ola) == []
    assert identity.store.handled("identity-on-permission-granted") is not None
    assert identity.store.handled("identity-on-permission-revoked") is not None


async def test_an_address_taken_into_a_partner_is_invited_until_it_is_taken_out(
    identity: Identity, ola: str
) -> None:
    """R7, R8."""
    on_added = on_partner_member_added(identity.invitations)
    await hear(on_added, access.PartnerMemberAdded(partner_id="acme", user_id=ola))
    assert waiting(identity, ola) == []
    await hear(on_added, access.PartnerMemberAdded(partner_id="acme", user_id=ola, invited=True))
    assert waiting(identity, ola) == [Given(ola, partner_id="acme")]
    on_removed = on_partner_member_removed(identity.invitations)
    await hear(on_removed, access.PartnerMemberRemoved(partner_id="other", user_id=ola))
    assert len(waiting(identity, ola)) == 1
    await hear(on_removed, access.PartnerMemberRemoved(partner_id="acme", user_id=ola))
    assert waiting(identity, ola) == []


async def test_an_address_offered_an_owners_place_is_invited_until_that_is_withdrawn(
    identity: Identity, ola: str
) -> None:
    """R6, R7: the invitation to a permission there stays."""
    await hear(on_permission_granted(identity.invitations, stands), granted(ola))
    on_offered = on_ownership_offered(identity.invitations)
    for invited in (False, True):
        offer = access.OwnershipOffered(
            installation_id="home", from_user_id="kari", to_user_id=ola, invited=invited
        )
        await hear(on_offered, offer)
    permission, offered = waiting(identity, ola)
    assert offered == Given(ola, installation_id="home")
    withdrawn = access.OwnershipOfferWithdrawn(
        installation_id="home", from_user_id="kari", to_user_id=ola
    )
    await hear(on_ownership_offer_withdrawn(identity.invitations), withdrawn)
    assert waiting(identity, ola) == [permission]


@pytest_asyncio.fixture
async def stream(nats_client: Client) -> AsyncIterator[Client]:
    """The stream ACCESS, as access's relay declares it."""
    await nats_client.jetstream().add_stream(name="ACCESS", subjects=["access.>"])
    yield nats_client


async def test_what_access_publishes_reaches_the_invitations(
    identity: Identity, ola: str, stream: Client, nats_server: NatsServer
) -> None:
    """R7, S3-20: from the bus, once, also where the bus tells it again."""
    reactions = Reactions(
        "identity",
        nats_server.bus,
        identity.store,
        on_permission_granted(identity.invitations, stands),
        on_permission_revoked(identity.invitations),
    )
    running = asyncio.create_task(reactions.run())
    event = granted(ola)
    event_id = new_id()
    for number in (1, 2):
        told = Attributes(
            id=event_id,
            at=10**18,
            cause="c",
            actor="user:owner",
            position=Position("access", "0" * 16, number),
        )
        await stream.jetstream().publish(
            event.subject,
            msgspec.json.encode(event),
            headers=headers(event, told, source="access"),
        )
    wanted = Position("access", "0" * 16, 2)
    async with asyncio.timeout(20):
        await HandledPositions(identity.store).wait_for("identity-on-permission-granted", wanted)
    assert len(waiting(identity, ola)) == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
