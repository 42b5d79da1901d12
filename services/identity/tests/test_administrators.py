"""Administrators who are people: listed by their addresses, signed in as everybody, told apart."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from chargekey.identity.v1 import sign_in_pb2 as pb
from chargekey.identity.v1.sign_in_pb2_grpc import SignInServiceStub
from chargekey_common.accounts import (
    ADMINISTRATOR,
    NOBODY,
    Caller,
    Signer,
    Verifier,
    make_account,
    service_account,
)
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.eventstore.records import DomainEvent, new_id
from chargekey_common.eventstore.store import Context, Work
from chargekey_common.grpc.client import channel, issued_keys, remote_error
from chargekey_common.grpc.server import SYSTEM, Server, Service
from chargekey_common.testing.openid import REDIRECT_URI
from chargekey_common.tokens import LIFETIME
from chargekey_identity.api import sign_in
from chargekey_identity.application.sign_in_links import MOST_PER_ADDRESS
from chargekey_identity.domain import user
from chargekey_identity.domain.email import Email
from chargekey_identity.domain.events import (
    ActedAsAdministrator,
    EmailVerified,
    PendingUserAdded,
    SignInLinkRequested,
    UserBlocked,
    UserErased,
    UserUnblocked,
)
from chargekey_identity.storage import Storage

from .conftest import Identity
from .openid_server import signing_in_by_a_provider

LISTED, OTHER = "root@example.org", "anna@example.org"
DENIED = (grpc.StatusCode.PERMISSION_DENIED, "permission_denied")


class Bearer:
    """Shows one token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        return self._token


class Here:
    """Identity's sign-in on a port, and beside it a service that knows identity's keys alone."""

    def __init__(self, identity: Identity, directory: Path, opened: list[aio.Channel]) -> None:
        self.identity = identity
        self.accounts = directory / "accounts"
        self._keys = directory / "keys"
        self._opened = opened
        self.address = ""

    def as_(self, token: str | None) -> Any:
        self._opened.append(channel(self.address, None if token is None else Bearer(token)))
        return SignInServiceStub(self._opened[-1])

    def as_account(self, account: Caller) -> Any:
        key = make_account(account, keys=self._keys, accounts=self.accounts)
        return self.as_(Signer.from_file(key).token())

    async def elsewhere(self, token: str) -> Caller:
        """Return who another service takes this for; raises UnauthenticatedError."""
        async with channel(self.address, None) as to_identity:
            return await Verifier(self.accounts, issued_keys(to_identity)).verify(token)


@pytest.fixture
def identity(storage: Storage) -> Identity:
    return Identity(storage, LISTED)


async def everybody(caller: Caller, action: str, obj: str) -> None:
    """Let in as access does: everybody who is known, about nobody else."""
    anybody = action in {"identity.RequestSignInLink", "identity.SignIn", "identity.GetKeys"}
    if obj != SYSTEM or (caller == NOBODY and not anybody):
        raise PermissionDeniedError


@pytest.fixture
async def here(identity: Identity, tmp_path: Path) -> AsyncIterator[Here]:
    opened: list[aio.Channel] = []
    here = Here(identity, tmp_path, opened)
    service: Service = sign_in.service(
        identity.sign_ins,
        identity.sign_in_links,
        identity.openid,
        identity.storage.signing_keys,
    )
    server = Server(service, Verifier(here.accounts, identity.keys), everybody)
    here.address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
    try:
        yield here
    finally:
        for each in opened:
            await each.close()
        await server.stop(grace=0)


def happened(identity: Identity, kind: type[DomainEvent]) -> list[tuple[str, str]]:
    """Return whom such events are about and who caused them."""
    return [
        (record.originator_id, record.actor)
        for _, record, _ in identity.store.read(0, 1000)
        if isinstance(record.event, kind)
    ]


def record(identity: Identity, user_id: str, *events: DomainEvent) -> None:
    def happen(work: Work) -> None:
        work.record(work.load(user.evolve, user_id), *events)

    identity.store.execute("happen", None, Context("test:events", new_id()), happen)


def pending(identity: Identity, address: str) -> str:
    context = Context("service:access", new_id())
    return identity.addresses.resolve_email(context, Email(address)).result


def account(identity: Identity, address: str) -> str:
    user_id = pending(identity, address)
    record(identity, user_id, EmailVerified())
    return user_id


def own_token(identity: Identity, user_id: str) -> str:
    return identity.sign_ins.issue(user_id).access.text


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as refused:
        await call
    return refused.value.code(), remote_error(refused.value).code


def act(door: Any) -> Any:
    return door.ActAsAdministrator(pb.ActAsAdministratorRequest())


async def mailed(here: Here, address: str) -> str:
    """Ask for a link and return what its mail carries."""
    identity = here.identity
    await here.as_(None).RequestSignInLink(pb.RequestSignInLinkRequest(email=address))
    [(user_id, _)] = happened(identity, PendingUserAdded)
    [event_id] = [
        record.event_id
        for _, record, _ in identity.store.read(0, 1000)
        if isinstance(record.event, SignInLinkRequested)
    ]
    return identity.sign_in_links.issue(event_id, user_id).token


