"""Partners over gRPC, on both stores: what members, managers and strangers can do (R8)."""

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from chargekey.access.v1 import access_requests_pb2, partners_pb2, permissions_pb2
from chargekey.access.v1.access_requests_pb2_grpc import AccessRequestServiceStub
from chargekey.access.v1.partners_pb2_grpc import PartnerServiceStub
from chargekey.access.v1.permissions_pb2_grpc import PermissionServiceStub
from chargekey_access.application import access_requests as asking
from chargekey_access.application.partners import SEARCHES, Partners
from chargekey_access.domain.errors import (
    LocalUserCannotJoinError,
    NoLookupKeyFreeError,
    PartnerUnknownError,
    UserUnknownError,
)
from chargekey_access.domain.events import PartnerMemberAdded
from chargekey_access.domain.permission import Subject, Target
from chargekey_common.accounts import ADMINISTRATOR, Caller, service_account
from chargekey_common.grpc.client import remote_error
from chargekey_common.postgres import Postgres
from chargekey_common.testing.grpc import stubs

from .conftest import Access, serving
from .given import a_charger, a_local_user, a_site, by, grant, holders, now, opened, revoke

STUBS = (PartnerServiceStub, AccessRequestServiceStub, PermissionServiceStub)
DENIED = grpc.StatusCode.PERMISSION_DENIED, "permission_denied"
As = Callable[[str], Any]


@pytest.fixture
def access(place: Path | Postgres) -> Iterator[Access]:
    store = opened(place)
    yield Access(store)
    store.close()


@pytest.fixture
async def as_(access: Access, tmp_path: Path) -> AsyncIterator[As]:
    """Yield what calls as a user, by his id, or as anybody else."""
    async with serving(access, tmp_path) as as_caller:

        def as_one(caller: str) -> Any:
            who = caller if ":" in caller else f"user:{caller}"
            return stubs(as_caller(Caller(who)), *STUBS)

        yield as_one


