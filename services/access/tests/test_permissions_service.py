"""Permissions, owners and blocks over gRPC: who is found how, pages, what is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc import aio

from chargekey.access.v1 import owners_pb2, partners_pb2, permissions_pb2
from chargekey.access.v1.owners_pb2_grpc import OwnersServiceStub
from chargekey.access.v1.partners_pb2_grpc import PartnerServiceStub
from chargekey.access.v1.permissions_pb2_grpc import PermissionServiceStub
from chargekey_access.api import addresses
from chargekey_access.api.identity import Identity
from chargekey_access.domain.permission import Subject, Target, permission_id
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.errors import UnavailableError
from chargekey_common.grpc.client import channel, remote_error
from chargekey_common.testing.grpc import stubs

from .conftest import Access, serving
from .given import a_charger, a_local_user, a_partner, a_site, by, grant, holders

OWNER = permissions_pb2.ROLE_OWNER
USER = permissions_pb2.ROLE_USER
SERVICE = permissions_pb2.ROLE_SERVICE
OPERATOR = permissions_pb2.ROLE_OPERATOR


class Doors:
    """The services as whoever calls."""

    def __init__(self, as_caller: Any) -> None:
        self._as_caller = as_caller

    def __getattr__(self, user_id: str) -> Any:
        return self.of(f"user:{user_id}")

    def of(self, caller: str) -> Any:
        channel = self._as_caller(Caller(caller))
        return stubs(channel, PermissionServiceStub, OwnersServiceStub, PartnerServiceStub)


@asynccontextmanager
async def doors_to(access: Access, directory: Path) -> AsyncIterator[Doors]:
    async with serving(access, directory) as as_caller:
        yield Doors(as_caller)


@pytest_asyncio.fixture
async def doors(access: Access, tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors_to(access, tmp_path) as found:
        yield found


async def refusal(call: object) -> str:
    with pytest.raises(aio.AioRpcError) as refused:
        await call  # type: ignore[misc] # any call
    return remote_error(refused.value).code


def granting(**fields: Any) -> permissions_pb2.GrantPermissionRequest:
    return permissions_pb2.GrantPermissionRequest(**fields)


async def test_permission_is_given_by_id_address_partner_id_and_lookup_key(
    access: Access, doors: Doors
) -> None:
    """S3-1, S3-15, S3-18, S3-19, S3-26: target, subject, role, in one call."""
    site = a_site(access, "ola")
    charger = a_charger(access, site)
    first, second = a_partner(access, key="K7Q2"), a_partner(access, key="ZZ99")
    for target in ({"installation_id": site}, {"charger_id": charger}):
        for subject, roles in (
            ({"user_id": "ola"}, [OWNER, USER]),
            ({"email": "kari@example.org"}, [USER]),
            ({"partner_id": first}, [SERVICE]),
            ({"lookup_key": "zz99"}, [SERVICE, USER]),
        ):
            answer = await doors.ola.GrantPermission(granting(**target, **subject, roles=roles))
            assert answer.permission_id
            assert answer.position
    listed = permissions_pb2.ListPermissionsRequest(installation_id=site)
    held = (await doors.ola.ListPermissions(listed)).permissions
    assert {each.partner_id: each.partner_name for each in held} == {
        "": "",
        first: "Volt AS",
        second: "Volt AS",
    }
    assert {each.ocpp_identity for each in held} == {""}
    at_charger = permissions_pb2.ListPermissionsRequest(charger_id=charger)
    of_it = (await doors.ola.ListPermissions(at_charger)).permissions
    assert {each.ocpp_identity for each in of_it} == {"CP-1"}
    one = permissions_pb2.GetPermissionRequest(permission_id=held[-1].id)
    assert (await doors.ola.GetPermission(one)).permission == held[-1]
    found = access.people["kari@example.org"]
    for at in (Target(site), Target(site, charger)):
        assert holders(access, at) == {
            "ola": {"OWNER", "USER"},
            found: {"USER"},
            first: {"SERVICE"},
            second: {"SERVICE", "USER"},
        }
    granted = [record.event for _, record, _ in access.store.read(0, 100)]
    invited = {event.user_id for event in granted if getattr(event, "invited", False)}
    assert invited == {found}


async def test_the_answer_does_not_tell_whether_an_address_was_somebodys(
    access: Access, doors: Doors
) -> None:
    """R7."""
    site = a_site(access, "ola")
    access.people["old@example.org"] = "somebody"
    answers = [
        await doors.ola.GrantPermission(granting(installation_id=site, email=each, roles=[USER]))
        for each in ("old@example.org", "new@example.org")
    ]
    assert [sorted(name.name for name, _ in each.ListFields()) for each in answers] == [
        ["permission_id", "position"]
    ] * 2


async def test_nobody_is_made_a_user_for_what_is_refused(access: Access, doors: Doors) -> None:
    """R5, R7, S3-16."""
    site = a_site(access, "ola")
    charger = a_charger(access, site)
    grant(access, by("ola"), Target(site, charger), Subject("per"), "OWNER", invited=True)
    end = access.store.end()
    refused = {
        await refusal(doors.ola.GrantPermission(granting(email="k@example.org", **each)))
        for each in (
            {"installation_id": site},
            {"installation_id": site, "roles": [0]},
            {"installation_id": site, "roles": [OPERATOR]},
            {"installation_id": site, "roles": [OWNER], "valid_until": "2199-01-01"},
            {"installation_id": site, "roles": [USER], "valid_until": "2001-01-01"},
            {"roles": [USER]},
        )
    }
    assert refused == {
        "roles_missing",
        "not_a_payment_operator",
        "owner_without_end",
        "date_in_past",
        "permission_denied",
    }
    request = granting(email="k@example.org", charger_id=charger, roles=[SERVICE])
    assert await refusal(doors.per.GrantPermission(request)) == "role_not_grantable"
    both = a_site(access, "ola", "eva")
    offer = owners_pb2.OfferOwnershipRequest(installation_id=both, email="k@example.org")
    door = doors.of(ADMINISTRATOR)
    assert await refusal(door.OfferOwnership(offer)) == "no_owner_to_offer"
    assert access.people == {}
    assert access.store.end() == end + 7  # what `both` came from


def to_an_address(site: str, partner_id: str, email: str) -> Mapping[str, Any]:
    """Return a request of each method that has something mailed to an address."""
    return {
        "GrantPermission": granting(installation_id=site, email=email, roles=[USER]),
        "OfferOwnership": owners_pb2.OfferOwnershipRequest(installation_id=site, email=email),
        "AddPartnerMember": partners_pb2.AddPartnerMemberRequest(
            partner_id=partner_id, email=email
        ),
    }


@pytest.mark.parametrize("last", ["GrantPermission", "OfferOwnership", "AddPartnerMember"])
@pytest.mark.parametrize("caller", ["user:ola", ADMINISTRATOR])
async def test_nobody_has_mail_sent_to_one_address_without_end(
    access: Access, doors: Doors, caller: str, last: str
) -> None:
    """R7: five times a day, whatever is given there; administrators, too."""
    site, partner_id = a_site(access, "ola"), a_partner(access, members={"ola": True, "eva": True})
    requests = to_an_address(site, partner_id, "kari@example.org")
    for method in (*requests, "GrantPermission", "AddPartnerMember"):
        await getattr(doors.of(caller), method)(requests[method])
    end = access.store.end()
    assert await refusal(getattr(doors.of(caller), last)(requests[last])) == "too_many_attempts"
    assert access.store.end() == end
    other = to_an_address(site, partner_id, "per@example.org")
    await getattr(doors.of(caller), last)(other[last])
    await doors.eva.AddPartnerMember(requests["AddPartnerMember"])


@pytest.mark.parametrize("last", ["GrantPermission", "OfferOwnership", "AddPartnerMember"])
async def test_nobody_but_an_administrator_has_mail_sent_to_addresses_without_end(
    access: Access, doors: Doors, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """R7: and nobody is made a user for what is refused."""
    assert addresses.MOST_IN_TOTAL == 200
    monkeypatch.setattr(addresses, "MOST_IN_TOTAL", 3)
    site, partner_id = a_site(access, "ola"), a_partner(access, members={"ola": True})
    for door in (doors.ola, doors.of(ADMINISTRATOR)):
        for number, method in enumerate(to_an_address(site, partner_id, "")):
            requests = to_an_address(site, partner_id, f"{number}@example.org")
            await getattr(door, method)(requests[method])
    request = to_an_address(site, partner_id, "kari@example.org")[last]
    assert await refusal(getattr(doors.ola, last)(request)) == "too_many_attempts"
    assert "kari@example.org" not in access.people
    await getattr(doors.of(ADMINISTRATOR), last)(request)
    await doors.ola.GrantPermission(granting(installation_id=site, user_id="ola", roles=[OWNER]))


async def test_an_address_that_is_none_is_refused_by_name(access: Access, doors: Doors) -> None:
    site = a_site(access, "ola")
    request = granting(installation_id=site, email="nonsense", roles=[USER])
    assert await refusal(doors.ola.GrantPermission(request)) == "email_malformed"
    offer = owners_pb2.OfferOwnershipRequest(installation_id=site, email="")
    assert await refusal(doors.ola.OfferOwnership(offer)) == "email_malformed"


async def test_a_role_that_is_not_the_callers_to_give_is_refused_by_name(
    access: Access, doors: Doors
) -> None:
    """R5, S3-9, S3-43."""
    site = a_site(access, "ola")
    charger = a_charger(access, site)
    grant(access, by("ola"), Target(site, charger), Subject("per"), "OWNER", invited=True)
    grant(access, by("ola"), Target(site), Subject("kari"), "USER", "SERVICE", invited=True)
    request = granting(charger_id=charger, user_id="kari", roles=[SERVICE])
    with pytest.raises(aio.AioRpcError) as refused:
        await doors.per.GrantPermission(request)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert remote_error(refused.value).code == "role_not_grantable"
    for caller in (doors.kari, doors.nobody):
        assert await refusal(caller.GrantPermission(request)) == "permission_denied"


async def test_changing_gives_what_is_given_and_leaves_the_rest(
    access: Access, doors: Doors
) -> None:
    """R4, R10."""
    site = a_site(access, "ola")
    key = grant(access, by("ola"), Target(site), Subject("kari"), "USER", invited=True)

    async def held() -> tuple[list[int], bool]:
        request = permissions_pb2.GetPermissionRequest(permission_id=key)
        found = (await doors.kari.GetPermission(request)).permission
        assert (found.id, found.installation_id, found.user_id) == (key, site, "kari")
        return list(found.roles), found.HasField("valid_until")

    async def change(**fields: Any) -> None:
        await doors.ola.ChangePermission(
            permissions_pb2.ChangePermissionRequest(permission_id=key, **fields)
        )

    await change(valid_until="2199-01-01")
    assert await held() == ([USER], True)
    await change(roles=[SERVICE, USER])
    assert await held() == ([SERVICE, USER], True)
    await change(valid_until="")
    assert await held() == ([SERVICE, USER], False)
    await change()
    assert await held() == ([SERVICE, USER], False)


async def test_a_permission_is_shown_to_who_holds_it_and_who_gives_it(
    access: Access, doors: Doors
) -> None:
    site = a_site(access, "ola")
    key = grant(access, by("ola"), Target(site), Subject("kari"), "USER", invited=True)
    request = permissions_pb2.GetPermissionRequest(permission_id=key)
    for door in (doors.ola, doors.kari):
        assert (await door.GetPermission(request)).permission.id == key
    assert await refusal(doors.per.GetPermission(request)) == "permission_denied"
    await doors.kari.RevokePermission(permissions_pb2.RevokePermissionRequest(permission_id=key))
    assert await refusal(doors.ola.GetPermission(request)) == "permission_unknown"


async def everything(method: Any, request: Any, field: str) -> list[Any]:
    """Read a list page by page, a few at a time; no page but the last is short."""
    entries: list[Any] = []
    request.page_size = 3
    while True:
        answer = await method(request)
        page = list(getattr(answer, field))
        entries += page
        if not answer.next_page_token:
            return entries
        assert len(page) == 3
        request.page_token = answer.next_page_token


async def test_permissions_are_listed_in_pages_and_never_cut(access: Access, doors: Doors) -> None:
    """S3-25: the charger has a list of its own."""
    site = a_site(access, "ola")
    charger = a_charger(access, site)
    people = [f"driver-{number}" for number in range(8)]
    for each in people:
        grant(access, by("ola"), Target(site), Subject(each), "USER", invited=True)
        grant(access, by("ola"), Target(site, charger), Subject(each), "SERVICE", invited=True)
    for each in people[::3]:
        access.permissions.revoke_permission(
            by("ola"), permission_id=permission_id(Subject(each), Target(site))
        )
    left = [each for each in people if each not in people[::3]]
    at_site = await everything(
        doors.ola.ListPermissions,
        permissions_pb2.ListPermissionsRequest(installation_id=site),
        "permissions",
    )
    assert [each.user_id for each in at_site] == ["ola", *left]
    at_charger = await everything(
        doors.ola.ListPermissions,
        permissions_pb2.ListPermissionsRequest(charger_id=charger),
        "permissions",
    )
    assert [(each.user_id, each.charger_id) for each in at_charger] == [
        (each, charger) for each in people
    ]


async def test_permissions_of_the_users_one_asks_about_come_in_the_same_order_and_pages(
    access: Access, doors: Doors
) -> None:
    site, other = a_site(access, "ola"), a_site(access, "ola")
    partner = Subject(partner_id=a_partner(access))
    grant(access, by("ola"), Target(site), partner, "USER")
    people = [f"driver-{number}" for number in range(9)]
    for each in people:
        grant(access, by("ola"), Target(site), Subject(each), "USER", invited=True)
        grant(access, by("ola"), Target(other), Subject(each), "USER", invited=True)
    access.permissions.revoke_permission(
        by("ola"), permission_id=permission_id(Subject("driver-2"), Target(site))
    )

    async def of(*users: str) -> list[str]:
        request = permissions_pb2.ListPermissionsRequest(installation_id=site, user_ids=users)
        found = await everything(doors.ola.ListPermissions, request, "permissions")
        assert {each.installation_id for each in found} <= {site}
        return [each.user_id for each in found]

    assert await of("driver-7", "driver-1", "driver-2", "nobody", "driver-1") == [
        "driver-1",
        "driver-7",
    ]
    assert await of(*reversed(people)) == [each for each in people if each != "driver-2"]
    assert await of("nobody") == []
    assert await of("") == []  # as a partner's are of no user
    thousand = [f"somebody-{number}" for number in range(999)]
    assert await of(*thousand, "ola") == ["ola"]
    assert await refusal(of(*thousand, "ola", "driver-1")) == "too_many_users"


async def test_everybody_lists_what_he_holds_and_an_owner_what_his_local_users_hold(
    access: Access, doors: Doors
) -> None:
    sites = [a_site(access, "ola") for _ in range(5)]
    a_local_user(access, sites[0], "lise")
    a_partner(access, members={"ines": False})
    for site in sites:
        grant(access, by("ola"), Target(site), Subject("kari"), "USER", invited=True)
    request = permissions_pb2.ListPermissionsOfUserRequest
    mine = await everything(doors.kari.ListPermissionsOfUser, request(), "permissions")
    assert [each.installation_id for each in mine] == sites
    named = request(user_id="kari")
    assert await everything(doors.kari.ListPermissionsOfUser, named, "permissions") == mine
    his = (await doors.ola.ListPermissionsOfUser(request(user_id="lise"))).permissions
    assert [each.user_id for each in his] == ["lise"]
    assert not (await doors.newcomer.ListPermissionsOfUser(request())).permissions
    assert not (await doors.ines.ListPermissionsOfUser(request(user_id="ines"))).permissions
    for other in ("ola", "ines", "nobody"):
        asked = doors.kari.ListPermissionsOfUser(request(user_id=other))
        assert await refusal(asked) == "permission_denied"
    administrator = doors.of(ADMINISTRATOR)
    for nobody in ("", "nobody"):
        asked = administrator.ListPermissionsOfUser(request(user_id=nobody))
        assert await refusal(asked) == "user_unknown"


async def test_blocking_tells_at_how_many_chargers_it_cannot_be_enforced(
    access: Access, doors: Doors
) -> None:
    """R12."""
    site = a_site(access, "ola")
    chargers = [a_charger(access, site, f"CP-{number}") for number in range(3)]
    for each in chargers[:2]:
        access.chargers.set_authorisation_override(
            by("ola"), charger_id=each, override="NOT_REQUIRED"
        )
    for each in ("kari", "per", "eva", "odd"):
        grant(access, by("ola"), Target(site), Subject(each), "USER", invited=True)
        request = owners_pb2.BlockUserAtInstallationRequest(installation_id=site, user_id=each)
        answer = await doors.ola.BlockUserAtInstallation(request)
        assert answer.open_chargers == 2
        assert answer.position
    await doors.ola.UnblockUserAtInstallation(
        owners_pb2.UnblockUserAtInstallationRequest(installation_id=site, user_id="per")
    )
    listed = owners_pb2.ListBlockedUsersRequest(installation_id=site)
    found = await everything(doors.ola.ListBlockedUsers, listed, "user_ids")
    assert found == ["kari", "eva", "odd"]
    named = owners_pb2.ListBlockedUsersRequest(installation_id=site, user_ids=["odd", "per", "eva"])
    assert await everything(doors.ola.ListBlockedUsers, named, "user_ids") == ["eva", "odd"]
    for caller in (doors.kari, doors.per, doors.nobody):
        assert await refusal(caller.ListBlockedUsers(listed)) == "permission_denied"


async def test_ownership_is_offered_by_address_and_accepted_over_grpc(
    access: Access, doors: Doors
) -> None:
    """R6, R7."""
    site = a_site(access, "ola")
    await doors.ola.OfferOwnership(
        owners_pb2.OfferOwnershipRequest(installation_id=site, email="kari@example.org")
    )
    kari = access.people["kari@example.org"]
    # Who writes to owners reads who they are; nobody else does.
    owned = owners_pb2.GetOwnersRequest(installation_id=site)
    notifier = doors.of("service:notifier")
    assert list((await notifier.GetOwners(owned)).user_ids) == ["ola"]
    assert await refusal(doors.ola.GetOwners(owned)) == "permission_denied"
    accepting = owners_pb2.AcceptOwnershipRequest(installation_id=site)
    assert await refusal(doors.per.AcceptOwnership(accepting)) == "permission_denied"
    await doors.of(f"user:{kari}").AcceptOwnership(accepting)
    assert list((await notifier.GetOwners(owned)).user_ids) == [kari]
    assert holders(access, Target(site)) == {"ola": {"USER"}, kari: {"OWNER", "USER"}}
    withdrawing = owners_pb2.WithdrawOwnershipOfferRequest(installation_id=site)
    assert await refusal(doors.of(f"user:{kari}").WithdrawOwnershipOffer(withdrawing)) == (
        "ownership_not_offered"
    )
    nobody = owners_pb2.OfferOwnershipRequest(installation_id=site)
    assert await refusal(doors.of(f"user:{kari}").OfferOwnership(nobody)) == "subject_missing"


async def test_a_permission_for_nobody_is_refused_by_name(access: Access, doors: Doors) -> None:
    """S3-46: a subject is chosen."""
    site = a_site(access, "ola")
    request = granting(installation_id=site, roles=[USER])
    assert await refusal(doors.ola.GrantPermission(request)) == "subject_missing"


async def test_only_identity_has_a_user_forgotten_and_no_last_owner_is(
    access: Access, doors: Doors
) -> None:
    """R6, R20."""
    site = a_site(access, "ola")
    grant(access, by("ola"), Target(site), Subject("kari"), "USER", invited=True)
    identity = doors.of("service:identity")
    request = permissions_pb2.ForgetUserRequest
    assert await refusal(doors.kari.ForgetUser(request(user_id="kari"))) == "permission_denied"
    assert await refusal(identity.ForgetUser(request(user_id="ola"))) == "last_owner"
    assert (await identity.ForgetUser(request(user_id="kari"))).position
    assert holders(access, Target(site)) == {"ola": {"OWNER", "USER"}}
    listing = permissions_pb2.ListPermissionsOfUserRequest()
    assert await refusal(doors.kari.ListPermissionsOfUser(listing)) == "permission_denied"


async def test_without_identity_who_is_named_by_an_address_is_tried_again_later() -> None:
    async with channel("127.0.0.1:1", None) as nobody_listens:
        with pytest.raises(UnavailableError):
            await Identity(nobody_listens).user_of("kari@example.org")