@pytest.mark.parametrize("typed", [LISTED, " Root@Example.org"])
async def test_the_first_person_of_a_fresh_system_signs_in_and_administers(
    here: Here, typed: str
) -> None:
    """S3-20: nobody invited him, and nobody knows his name; he is told as himself everywhere."""
    link = await mailed(here, typed)
    signed_in = await here.as_(None).SignIn(pb.SignInRequest(token=link))
    began = time.time_ns()
    answer = await act(here.as_(signed_in.access_token))
    assert await here.elsewhere(answer.access_token) == f"administrator:{signed_in.user_id}"
    assert await here.elsewhere(signed_in.access_token) == f"user:{signed_in.user_id}"
    assert began <= answer.expires_at + 10**9
    assert answer.expires_at <= time.time_ns() + LIFETIME * 10**9
    himself = (signed_in.user_id, f"user:{signed_in.user_id}")
    assert happened(here.identity, ActedAsAdministrator) == [himself]
    assert answer.position == str(here.identity.store.position())
    # By what he was given he does not go on for ever: each time he shows his own.
    assert await refusal(act(here.as_(answer.access_token))) == DENIED


async def test_asking_for_a_link_makes_one_user_of_a_listed_address_and_none_of_another(
    here: Here,
) -> None:
    """R7: the answer is the same, and so is the limit."""
    door = here.as_(None)
    for address in (LISTED, OTHER):
        request = pb.RequestSignInLinkRequest(email=address)
        for _ in range(MOST_PER_ADDRESS):
            assert await door.RequestSignInLink(request) == pb.RequestSignInLinkResponse()
        assert await refusal(door.RequestSignInLink(request)) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "too_many_attempts",
        )
    [(made, by)] = happened(here.identity, PendingUserAdded)
    assert by == NOBODY
    assert happened(here.identity, SignInLinkRequested) == [(made, NOBODY)] * MOST_PER_ADDRESS


async def test_who_was_invited_before_he_was_listed_is_the_same_user(here: Here) -> None:
    invited = pending(here.identity, LISTED)
    link = await mailed(here, LISTED)
    assert (await here.as_(None).SignIn(pb.SignInRequest(token=link))).user_id == invited


async def test_nobody_else_administers(here: Here) -> None:
    """Neither who is not listed, nor a program, a service, an account of an administrator."""
    identity = here.identity
    signing = identity.storage.signing_keys
    anna = own_token(identity, account(identity, OTHER))
    pending_one = signing.sign(f"user:{pending(identity, LISTED)}").text
    unknown = signing.sign(f"user:{new_id()}").text
    partner = signing.sign(f"partner:{new_id()}").text
    for token in (anna, pending_one, unknown, partner):
        assert await refusal(act(here.as_(token))) == DENIED
    for each in (ADMINISTRATOR, service_account("gateway")):
        assert await refusal(act(here.as_account(each))) == DENIED
    assert await refusal(act(here.as_(None))) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "unauthenticated",
    )
    assert happened(identity, ActedAsAdministrator) == []


async def test_who_is_blocked_or_erased_administers_no_longer_though_his_own_token_is_good(
    here: Here,
) -> None:
    """R12, R20: he gets no new token, and goes on with his last for its minutes."""
    identity = here.identity
    root = account(identity, LISTED)
    door = here.as_(own_token(identity, root))
    await act(door)
    record(identity, root, UserBlocked(installation_id=None))
    assert await refusal(act(door)) == DENIED
    record(identity, root, UserUnblocked(installation_id=None))
    await act(door)
    record(identity, root, UserErased())
    assert await refusal(act(door)) == DENIED


async def test_who_is_listed_no_longer_administers_no_longer(here: Here, storage: Storage) -> None:
    """Nothing is remembered: the settings of a process say who may."""
    root = account(here.identity, LISTED)
    actor = Context(f"user:{root}", new_id())
    assert here.identity.sign_ins.act_as_administrator(actor).result.text
    for listed in ((), (OTHER,)):
        with pytest.raises(PermissionDeniedError):
            Identity(storage, *listed).sign_ins.act_as_administrator(
                Context(f"user:{root}", new_id())
            )


async def test_by_a_provider_the_address_counts_that_was_verified_at_the_first_time(
    identity: Identity, here: Here
) -> None:
    """Whatever address comes with the account from then on (R7)."""

    async with signing_in_by_a_provider(identity) as provider:

        async def sign_in_as(**person: object) -> str:
            provider.person |= person
            begun = await identity.openid.begin(REDIRECT_URI)
            state, code = provider.sign_in(begun.authorization_url)
            return await identity.openid.complete(state, code)

        root = await sign_in_as(sub="root", email="Root@example.org")
        answer = await act(here.as_(own_token(identity, root)))
        assert await here.elsewhere(answer.access_token) == f"administrator:{root}"
        assert await sign_in_as(sub="root", email="root@elsewhere.example") == root
        await act(here.as_(own_token(identity, root)))

        anna = await sign_in_as(sub="anna", email=OTHER)
        # An address that he took later is not his here.
        assert await sign_in_as(sub="anna", email=LISTED) == anna
        assert await refusal(act(here.as_(own_token(identity, anna)))) == DENIED