async def refusal(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as refused:
        await call  # type: ignore[misc] # any call
    return refused.value.code(), remote_error(refused.value).code


async def a_partner(as_: As, **fields: Any) -> partners_pb2.CreatePartnerResponse:
    request = {
        "name": "Volt",
        "kind": partners_pb2.PARTNER_KIND_SERVICE_PARTNER,
        "contact": "help@volt.example",
        "logo_url": "https://volt.example/logo.svg",
    }
    return await as_(ADMINISTRATOR).CreatePartner(  # type: ignore[no-any-return] # of this type
        partners_pb2.CreatePartnerRequest(**(request | fields))
    )


async def joins(as_: As, partner_id: str, email: str, *, manages: bool = False) -> str:
    answer = await as_(ADMINISTRATOR).AddPartnerMember(
        partners_pb2.AddPartnerMemberRequest(partner_id=partner_id, email=email, manages=manages)
    )
    return str(answer.user_id)


def of(partner_id: str) -> partners_pb2.GetPartnerRequest:
    return partners_pb2.GetPartnerRequest(partner_id=partner_id)


def searched(key: str) -> partners_pb2.SearchPartnerRequest:
    return partners_pb2.SearchPartnerRequest(lookup_key=key)


async def test_members_read_the_key_that_owners_find_the_partner_by(as_: As) -> None:
    """S3-44, S3-47, R8: who searches is told name, kind and logo, and no more."""
    made = await a_partner(as_)
    member = await joins(as_, made.partner_id, "kari@volt.example")
    mine = (await as_(member).GetPartner(of(made.partner_id))).partner
    assert mine.lookup_key == made.lookup_key
    assert len(made.lookup_key) == 4
    found = await as_("owner").SearchPartner(searched(made.lookup_key.lower()))
    assert found == partners_pb2.SearchPartnerResponse(
        partner_id=made.partner_id,
        name="Volt",
        kind=partners_pb2.PARTNER_KIND_SERVICE_PARTNER,
        logo_url="https://volt.example/logo.svg",
    )
    assert await refusal(as_("owner").GetPartner(of(made.partner_id))) == DENIED
    missing = grpc.StatusCode.NOT_FOUND, "partner_unknown"
    other = "Z" * 4 if made.lookup_key != "ZZZZ" else "YYYY"
    assert await refusal(as_("owner").SearchPartner(searched(other))) == missing


async def test_finding_a_partner_grants_nothing_and_one_or_more_roles_are_given_by_choice(
    access: Access, as_: As
) -> None:
    """R8, S3-42, S3-45..S3-49: nothing happens before it is granted."""
    site = a_site(access, "ola")
    made = await a_partner(as_)
    member = await joins(as_, made.partner_id, "kari@volt.example")
    end = access.store.end()
    found = await as_("ola").SearchPartner(searched(made.lookup_key))
    assert access.store.end() == end
    request = permissions_pb2.GrantPermissionRequest(
        installation_id=site,
        partner_id=found.partner_id,
        roles=[permissions_pb2.ROLE_SERVICE, permissions_pb2.ROLE_USER],
    )
    listing = permissions_pb2.ListPermissionsRequest(installation_id=site)
    assert await refusal(as_(member).ListPermissions(listing)) == DENIED
    await as_("ola").GrantPermission(request)
    assert holders(access, Target(site))[made.partner_id] == {"SERVICE", "USER"}
    assert len((await as_(member).ListPermissions(listing)).permissions) == 2
    held = await as_(member).ListPartnerPermissions(
        partners_pb2.ListPartnerPermissionsRequest(partner_id=made.partner_id)
    )
    assert [each.installation_id for each in held.permissions] == [site]


async def test_partners_are_named_who_ever_had_to_do_with_a_site_to_who_sees_what_is_held_there(
    access: Access, as_: As
) -> None:
    """S3-5: what is over is told by their names, and of others nothing."""
    site, other = a_site(access, "ola"), a_site(access, "ola")
    charger = Target(site, a_charger(access, site))
    here, revoked, asking, elsewhere, managing = [
        (await a_partner(as_, name=name, kind=kind)).partner_id
        for name, kind in (
            ("At a charger", partners_pb2.PARTNER_KIND_SERVICE_PARTNER),
            ("Of old", partners_pb2.PARTNER_KIND_SERVICE_PARTNER),
            ("Asking", partners_pb2.PARTNER_KIND_SERVICE_PARTNER),
            ("Elsewhere", partners_pb2.PARTNER_KIND_SERVICE_PARTNER),
            ("Managing", partners_pb2.PARTNER_KIND_PAYMENT_OPERATOR),
        )
    ]
    grant(access, by("ola"), charger, Subject(partner_id=here), "SERVICE")
    grant(access, by("ola"), charger, Subject(partner_id=revoked), "USER")
    revoke(access, by("ola"), charger, Subject(partner_id=revoked))
    grant(access, by("ola"), Target(other), Subject(partner_id=elsewhere), "SERVICE")
    grant(access, by("ola"), Target(site), Subject(partner_id=managing), "OPERATOR")
    revoke(access, by("ola"), Target(site), Subject(partner_id=managing))
    for at in (site, other, None):
        access.access_requests.request_access(
            by(f"partner:{asking if at == site else elsewhere}"),
            subject=Subject(partner_id=asking if at == site else elsewhere),
            installation_id=at,
            roles=["SERVICE"],
        )
    request = partners_pb2.ListPartnerNamesRequest(
        installation_id=site,
        partner_ids=[here, revoked, asking, elsewhere, managing, managing, "none", ""],
    )
    told = (await as_("ola").ListPartnerNames(request)).partners
    assert sorted((each.id, each.name) for each in told) == sorted(
        [(here, "At a charger"), (revoked, "Of old"), (asking, "Asking"), (managing, "Managing")]
    )
    request.partner_ids[:] = [here]
    assert len((await as_("ola").ListPartnerNames(request)).partners) == 1
    # Who holds something at one charger sees no more than that.
    for caller in ("stranger", f"partner:{here}", f"partner:{revoked}", f"partner:{asking}"):
        assert await refusal(as_(caller).ListPartnerNames(request)) == DENIED


async def test_only_an_owner_can_let_a_partner_in(access: Access, as_: As) -> None:
    """S3-43."""
    site = a_site(access, "ola")
    grant(access, now(), Target(site), Subject("kim"), "USER", "SERVICE", invited=True)
    made = await a_partner(as_)
    request = permissions_pb2.GrantPermissionRequest(
        installation_id=site, partner_id=made.partner_id, roles=[permissions_pb2.ROLE_SERVICE]
    )
    for caller in ("kim", "stranger", f"partner:{made.partner_id}"):
        assert await refusal(as_(caller).GrantPermission(request)) == DENIED


async def test_a_member_holds_what_the_partner_holds_for_as_long_as_he_is_one(
    access: Access, as_: As
) -> None:
    """R8: live, in either direction."""
    site = a_site(access, "ola")
    made = await a_partner(as_)
    grant(access, by("ola"), Target(site), Subject(partner_id=made.partner_id), "SERVICE")
    listing = permissions_pb2.ListPermissionsRequest(installation_id=site)
    member = await joins(as_, made.partner_id, "kari@volt.example")
    await as_(member).ListPermissions(listing)
    await as_(member).RemovePartnerMember(
        partners_pb2.RemovePartnerMemberRequest(partner_id=made.partner_id, user_id=member)
    )
    assert await refusal(as_(member).ListPermissions(listing)) == DENIED
    assert await refusal(as_(member).GetPartner(of(made.partner_id))) == DENIED
    await joins(as_, made.partner_id, "kari@volt.example")
    await as_(member).ListPermissions(listing)


async def test_a_rotated_key_finds_the_partner_and_the_old_one_nobody_from_then_on(
    as_: As,
) -> None:
    """R8."""
    made = await a_partner(as_)
    manager = await joins(as_, made.partner_id, "kari@volt.example", manages=True)
    member = await joins(as_, made.partner_id, "per@volt.example")
    request = partners_pb2.RotateLookupKeyRequest(command_id="r", partner_id=made.partner_id)
    assert await refusal(as_(member).RotateLookupKey(request)) == DENIED
    rotated = await as_(manager).RotateLookupKey(request)
    assert await as_(manager).RotateLookupKey(request) == rotated
    assert rotated.lookup_key != made.lookup_key
    found = await as_("owner").SearchPartner(searched(rotated.lookup_key))
    assert found.partner_id == made.partner_id
    missing = grpc.StatusCode.NOT_FOUND, "partner_unknown"
    assert await refusal(as_("owner").SearchPartner(searched(made.lookup_key))) == missing


async def test_guessing_keys_ends_after_some_and_for_that_caller_alone(
    access: Access, as_: As
) -> None:
    """R8: by whichever method a key is given; administrators see all partners anyway."""
    made = await a_partner(as_)
    key = made.lookup_key
    for _ in range(SEARCHES):
        await as_("guesser").SearchPartner(searched(key))
    limited = grpc.StatusCode.RESOURCE_EXHAUSTED, "too_many_attempts"
    for tried in (key, "ZZZZ"):
        assert await refusal(as_("guesser").SearchPartner(searched(tried))) == limited
    await as_("somebody").SearchPartner(searched(key))
    # Nor by giving roles to whatever partner a key finds, at a site of one's own.
    request = permissions_pb2.GrantPermissionRequest(
        installation_id=a_site(access, "guesser"),
        lookup_key=key,
        roles=[permissions_pb2.ROLE_SERVICE],
    )
    assert await refusal(as_("guesser").GrantPermission(request)) == limited
    for _ in range(SEARCHES + 1):
        await as_(ADMINISTRATOR).SearchPartner(searched(key))


async def test_an_invited_member_is_the_person_of_the_address(access: Access, as_: As) -> None:
    """R7, R8: the answer is the same whether he was known or not."""
    made = await a_partner(as_)
    access.people["old@example.org"] = "old-user"
    known = await joins(as_, made.partner_id, "old@example.org")
    fresh = await joins(as_, made.partner_id, "new@example.org")
    assert (known, fresh) == ("old-user", access.people["new@example.org"])
    added = [
        record.event
        for _, record, _ in access.store.read(0, 100)
        if isinstance(record.event, PartnerMemberAdded)
    ]
    assert [each.invited for each in added] == [True, True]
    again = partners_pb2.AddPartnerMemberRequest(
        partner_id=made.partner_id, user_id=known, manages=True
    )
    end = access.store.end()
    assert (await as_(ADMINISTRATOR).AddPartnerMember(again)).user_id == known
    assert access.store.end() == end + 1
    await as_(known).AddPartnerMember(again)
    assert access.store.end() == end + 1
    nobody = partners_pb2.AddPartnerMemberRequest(partner_id=made.partner_id)
    assert (await refusal(as_(known).AddPartnerMember(nobody)))[1] == "subject_missing"


async def test_everybody_may_leave_and_nobody_else_can_make_him_but_who_manages(as_: As) -> None:
    """R8: also the last who manages; an administrator makes another one."""
    made = await a_partner(as_)
    manager = await joins(as_, made.partner_id, "kari@volt.example", manages=True)
    one, two = [await joins(as_, made.partner_id, f"{n}@volt.example") for n in ("one", "two")]

    def leaving(user_id: str) -> partners_pb2.RemovePartnerMemberRequest:
        return partners_pb2.RemovePartnerMemberRequest(partner_id=made.partner_id, user_id=user_id)

    assert await refusal(as_(one).RemovePartnerMember(leaving(two))) == DENIED
    program = as_(f"partner:{made.partner_id}")
    assert await refusal(program.RemovePartnerMember(leaving(two))) == DENIED
    await as_(one).RemovePartnerMember(leaving(one))
    await as_(manager).RemovePartnerMember(leaving(two))
    await as_(manager).RemovePartnerMember(leaving(manager))
    members = partners_pb2.ListPartnerMembersRequest(partner_id=made.partner_id)
    assert not (await as_(ADMINISTRATOR).ListPartnerMembers(members)).members
    await joins(as_, made.partner_id, "one@volt.example", manages=True)
    [left] = (await as_(one).ListPartnerMembers(members)).members
    assert (left.user_id, left.manages) == (one, True)
    # Who is in it no longer, and who never was, cannot tell it from one there is not.
    for partner_id in (made.partner_id, "nonsense"):
        request = partners_pb2.RemovePartnerMemberRequest(partner_id=partner_id, user_id=two)
        assert await refusal(as_(two).RemovePartnerMember(request)) == DENIED


async def test_a_partner_presents_itself_and_only_who_manages_it_says_how(as_: As) -> None:
    made = await a_partner(as_)
    manager = await joins(as_, made.partner_id, "kari@volt.example", manages=True)
    member = await joins(as_, made.partner_id, "per@volt.example")
    request = partners_pb2.ChangePartnerRequest(partner_id=made.partner_id, name="Watt")
    assert await refusal(as_(member).ChangePartner(request)) == DENIED
    await as_(manager).ChangePartner(request)
    no_logo = partners_pb2.ChangePartnerRequest(partner_id=made.partner_id, logo_url="")
    await as_(manager).ChangePartner(no_logo)
    for caller in (member, f"partner:{made.partner_id}", ADMINISTRATOR, "service:notifier"):
        told = (await as_(caller).GetPartner(of(made.partner_id))).partner
        assert (told.name, told.contact, told.logo_url) == ("Watt", "help@volt.example", "")
    created = partners_pb2.CreatePartnerRequest(name="Mine", kind=1, contact="me")
    assert await refusal(as_(manager).CreatePartner(created)) == DENIED


async def test_each_sees_the_partners_he_is_in_and_all_come_in_pages(as_: As) -> None:
    """R8, S3-44."""
    ids = [(await a_partner(as_, name=f"Partner {n}")).partner_id for n in range(3)]
    for each in ids[1:]:
        member = await joins(as_, each, "kari@volt.example")

    async def seen(caller: str) -> list[str]:
        found, token = [], ""
        while True:
            page = await as_(caller).ListPartners(
                partners_pb2.ListPartnersRequest(page_size=1, page_token=token)
            )
            found += [each.id for each in page.partners]
            token = page.next_page_token
            if not token:
                return found

    assert await seen(ADMINISTRATOR) == ids
    assert await seen(member) == ids[1:]
    assert await seen(f"partner:{ids[0]}") == ids[:1]
    assert await seen("stranger") == []


async def test_pages_of_members_go_on_where_one_who_left_had_ended_them(as_: As) -> None:
    made = await a_partner(as_)
    users = [await joins(as_, made.partner_id, f"{n}@volt.example") for n in range(4)]
    request = partners_pb2.ListPartnerMembersRequest(partner_id=made.partner_id, page_size=2)
    first = await as_(ADMINISTRATOR).ListPartnerMembers(request)
    await as_(users[1]).RemovePartnerMember(
        partners_pb2.RemovePartnerMemberRequest(partner_id=made.partner_id, user_id=users[1])
    )
    request.page_token = first.next_page_token
    rest = await as_(ADMINISTRATOR).ListPartnerMembers(request)
    assert [each.user_id for each in (*first.members, *rest.members)] == users


def test_a_local_user_and_a_stranger_to_access_are_no_members(access: Access) -> None:
    site = a_site(access, "ola")
    a_local_user(access, site, "local")
    made = access.partners.create_partner(
        now(), name="Volt", kind="SERVICE_PARTNER", contact="x", logo_url=""
    ).result
    add = access.partners.add_partner_member
    for user_id, error in (("local", LocalUserCannotJoinError), ("nobody", UserUnknownError)):
        with pytest.raises(error):
            add(now(), partner_id=made.partner_id, user_id=user_id, manages=False)
    with pytest.raises(PartnerUnknownError):
        add(now(), partner_id="nonsense", user_id="ola", manages=False)
    access.forgetting.forget_user(now(), user_id="gone")
    with pytest.raises(UserUnknownError):
        add(now(), partner_id=made.partner_id, user_id="gone", manages=False, invited=True)


def test_of_partners_made_at_once_each_has_a_key_of_its_own(access: Access) -> None:
    """R8: two who draw the same key meet at its reservation, and one draws again."""
    begin = threading.Barrier(4)
    keys: list[str] = []

    def make() -> None:
        draws = itertools.chain(["AAAA", "BBBB", "CCCC"], ["DDDD"])

        def draw() -> str:
            key = next(draws)
            if key == "AAAA":
                begin.wait()  # all of them have seen that it is free, or will
            return key

        made = Partners(access.store, access.directory, draw=draw).create_partner(
            now(), name="Volt", kind="SERVICE_PARTNER", contact="x", logo_url=""
        )
        keys.append(made.result.lookup_key)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(keys)) == len(keys) == 4
    found = {access.directory.partners.find(key) for key in keys}
    assert len(found) == 4


