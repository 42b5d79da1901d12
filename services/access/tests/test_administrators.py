"""A person who acts as an administrator may and sees what the account of one does (R5, S3-14)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from chargekey.access.v1 import (
    chargers_pb2,
    installations_pb2,
    owners_pb2,
    partners_pb2,
    permissions_pb2,
)
from chargekey.access.v1.chargers_pb2_grpc import ChargerServiceStub
from chargekey.access.v1.installations_pb2_grpc import InstallationServiceStub
from chargekey.access.v1.owners_pb2_grpc import OwnersServiceStub
from chargekey.access.v1.partners_pb2_grpc import PartnerServiceStub
from chargekey.access.v1.permissions_pb2_grpc import PermissionServiceStub
from chargekey_access.api import addresses
from chargekey_access.domain.permission import Subject, Target
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.grpc.client import remote_error
from chargekey_common.testing.grpc import stubs

from .conftest import Access, serving
from .given import a_partner, a_site, now
from .worlds import given

ROOT_ID = "0d1f7a64-5c52-4b76-8a08-0c2fd1a3a111"
ROOT = f"administrator:{ROOT_ID}"
HIMSELF = f"user:{ROOT_ID}"
STUBS = (
    InstallationServiceStub,
    ChargerServiceStub,
    PartnerServiceStub,
    PermissionServiceStub,
    OwnersServiceStub,
)

As = Callable[[str], Any]

everybody_who_is_one = pytest.mark.parametrize("administrator", [ADMINISTRATOR, ROOT])


@pytest.fixture
async def as_(access: Access, tmp_path: Path) -> AsyncIterator[As]:
    async with serving(access, tmp_path) as as_caller:
        yield lambda caller: stubs(as_caller(Caller(caller)), *STUBS)


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as refused:
        await call
    return refused.value.code(), remote_error(refused.value).code


@everybody_who_is_one
async def test_his_site_waits_for_its_owner_and_is_made_by_himself(
    access: Access, as_: As, administrator: str
) -> None:
    request = installations_pb2.CreateInstallationRequest(name="Home", time_zone="Europe/Oslo")
    made = await as_(administrator).CreateInstallation(request)
    assert not access.directory.holdings.on(Target(made.installation_id))
    assert {record.actor for _, record, _ in access.store.read(0, 10)} == {administrator}


@everybody_who_is_one
async def test_he_sees_every_site_with_what_its_owners_see_and_every_partner(
    access: Access, as_: As, administrator: str
) -> None:
    sites = [a_site(access, "ola"), a_site(access, "eva")]
    given(access, Subject("kari"), Target(sites[0]), "USER")
    access.owners.offer_ownership(now(), installation_id=sites[0], user_id="kari", invited=True)
    partner = a_partner(access, "SERVICE_PARTNER")
    door = as_(administrator)
    listed = (
        await door.ListInstallations(installations_pb2.ListInstallationsRequest())
    ).installations
    assert [each.id for each in listed] == sites
    assert listed[0].ownership_offered_to == "kari"
    partners = (await door.ListPartners(partners_pb2.ListPartnersRequest())).partners
    assert [each.id for each in partners] == [partner]
    himself = as_(HIMSELF)
    nothing = await himself.ListInstallations(installations_pb2.ListInstallationsRequest())
    assert not nothing.installations
    assert not (await himself.ListPartners(partners_pb2.ListPartnersRequest())).partners


@everybody_who_is_one
async def test_what_he_can_use_himself_is_asked_of_him_as_the_person_he_is(
    as_: As, administrator: str
) -> None:
    request = chargers_pb2.ListUsableChargersRequest()
    unknown = (grpc.StatusCode.NOT_FOUND, "user_unknown")
    assert await refusal(as_(administrator).ListUsableChargers(request)) == unknown
    assert not (await as_(HIMSELF).ListUsableChargers(request)).chargers


@everybody_who_is_one
async def test_he_gives_every_role_to_more_addresses_than_anybody_else(
    access: Access, as_: As, administrator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5."""
    monkeypatch.setattr(addresses, "MOST_IN_TOTAL", 1)
    site = a_site(access, "ola")
    for number in range(3):
        await as_(administrator).GrantPermission(
            permissions_pb2.GrantPermissionRequest(
                installation_id=site,
                email=f"owner{number}@example.org",
                roles=[permissions_pb2.ROLE_OWNER],
            )
        )


@everybody_who_is_one
async def test_he_offers_the_one_owners_ownership_and_not_his_own(
    access: Access, as_: As, administrator: str
) -> None:
    """R6: also where he is somebody at that site himself."""
    site = a_site(access, "ola")
    given(access, Subject(ROOT_ID), Target(site), "USER")
    await as_(administrator).OfferOwnership(
        owners_pb2.OfferOwnershipRequest(installation_id=site, user_id=ROOT_ID)
    )
    offer = access.directory.holdings.owners(site).offer
    assert offer is not None
    assert (offer.from_user_id, offer.to_user_id) == ("ola", ROOT_ID)
    request = owners_pb2.AcceptOwnershipRequest(installation_id=site)
    assert await refusal(as_(administrator).AcceptOwnership(request)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "ownership_not_offered",
    )
    await as_(HIMSELF).AcceptOwnership(request)


async def test_an_erased_persons_last_token_as_an_administrator_is_nobodys(
    access: Access, as_: As
) -> None:
    """R20: as his own."""
    request = installations_pb2.ListInstallationsRequest()
    door = as_(ROOT)
    await door.ListInstallations(request)
    access.forgetting.forget_user(now(), user_id=ROOT_ID)
    denied = (grpc.StatusCode.PERMISSION_DENIED, "permission_denied")
    assert await refusal(door.ListInstallations(request)) == denied
    await as_(ADMINISTRATOR).ListInstallations(request)
