"""Accounts on a real server: who is told what of whom, and what anybody may call."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
import pytest_asyncio
from grpc import aio

from chargekey.identity.v1 import invitations_pb2, users_pb2
from chargekey_common.accounts import ADMINISTRATOR, NOBODY, Caller, service_account
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Context, Reaction
from chargekey_common.grpc.client import channel, remote_error
from chargekey_common.pages import every
from chargekey_common.positions import Position
from chargekey_common.testing.grpc import stubs
from chargekey_identity.domain import invitation
from chargekey_identity.domain.invitation import Given

from .conftest import OPEN_CHARGERS, PARTNERS, STUBS, Identity, SmallAccess, serving

OWNER, STRANGER = Caller("user:owner"), Caller("user:stranger")
LINK_INVALID = (grpc.StatusCode.FAILED_PRECONDITION, "link_invalid")
DENIED = (grpc.StatusCode.PERMISSION_DENIED, "permission_denied")


class World(msgspec.Struct, frozen=True):
    """Identity served beside a small access, in which OWNER owns the installation `home`."""

    identity: Identity
    access: SmallAccess
    as_caller: Callable[[Caller], aio.Channel]

    def stub(self, caller: Caller) -> Any:
        return stubs(self.as_caller(caller), *STUBS)

    async def resolved(self, address: str = "ola@example.com") -> str:
        """Name an address, as access does when something is given to it."""
        self.access.allowed.add((service_account("access"), "system"))
        request = users_pb2.ResolveEmailRequest(email=address)
        return str((await self.stub(service_account("access")).ResolveEmail(request)).user_id)

    def invited(self, user_id: str, given: Given | None = None, by: Caller = OWNER) -> str:
        """Invite the user, to `home` where nothing else is said; OWNER is his host from now on."""
        self.access.allowed.add((OWNER, f"user:{user_id}"))
        event_id = new_id()
        handled = Handled("identity-on-permission-granted", Position("access", "0" * 16, 1))
        handled = msgspec.structs.replace(handled, reaction=event_id)
        self.identity.invitations.invite(
            given or Given(user_id, installation_id="home", permission_id="p1"),
            Reaction(handled, event_id, 0, by),
        )
        return invitation.invitation_id(event_id)

    def accept(self, invitation_id: str) -> None:
        token = self.identity.invitations.issue(invitation_id).token
        self.identity.invitations.accept(token, first_name="Ola", last_name="Nordmann")


@pytest_asyncio.fixture
async def world(identity: Identity, tmp_path: Path) -> AsyncIterator[World]:
    async with serving(identity, tmp_path) as (as_caller, access):
        access.owners[OWNER] = "home"
        yield World(identity, access, as_caller)


async def refusal(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as refused:
        await call  # type: ignore[misc] # any call
    return refused.value.code(), remote_error(refused.value).code


async def seen(stub: Any, user_id: str) -> users_pb2.User:
    return (await stub.GetUser(users_pb2.GetUserRequest(user_id=user_id))).user


async def named(stub: Any, *user_ids: str, site: str = "home") -> dict[str, str]:
    request = users_pb2.ListNamesRequest(user_ids=user_ids, installation_id=site)
    return {each.id: each.name for each in (await stub.ListNames(request)).users}


async def test_an_address_is_resolved_for_a_service_that_access_lets(world: World) -> None:
    """R7: the answer is of one form, whether or not the address had an account."""
    request = users_pb2.ResolveEmailRequest(command_id="c1", email="Ola@Example.com")
    assert await refusal(world.stub(STRANGER).ResolveEmail(request)) == DENIED
    user_id = await world.resolved()
    again = await world.stub(service_account("access")).ResolveEmail(request)
    assert again.user_id == user_id
    assert again.position
    assert again == await world.stub(service_account("access")).ResolveEmail(request)


async def test_a_host_sees_an_address_he_typed_and_a_name_once_it_is_accepted(
    world: World,
) -> None:
    """R7: that somebody has an account, his host learns from him alone."""
    user_id = await world.resolved()
    owner = world.stub(OWNER)
    assert await refusal(seen(owner, user_id)) == DENIED
    world.access.allowed.add((OWNER, f"user:{user_id}"))
    assert await seen(owner, user_id) == users_pb2.User(id=user_id)  # given by his id: not typed
    elsewhere = world.invited(user_id, Given(user_id, installation_id="away", permission_id="p2"))
    world.accept(elsewhere)  # an account by now, by another site's invitation
    assert await seen(owner, user_id) == users_pb2.User(id=user_id)
    key = world.invited(user_id)
    assert await seen(owner, user_id) == users_pb2.User(id=user_id, email="ola@example.com")
    assert await named(owner, user_id) == {user_id: "ola@example.com"}
    world.accept(key)
    assert await seen(owner, user_id) == users_pb2.User(
        id=user_id,
        first_name="Ola",
        last_name="Nordmann",
        email="ola@example.com",
        kind=users_pb2.USER_KIND_ACCOUNT,
    )
    assert await named(owner, user_id) == {user_id: "Ola Nordmann"}


async def test_whoever_has_a_link_is_told_to_what_he_is_invited_and_by_whom_before_he_follows_it(
    world: World,
) -> None:
    """R7: by the link's token alone, for as long as it can be followed."""
    world.access.allowed.add((NOBODY, "system"))
    host, ola = await world.resolved("ada@example.com"), await world.resolved()
    world.accept(world.invited(host))  # who is called Ola Nordmann from then on
    by_host = Caller(f"user:{host}")
    world.access.permissions.held |= {"p1"}
    [partner, *_] = PARTNERS
    for given, told in (
        (
            Given(ola, installation_id="home", charger_id="garage", permission_id="p1"),
            {"installation_name": "Home", "ocpp_identity": "CP-GARAGE", "roles": ["USER"]},
        ),
        (Given(ola, installation_id="home"), {"installation_name": "Home", "ownership": True}),
        (Given(ola, partner_id=partner), {"partner_name": "Volt AS"}),
    ):
        key = world.invited(ola, given, by=by_host)
        token = world.identity.invitations.issue(key).token
        asked = invitations_pb2.GetInvitationRequest(token=token)
        assert await world.stub(NOBODY).GetInvitation(
            asked
        ) == invitations_pb2.GetInvitationResponse(**told, invited_by="Ola Nordmann")
    gone = invitations_pb2.GetInvitationRequest(
        token=world.identity.invitations.issue(
            world.invited(ola, Given(ola, installation_id="gone"), by=ADMINISTRATOR)
        ).token
    )
    assert await refusal(world.stub(NOBODY).GetInvitation(gone)) == LINK_INVALID
    world.accept(key)
    assert await refusal(world.stub(NOBODY).GetInvitation(asked)) == LINK_INVALID