def test_a_freed_key_can_be_another_partners_and_without_a_free_one_it_is_said_so(
    access: Access,
) -> None:
    draws = iter(["K7VN", "K7VN", "L8WP"])
    partners = Partners(access.store, access.directory, draw=lambda: next(draws))
    fields: Any = {"name": "Volt", "kind": "SERVICE_PARTNER", "contact": "x", "logo_url": ""}
    first = partners.create_partner(now(), **fields).result
    assert partners.rotate_lookup_key(now(), partner_id=first.partner_id).result == "L8WP"
    again = Partners(access.store, access.directory, draw=lambda: "K7VN")
    second = again.create_partner(now(), **fields).result
    assert access.directory.partners.find("K7VN") == second.partner_id
    assert access.directory.partners.find("L8WP") == first.partner_id
    end = access.store.end()
    with pytest.raises(NoLookupKeyFreeError):
        again.create_partner(now(), **fields)
    assert access.store.end() == end


# Requests for access.


def for_roles(*roles: int, **fields: str) -> access_requests_pb2.RequestAccessRequest:
    return access_requests_pb2.RequestAccessRequest(
        roles=roles or [permissions_pb2.ROLE_SERVICE],  # type: ignore[arg-type] # numbers are roles
        **fields,  # type: ignore[arg-type] # texts
    )


