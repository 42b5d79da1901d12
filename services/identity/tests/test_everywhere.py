"""What administrators find everywhere, and who is told that somebody may act as one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from chargekey.identity.v1 import users_pb2 as pb
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.eventstore.records import DomainEvent, new_id
from chargekey_common.eventstore.store import Context, Work
from chargekey_common.grpc.client import remote_error
from chargekey_common.pages import every
from chargekey_common.testing.grpc import stubs
from chargekey_identity.domain import user
from chargekey_identity.domain.email import Email
from chargekey_identity.domain.events import EmailVerified, UserErased
from chargekey_identity.domain.user import User, may_act_as_administrator
from chargekey_identity.storage import Storage

from .conftest import STUBS, Identity, SmallAccess, serving

LISTED = "root@example.org"
OWNER = Caller("user:owner")

As = Callable[[Caller], Any]


@pytest.fixture
def identity(storage: Storage) -> Identity:
    return Identity(storage, LISTED)


@pytest.fixture
async def world(identity: Identity, tmp_path: Path) -> AsyncIterator[tuple[As, SmallAccess]]:
    async with serving(identity, tmp_path) as (as_caller, access):
        access.owners[OWNER] = "home"
        yield lambda caller: stubs(as_caller(caller), *STUBS), access


@pytest.fixture
def as_(world: tuple[As, SmallAccess]) -> As:
    return world[0]


def record(identity: Identity, user_id: str, *events: DomainEvent) -> None:
    def happen(work: Work) -> None:
        work.record(work.load(user.evolve, user_id), *events)

    identity.store.execute("happen", None, Context("test:events", new_id()), happen)


def pending(identity: Identity, address: str) -> str:
    context = Context("service:access", new_id())
    return identity.addresses.resolve_email(context, Email(address)).result


def account(identity: Identity, address: str, first_name: str = "", last_name: str = "") -> str:
    user_id = pending(identity, address)
    record(identity, user_id, EmailVerified())
    if first_name:
        identity.users.rename_user(
            Context(ADMINISTRATOR, new_id()),
            user_id=user_id,
            first_name=first_name,
            last_name=last_name,
        )
    return user_id


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as refused:
        await call
    return refused.value.code(), remote_error(refused.value).code


async def searched(stub: Any, text: str) -> list[str]:
    found = await every(
        stub.SearchPeople, pb.SearchPeopleRequest(search=text, page_size=2), "users"
    )
    return [each.name for each in found]


async def test_administrators_search_everybody_by_name_and_address(
    identity: Identity, as_: As
) -> None:
    """Of every kind and in the order they came; who was erased has neither."""
    root = as_(ADMINISTRATOR)
    local = pb.AddLocalUserRequest(installation_id="home", first_name="Kari", last_name="Nordmann")
    await root.AddLocalUser(local)
    account(identity, "ola@example.com", "Ola", "Nordmann")
    pending(identity, "nord@example.com")
    record(identity, account(identity, "nordgone@example.com", "Nora", "Nord"), UserErased())
    account(identity, "lise@nordic.example", "Lise", "Ås")
    assert await searched(root, "") == [
        "Kari Nordmann",
        "Ola Nordmann",
        "nord@example.com",
        "Lise Ås",
    ]
    assert await searched(root, "NORD") == await searched(root, "")
    assert await searched(root, "la nordm") == ["Ola Nordmann"]
    assert await searched(root, "nordic.ex") == ["Lise Ås"]
    # A name does not go on into the address behind it.
    assert await searched(root, "ås lise@") == []
    [ola] = (await root.SearchPeople(pb.SearchPeopleRequest(search="ola n"))).users
    assert (ola.email, ola.kind) == ("ola@example.com", pb.USER_KIND_ACCOUNT)


async def test_nobody_else_searches_everywhere(
    identity: Identity, world: tuple[As, SmallAccess]
) -> None:
    """R7: also who owns a site, whose people alone are his to find."""
    as_, access = world
    account(identity, "ola@example.com", "Ola", "Nordmann")
    everywhere = pb.SearchPeopleRequest(search="ola")
    for caller in (OWNER, Caller("user:somebody"), Caller("partner:somebody")):
        denied = await refusal(as_(caller).SearchPeople(everywhere))
        assert denied == (grpc.StatusCode.PERMISSION_DENIED, "permission_denied")
    assert ("user:owner", "identity.SearchPeople", "system") in access.asked


async def test_he_and_administrators_are_told_that_somebody_may_act_as_one(
    identity: Identity, world: tuple[As, SmallAccess]
) -> None:
    """ADR 36. Whoever invited him is not."""
    as_, access = world
    listed, other = account(identity, LISTED, "Root", "Root"), account(identity, "a@example.com")
    himself = Caller(f"user:{listed}")
    access.allowed |= {(himself, f"user:{listed}"), (OWNER, f"user:{listed}")}

    async def told(caller: Caller, user_id: str) -> bool:
        asked = pb.GetUserRequest(user_id=user_id)
        return bool((await as_(caller).GetUser(asked)).user.administrator)

    assert await told(himself, listed)
    assert await told(ADMINISTRATOR, listed)
    assert not await told(ADMINISTRATOR, other)
    assert not await told(OWNER, listed)


@pytest.mark.parametrize(
    "state",
    [
        User("PENDING", email=LISTED),
        User("ACCOUNT", email=LISTED, blocked_everywhere=True),
        User("ACCOUNT", email="other@example.org"),
        User("ACCOUNT", email=LISTED, erased=True),
        User("LOCAL", "home"),
    ],
)
def test_a_listed_address_that_is_not_verified_or_is_blocked_makes_no_administrator(
    state: User,
) -> None:
    assert not may_act_as_administrator(state, {LISTED})
    assert may_act_as_administrator(User("ACCOUNT", email=LISTED), {LISTED})