@pytest.mark.parametrize(
    ("said", "site", "zone"),
    [
        ("Europe/Paris", "home", "Europe/Paris"),
        ("", "home", "Europe/Oslo"),
        ("localtime", "away", "America/New_York"),
        ("Europe/Utopia", None, "UTC"),
        ("", "gone", "UTC"),
    ],
)
async def test_who_signs_up_lives_by_the_zone_he_says_or_else_of_where_he_is_invited_to(
    world: World, said: str, site: str | None, zone: str
) -> None:
    world.access.allowed.add((NOBODY, "system"))
    user_id = await world.resolved()
    given = Given(user_id, partner_id=None if site else PARTNERS[0], installation_id=site)
    key = world.invited(user_id, given)
    request = invitations_pb2.AcceptInvitationRequest(
        token=world.identity.invitations.issue(key).token,
        first_name="Ola",
        last_name="Nordmann",
        time_zone=said,
    )
    await world.stub(NOBODY).AcceptInvitation(request)
    assert world.identity.directory.user(user_id).time_zone == zone


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls take their time: what ends the waiting for one is not its deadline."""
    monkeypatch.setattr(
        "chargekey_common.testing.grpc.channel", functools.partial(channel, deadline=60.0)
    )


@pytest.mark.usefixtures("patient")
async def test_signing_up_waits_a_moment_for_the_zone_and_signing_in_not_at_all(
    world: World,
) -> None:
    world.access.allowed.add((NOBODY, "system"))
    world.access.installations.telling.clear()
    user_id = await world.resolved()

    async def accept() -> int:
        """Return how often access was asked."""
        request = invitations_pb2.AcceptInvitationRequest(
            token=world.identity.invitations.issue(world.invited(user_id)).token,
            first_name="Ola",
            last_name="Nordmann",
        )
        before = world.access.installations.times_asked
        async with asyncio.timeout(20):
            await world.stub(NOBODY).AcceptInvitation(request)
        return world.access.installations.times_asked - before

    assert await accept() == 1
    assert world.identity.directory.user(user_id).time_zone == "UTC"
    assert await accept() == 0
    assert world.identity.directory.user(user_id).time_zone == "UTC"


async def test_members_of_a_partner_know_each_other_as_far_as_they_were_invited_into_it(
    world: World,
) -> None:
    """R7: whose id a manager knows has told him nothing; who accepts does, to all of them."""
    [partner, other] = PARTNERS
    ola, kari = await world.resolved(), await world.resolved("kari@example.com")
    for user_id in (ola, kari):  # with accounts, which nobody told the partner of
        world.accept(world.invited(user_id))
    world.access.allowed |= {(OWNER, f"partner:{each}") for each in PARTNERS}

    async def told(partner_id: str, caller: Caller = OWNER) -> dict[str, str]:
        request = users_pb2.ListNamesRequest(user_ids=[ola, kari], partner_id=partner_id)
        answer = await world.stub(caller).ListNames(request)
        return {each.id: each.name for each in answer.users}

    assert await told(partner) == {}
    key = world.invited(ola, Given(ola, partner_id=partner))
    world.invited(kari, Given(kari, partner_id=partner))
    assert await told(partner) == {ola: "ola@example.com", kari: "kari@example.com"}
    world.accept(key)
    assert await told(partner) == {ola: "Ola Nordmann", kari: "kari@example.com"}
    assert await told(other) == {}
    world.access.allowed.add((Caller(f"user:{kari}"), f"partner:{other}"))
    assert await told(other, Caller(f"user:{kari}")) == {kari: "Ola Nordmann"}  # himself
    assert (await refusal(told(partner, STRANGER))) == DENIED
    missing = (grpc.StatusCode.NOT_FOUND, "partner_unknown")
    assert (await refusal(told("none", ADMINISTRATOR))) == missing


async def test_the_person_and_whoever_runs_the_platform_see_all(world: World) -> None:
    user_id = await world.resolved()
    world.accept(world.invited(user_id))
    himself = Caller(f"user:{user_id}")
    world.access.allowed |= {
        (himself, f"user:{user_id}"),
        (service_account("notifier"), f"user:{user_id}"),
    }
    change = users_pb2.ChangeProfileRequest(user_id=user_id, time_zone="Europe/Oslo", language="nb")
    await world.stub(himself).ChangeProfile(change)
    world.identity.users.block_user(
        Context(ADMINISTRATOR, new_id()), user_id=user_id, everywhere=True
    )
    for caller in (himself, ADMINISTRATOR, service_account("notifier")):
        assert await seen(world.stub(caller), user_id) == users_pb2.User(
            id=user_id,
            first_name="Ola",
            last_name="Nordmann",
            email="ola@example.com",
            kind=users_pb2.USER_KIND_ACCOUNT,
            blocked_everywhere=True,
            time_zone="Europe/Oslo",
            language="nb",
        )


async def test_names_are_told_of_those_at_home_and_of_those_who_were_invited_there(
    world: World,
) -> None:
    owner = world.stub(OWNER)
    at_home = users_pb2.AddLocalUserRequest(
        installation_id="home", first_name="Kari", last_name="Nordmann"
    )
    local = (await owner.AddLocalUser(at_home)).user_id
    elsewhere = users_pb2.AddLocalUserRequest(
        installation_id="away", first_name="Per", last_name="Hansen"
    )
    foreign = (await world.stub(ADMINISTRATOR).AddLocalUser(elsewhere)).user_id
    asked, other = await world.resolved(), await world.resolved("else@example.com")
    world.invited(asked)
    everybody = (local, foreign, asked, other, new_id())
    assert await named(owner, *everybody) == {local: "Kari Nordmann", asked: "ola@example.com"}
    told = await named(world.stub(ADMINISTRATOR), *everybody)
    assert told == {
        local: "Kari Nordmann",
        foreign: "Per Hansen",
        asked: "ola@example.com",
        other: "else@example.com",
    }
    request = users_pb2.ListNamesRequest(installation_id="home", user_ids=everybody)
    beside = {each.id: each for each in (await owner.ListNames(request)).users}
    assert (beside[asked].waiting, beside[asked].kind) == (True, users_pb2.USER_KIND_UNSPECIFIED)
    assert (beside[local].waiting, beside[local].kind) == (False, users_pb2.USER_KIND_LOCAL)
    await world.stub(ADMINISTRATOR).BlockUser(
        users_pb2.BlockUserRequest(user_id=local, everywhere=True)
    )
    [blocked] = [each for each in (await owner.ListNames(request)).users if each.id == local]
    assert (blocked.blocked, blocked.blocked_everywhere) == (False, True)
    await owner.BlockUser(users_pb2.BlockUserRequest(user_id=local))
    [blocked] = [each for each in (await owner.ListNames(request)).users if each.id == local]
    assert (blocked.blocked, blocked.blocked_everywhere) == (True, True)
    world.identity.privacy.erase(Context(ADMINISTRATOR, "erase"), user_id=local)
    [gone] = [each for each in (await owner.ListNames(request)).users if each.id == local]
    assert gone == users_pb2.NamedUser(id=local, kind=users_pb2.USER_KIND_LOCAL, erased=True)
    assert await refusal(named(owner, local, site="away")) == DENIED
    assert await refusal(named(owner, *[local] * 1001)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "too_many_users",
    )


async def searched(stub: Any, text: str, site: str = "home") -> list[str]:
    """Return the names of those who are found, asked for in pages of two."""
    request = users_pb2.SearchPeopleRequest(installation_id=site, search=text, page_size=2)
    found = await every(stub.SearchPeople, request, "users")
    assert {each.id: each.name for each in found} == await named(
        stub, *(each.id for each in found), site=site
    )
    return [each.name for each in found]


async def added(world: World, first_name: str, last_name: str, site: str = "home") -> str:
    request = users_pb2.AddLocalUserRequest(
        installation_id=site, first_name=first_name, last_name=last_name
    )
    return str((await world.stub(ADMINISTRATOR).AddLocalUser(request)).user_id)


async def test_people_are_searched_by_name_and_address_in_the_order_they_came(
    world: World,
) -> None:
    owner = world.stub(OWNER)
    await added(world, "Kari", "Nordmann")
    await added(world, "Nora", "Hansen", site="away")
    key = world.invited(await world.resolved("ola@example.com"))
    world.invited(await world.resolved("nor@example.com"))
    erased = await added(world, "Åse", "Nordmann")
    elsewhere = await world.resolved("nora@example.com")
    world.invited(elsewhere, Given(elsewhere, installation_id="away", permission_id="p2"))
    await added(world, "Lise", "Nordås")
    world.invited(await world.resolved("nor@example.com"))  # again: he stays where he was
    everybody = [
        "Kari Nordmann",
        "ola@example.com",
        "nor@example.com",
        "Åse Nordmann",
        "Lise Nordås",
    ]
    assert await searched(owner, "") == everybody
    assert await searched(owner, "NOR") == [each for each in everybody if "ola" not in each]
    assert await searched(owner, "kari nord") == ["Kari Nordmann"]
    assert await searched(owner, "example.com") == ["ola@example.com", "nor@example.com"]
    assert await searched(owner, "nordmannkari") == []
    world.accept(key)
    assert await searched(owner, "a nord") == ["Ola Nordmann"]
    assert await searched(owner, "ola@") == ["Ola Nordmann"]
    world.identity.privacy.erase(Context(ADMINISTRATOR, "erase"), user_id=erased)
    assert await searched(owner, "åse") == []
    assert await refusal(searched(owner, "nora", "away")) == DENIED
    assert await refusal(searched(world.stub(STRANGER), "nor")) == DENIED


async def test_a_search_tells_nothing_of_an_account_that_the_caller_may_not_know_of(
    world: World,
) -> None:
    """R7: neither that it is there, nor, piece by piece, whose it is."""
    owner = world.stub(OWNER)
    hidden, waiting, revoked = [
        await world.resolved(f"{name}@example.com") for name in ("hidden", "waiting", "revoked")
    ]
    for each in (hidden, waiting, revoked):
        elsewhere = Given(each, installation_id="away", permission_id=f"away-{each}")
        world.accept(world.invited(each, elsewhere))  # each is called Ola Nordmann by now
    world.invited(waiting)
    key = world.invited(revoked)
    assert await searched(owner, "revoked@") == ["revoked@example.com"]
    await owner.RevokeInvitation(invitations_pb2.RevokeInvitationRequest(invitation_id=key))
    assert await searched(owner, "") == ["waiting@example.com"]
    for text in ("ola", "nordmann", "hidden", "revoked"):
        assert await searched(owner, text) == []
    administrator = world.stub(ADMINISTRATOR)
    assert await searched(administrator, "nordmann") == ["Ola Nordmann"] * 2
    assert await searched(administrator, "hidden") == []  # who was never invited here


async def test_local_users_are_searched_by_their_whole_name(world: World) -> None:
    owner = world.stub(OWNER)
    for first, last in (("Kari", "Nordmann"), ("Nora", "Kari"), ("Åse", "Li"), ("Lise", "NORD")):
        await added(world, first, last)
    await added(world, "Nora", "Hansen", site="away")
    world.invited(await world.resolved("nora@example.com"))

    async def found(text: str) -> list[str]:
        request = users_pb2.ListUsersRequest(installation_id="home", search=text, page_size=1)
        return [each.first_name for each in await every(owner.ListUsers, request, "users")]

    assert await found("") == ["Kari", "Nora", "Åse", "Lise"]
    assert await found("nor") == ["Kari", "Nora", "Lise"]
    assert await found("i NORD") == ["Kari"]
    assert await found("A\u030aSE") == ["Åse"]
    assert await found("nora@") == []


async def test_a_block_everywhere_is_an_administrators_alone(world: World) -> None:
    """R12: anybody else, and he too without `everywhere`, blocks at an installation."""
    user_id = await world.resolved()
    world.invited(user_id)
    at_site = (grpc.StatusCode.FAILED_PRECONDITION, "block_at_installation")
    for caller, everywhere, expected in (
        (OWNER, True, DENIED),
        (OWNER, False, at_site),
        (ADMINISTRATOR, False, at_site),
    ):
        block = users_pb2.BlockUserRequest(user_id=user_id, everywhere=everywhere)
        assert await refusal(world.stub(caller).BlockUser(block)) == expected
        unblock = users_pb2.UnblockUserRequest(user_id=user_id, everywhere=everywhere)
        assert await refusal(world.stub(caller).UnblockUser(unblock)) == expected
    administrator = world.stub(ADMINISTRATOR)
    block = users_pb2.BlockUserRequest(user_id=user_id, everywhere=True)
    blocked = await administrator.BlockUser(block)
    assert (await administrator.BlockUser(block)).position == blocked.position
    assert (await seen(administrator, user_id)).blocked_everywhere
    await administrator.UnblockUser(users_pb2.UnblockUserRequest(user_id=user_id, everywhere=True))
    assert not (await seen(administrator, user_id)).blocked_everywhere


async def test_whoever_blocks_is_told_where_it_cannot_be_enforced(world: World) -> None:
    """R12: at open chargers anybody may charge."""
    owner = world.stub(OWNER)
    added = await owner.AddLocalUser(
        users_pb2.AddLocalUserRequest(installation_id="home", first_name="Kari", last_name="N")
    )
    answer = await owner.BlockUser(users_pb2.BlockUserRequest(user_id=added.user_id))
    assert answer.open_chargers == OPEN_CHARGERS
    user_id = await world.resolved()
    request = users_pb2.BlockUserRequest(user_id=user_id, everywhere=True)
    assert (await world.stub(ADMINISTRATOR).BlockUser(request)).open_chargers == 0


async def test_local_users_come_in_pages_without_those_who_are_erased(world: World) -> None:
    owner = world.stub(OWNER)
    for name in "ABCDE":
        await owner.AddLocalUser(
            users_pb2.AddLocalUserRequest(installation_id="home", first_name=name, last_name="N")
        )
    found: list[str] = []
    token = ""
    while True:
        request = users_pb2.ListUsersRequest(installation_id="home", page_size=2, page_token=token)
        answer = await owner.ListUsers(request)
        assert len(answer.users) <= 2
        found += [each.first_name for each in answer.users]
        token = answer.next_page_token
        if not token:
            break
    assert found == list("ABCDE")


async def test_an_installations_invitations_are_listed_sent_again_and_taken_back(
    world: World,
) -> None:
    """R7."""
    owner = world.stub(OWNER)
    user_id = await world.resolved()
    key = world.invited(user_id)
    world.invited(user_id, Given(user_id, installation_id="away", permission_id="p2"))
    listing = invitations_pb2.ListInvitationsRequest(installation_id="home")

    async def only() -> invitations_pb2.Invitation:
        [found] = (await owner.ListInvitations(listing)).invitations
        return found

    first = await only()
    assert (first.id, first.user_id, first.email, first.permission_id) == (
        key,
        user_id,
        "ola@example.com",
        "p1",
    )
    assert (first.state, first.times_sent) == (invitations_pb2.INVITATION_STATE_WAITING, 1)
    resend = invitations_pb2.ResendInvitationRequest(invitation_id=key)
    await owner.ResendInvitation(resend)
    again = await only()
    assert (again.times_sent, again.expires_at > first.expires_at) == (2, True)
    await owner.RevokeInvitation(invitations_pb2.RevokeInvitationRequest(invitation_id=key))
    assert (await only()).state == invitations_pb2.INVITATION_STATE_REVOKED
    settled = (grpc.StatusCode.FAILED_PRECONDITION, "invitation_settled")
    assert await refusal(owner.ResendInvitation(resend)) == settled
    assert world.access.asked[-1] == (OWNER, "identity.ResendInvitation", "installation:home")


async def test_an_expired_invitation_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """R7: derived when it is asked for."""
    world.invited(await world.resolved())
    monkeypatch.setattr(invitation.Invitation, "is_open", lambda _, __: False)
    listing = invitations_pb2.ListInvitationsRequest(installation_id="home")
    [found] = (await world.stub(OWNER).ListInvitations(listing)).invitations
    assert found.state == invitations_pb2.INVITATION_STATE_EXPIRED


async def test_an_invitation_to_a_charger_is_a_matter_of_that_charger(world: World) -> None:
    """R5: whose owner need not own the installation."""
    user_id = await world.resolved()
    given = Given(user_id, installation_id="away", charger_id="c1", permission_id="p1")
    key = world.invited(user_id, given)
    owner = world.stub(OWNER)
    revoke = invitations_pb2.RevokeInvitationRequest(invitation_id=key)
    assert await refusal(owner.RevokeInvitation(revoke)) == DENIED
    world.access.allowed.add((OWNER, "charger:c1"))
    assert (await seen(owner, user_id)).email == "ola@example.com"
    await owner.RevokeInvitation(revoke)


async def test_anybody_may_follow_a_link_and_is_signed_in_once(world: World) -> None:
    """R7, S3-20: with no token but the mailed one."""
    user_id = await world.resolved()
    key = world.invited(user_id)
    world.access.allowed |= {(NOBODY, "system"), (service_account("notifier"), "system")}
    issue = invitations_pb2.IssueInvitationLinkRequest(invitation_id=key)
    assert await refusal(world.stub(STRANGER).IssueInvitationLink(issue)) == DENIED
    link = await world.stub(service_account("notifier")).IssueInvitationLink(issue)
    assert (link.email, link.language) == ("ola@example.com", "en")
    nobody = world.stub(NOBODY)
    accept = invitations_pb2.AcceptInvitationRequest(token=link.token)
    assert await refusal(nobody.AcceptInvitation(accept)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "name_malformed",
    )
    accept.first_name, accept.last_name, accept.language = "Ola", "Nordmann", "nb"
    answer = await nobody.AcceptInvitation(accept)
    assert world.identity.directory.user(user_id).language == "nb"
    assert answer.user_id == user_id
    assert answer.access_token
    assert answer.refresh_token
    assert answer.expires_at
    invalid = (grpc.StatusCode.FAILED_PRECONDITION, "link_invalid")
    assert await refusal(nobody.AcceptInvitation(accept)) == invalid
    missing = (grpc.StatusCode.NOT_FOUND, "link_unknown")
    assert await refusal(world.stub(ADMINISTRATOR).IssueInvitationLink(issue)) == missing


async def test_what_is_about_somebody_with_an_address_is_asked_about_himself(world: World) -> None:
    """The default answer is no, also to owners of where he holds something."""
    user_id = await world.resolved()
    world.access.asked.clear()
    stub = world.stub(STRANGER)
    calls = {
        "RenameUser": stub.RenameUser(users_pb2.RenameUserRequest(user_id=user_id)),
        "ChangeProfile": stub.ChangeProfile(users_pb2.ChangeProfileRequest(user_id=user_id)),
        "BlockUser": stub.BlockUser(users_pb2.BlockUserRequest(user_id=user_id)),
        "UnblockUser": stub.UnblockUser(users_pb2.UnblockUserRequest(user_id=user_id)),
        "GetUser": stub.GetUser(users_pb2.GetUserRequest(user_id=user_id)),
    }
    for call in calls.values():
        assert await refusal(call) == DENIED
    assert sorted(world.access.asked) == sorted(
        (STRANGER, f"identity.{method}", f"user:{user_id}") for method in calls
    )