def read(token: str) -> access_requests_pb2.GetAccessRequestRequest:
    return access_requests_pb2.GetAccessRequestRequest(link_token=token)


async def test_a_partner_sends_a_link_and_whichever_owner_gets_it_lets_it_in(
    access: Access, as_: As
) -> None:
    """R8, S3-48, S3-49: nothing is granted before the approval, and less than asked if he likes."""
    site = a_site(access, "ola")
    made = await a_partner(as_)
    member = await joins(as_, made.partner_id, "kari@volt.example")
    asked = await as_(member).RequestAccess(
        for_roles(
            permissions_pb2.ROLE_SERVICE, permissions_pb2.ROLE_USER, partner_id=made.partner_id
        )
    )
    told = (await as_("ola").GetAccessRequest(read(asked.link_token))).access_request
    assert (told.id, told.partner_id, told.partner_name) == (
        asked.access_request_id,
        made.partner_id,
        "Volt",
    )
    # Who writes to owners reads it by its id; nobody else does.
    found = access_requests_pb2.FindAccessRequestRequest(access_request_id=told.id)
    notifier = service_account("notifier")
    assert (await as_(notifier).FindAccessRequest(found)).access_request == told
    assert await refusal(as_("ola").FindAccessRequest(found)) == DENIED
    assert told.state == access_requests_pb2.ACCESS_REQUEST_STATE_WAITING
    assert told.expires_at - told.requested_at == 14 * 24 * 3600 * 10**9
    assert made.partner_id not in holders(access, Target(site))
    approval = access_requests_pb2.ApproveAccessRequestRequest(
        link_token=asked.link_token,
        installation_id=site,
        roles=[permissions_pb2.ROLE_SERVICE],
        valid_until="2199-01-01",
    )
    by_id = access_requests_pb2.ApproveAccessRequestRequest(
        access_request_id=asked.access_request_id, installation_id=site
    )
    # Nobody but an owner, and by its id only where it was asked of him.
    assert await refusal(as_(member).ApproveAccessRequest(approval)) == DENIED
    unknown = grpc.StatusCode.NOT_FOUND, "access_request_unknown"
    assert await refusal(as_("ola").ApproveAccessRequest(by_id)) == unknown
    assert made.partner_id not in holders(access, Target(site))
    approved = await as_("ola").ApproveAccessRequest(approval)
    assert holders(access, Target(site))[made.partner_id] == {"SERVICE"}
    held = access.directory.holdings.permission(approved.permission_id)
    assert held.valid_until is not None
    answered = grpc.StatusCode.FAILED_PRECONDITION, "access_request_answered"
    assert await refusal(as_("ola").ApproveAccessRequest(approval)) == answered
    told = (await as_(member).GetAccessRequest(read(asked.link_token))).access_request
    assert told.state == access_requests_pb2.ACCESS_REQUEST_STATE_APPROVED


async def test_a_user_asks_an_installation_for_himself_and_its_owner_sees_what_waits(
    access: Access, as_: As
) -> None:
    """R8: one request of a user waits at a time."""
    site, elsewhere = a_site(access, "ola"), a_site(access, "eve")
    user = permissions_pb2.ROLE_USER
    first = await as_("kim").RequestAccess(for_roles(user, installation_id=site))
    again = await as_("kim").RequestAccess(for_roles(user, installation_id=site))
    assert again.access_request_id == first.access_request_id
    other = await as_("per").RequestAccess(for_roles(user, installation_id=site))
    more = await as_("kim").RequestAccess(
        for_roles(user, permissions_pb2.ROLE_SERVICE, installation_id=site)
    )
    listing = access_requests_pb2.ListAccessRequestsRequest(installation_id=site)
    waiting = (await as_("ola").ListAccessRequests(listing)).access_requests
    assert [(each.user_id, each.id) for each in waiting] == [
        ("per", other.access_request_id),
        ("kim", more.access_request_id),
    ]
    assert await refusal(as_("eve").ListAccessRequests(listing)) == DENIED
    # An owner of another site has nothing to say about it, whether he got the link or not.
    for which in (
        {"access_request_id": more.access_request_id},
        {"link_token": more.link_token},
    ):
        stolen = access_requests_pb2.ApproveAccessRequestRequest(installation_id=elsewhere, **which)
        unknown = grpc.StatusCode.NOT_FOUND, "access_request_unknown"
        assert await refusal(as_("eve").ApproveAccessRequest(stolen)) == unknown
    await as_("ola").ApproveAccessRequest(
        access_requests_pb2.ApproveAccessRequestRequest(
            access_request_id=more.access_request_id, installation_id=site
        )
    )
    assert holders(access, Target(site))["kim"] == {"USER", "SERVICE"}
    assert len((await as_("ola").ListAccessRequests(listing)).access_requests) == 1


async def test_members_of_a_partner_see_what_it_asked_for_and_waits(
    access: Access, as_: As
) -> None:
    """R8: of one installation or of whoever gets the link, in pages; and nobody else sees it."""
    site = a_site(access, "ola")
    fix = (await a_partner(as_)).partner_id
    mia = await joins(as_, fix, "mia@fix.example", manages=True)
    mel = await joins(as_, fix, "mel@fix.example")
    asking = {"partner_id": fix, "roles": [permissions_pb2.ROLE_SERVICE]}
    of_one, of_any = [
        (
            await as_(mia).RequestAccess(
                access_requests_pb2.RequestAccessRequest(installation_id=where, **asking)
            )
        ).access_request_id
        for where in (site, "")
    ]
    await as_(mia).RequestAccess(for_roles(permissions_pb2.ROLE_USER, installation_id=site))
    listing = access_requests_pb2.ListAccessRequestsRequest(partner_id=fix, page_size=1)
    first = await as_(mel).ListAccessRequests(listing)
    listing.page_token = first.next_page_token
    second = await as_(mel).ListAccessRequests(listing)
    assert [each.id for answer in (first, second) for each in answer.access_requests] == [
        of_one,
        of_any,
    ]
    assert (second.access_requests[0].installation_id, second.next_page_token) == ("", "")
    listing.page_token = ""
    for caller in ("eve", "ola"):
        assert await refusal(as_(caller).ListAccessRequests(listing)) == DENIED
    withdrawal = access_requests_pb2.WithdrawAccessRequestRequest(access_request_id=of_one)
    assert await refusal(as_(mel).WithdrawAccessRequest(withdrawal)) == DENIED
    await as_(mia).WithdrawAccessRequest(withdrawal)
    waiting = (await as_(mia).ListAccessRequests(listing)).access_requests
    assert [each.id for each in waiting] == [of_any]


async def test_what_is_approved_comes_to_what_is_held_already(access: Access, as_: As) -> None:
    """R4, R8."""
    site = a_site(access, "ola")
    grant(access, by("ola"), Target(site), Subject("kim"), "USER", invited=True)
    asked = await as_("kim").RequestAccess(for_roles(installation_id=site))
    await as_("ola").ApproveAccessRequest(
        access_requests_pb2.ApproveAccessRequestRequest(
            access_request_id=asked.access_request_id, installation_id=site
        )
    )
    assert holders(access, Target(site))["kim"] == {"USER", "SERVICE"}


async def test_a_request_is_denied_by_an_owner_and_withdrawn_by_who_made_it(
    access: Access, as_: As
) -> None:
    """R8."""
    site = a_site(access, "ola")
    made = await a_partner(as_)
    manager = await joins(as_, made.partner_id, "kari@volt.example", manages=True)
    request = for_roles(installation_id=site, partner_id=made.partner_id)
    first = await as_(manager).RequestAccess(request)
    deny = access_requests_pb2.DenyAccessRequestRequest(
        installation_id=site, access_request_id=first.access_request_id
    )
    withdraw = access_requests_pb2.WithdrawAccessRequestRequest(
        access_request_id=first.access_request_id
    )
    assert await refusal(as_(manager).DenyAccessRequest(deny)) == DENIED
    for caller in ("ola", "stranger"):
        assert await refusal(as_(caller).WithdrawAccessRequest(withdraw)) == DENIED
    await as_("ola").DenyAccessRequest(deny)
    answered = grpc.StatusCode.FAILED_PRECONDITION, "access_request_answered"
    assert await refusal(as_(manager).WithdrawAccessRequest(withdraw)) == answered
    second = await as_(manager).RequestAccess(request)
    assert second.access_request_id != first.access_request_id
    withdraw.access_request_id = second.access_request_id
    await as_(f"partner:{made.partner_id}").WithdrawAccessRequest(withdraw)
    anywhere = await as_(manager).RequestAccess(for_roles(partner_id=made.partner_id))
    await as_("ola").DenyAccessRequest(
        access_requests_pb2.DenyAccessRequestRequest(
            installation_id=site, link_token=anywhere.link_token
        )
    )
    states = [
        (await as_("x").GetAccessRequest(read(each.link_token))).access_request.state
        for each in (first, second, anywhere)
    ]
    assert states == [
        access_requests_pb2.ACCESS_REQUEST_STATE_DENIED,
        access_requests_pb2.ACCESS_REQUEST_STATE_WITHDRAWN,
        access_requests_pb2.ACCESS_REQUEST_STATE_DENIED,
    ]
    assert made.partner_id not in holders(access, Target(site))


async def test_whoever_approves_gives_no_more_than_he_could_by_a_permission(
    access: Access, as_: As
) -> None:
    """R3, R5: at a managed site only its operator approves, and USER alone."""
    site = a_site(access, "ola")
    operator = await a_partner(as_, name="Watt", kind=partners_pb2.PARTNER_KIND_PAYMENT_OPERATOR)
    agent = await joins(as_, operator.partner_id, "agent@watt.example")
    target = Subject(partner_id=operator.partner_id)
    grant(access, by("ola"), Target(site), target, "OPERATOR")
    service = await as_("kim").RequestAccess(for_roles(installation_id=site))

    def approval(asked: Any) -> access_requests_pb2.ApproveAccessRequestRequest:
        return access_requests_pb2.ApproveAccessRequestRequest(
            access_request_id=asked.access_request_id, installation_id=site
        )

    managed = grpc.StatusCode.FAILED_PRECONDITION, "managed_by_third_party"
    not_grantable = grpc.StatusCode.PERMISSION_DENIED, "role_not_grantable"
    for caller in ("ola", ADMINISTRATOR):
        assert await refusal(as_(caller).ApproveAccessRequest(approval(service))) == managed
    assert await refusal(as_(agent).ApproveAccessRequest(approval(service))) == not_grantable
    user = await as_("kim").RequestAccess(
        for_roles(permissions_pb2.ROLE_USER, installation_id=site)
    )
    await as_(agent).ApproveAccessRequest(approval(user))
    assert holders(access, Target(site))["kim"] == {"USER"}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"roles": []}, "roles_missing"),
        ({"roles": [permissions_pb2.ROLE_OPERATOR]}, "not_a_payment_operator"),
        ({"installation_id": "nowhere"}, "installation_unknown"),
    ],
)
async def test_what_nobody_could_approve_is_not_asked_for(
    access: Access, as_: As, fields: Any, code: str
) -> None:
    end = access.store.end()
    request = {"roles": [permissions_pb2.ROLE_USER]} | fields
    call = as_("kim").RequestAccess(access_requests_pb2.RequestAccessRequest(**request))
    assert (await refusal(call))[1] == code
    assert access.store.end() == end


async def test_for_a_partner_only_its_members_ask_and_nobody_asks_for_nobody(as_: As) -> None:
    """R8."""
    made = await a_partner(as_)
    request = for_roles(partner_id=made.partner_id)
    assert await refusal(as_("stranger").RequestAccess(request)) == DENIED
    await as_(f"partner:{made.partner_id}").RequestAccess(request)
    for caller in (ADMINISTRATOR, f"partner:{made.partner_id}"):
        assert (await refusal(as_(caller).RequestAccess(for_roles())))[1] == "subject_missing"
    owning = for_roles(permissions_pb2.ROLE_OWNER, partner_id=made.partner_id)
    program = as_(f"partner:{made.partner_id}")
    assert (await refusal(program.RequestAccess(owning)))[1] == "partner_cannot_own"


async def test_nobody_asks_without_end(as_: As, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "REQUESTS", 3)
    for _ in range(3):
        await as_("kim").RequestAccess(for_roles())
    limited = grpc.StatusCode.RESOURCE_EXHAUSTED, "too_many_attempts"
    assert await refusal(as_("kim").RequestAccess(for_roles())) == limited
    await as_("per").RequestAccess(for_roles())
