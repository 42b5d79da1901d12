"""Signing in: tokens for whoever has shown who he is, over gRPC and for other services to see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
import pytest_asyncio
from grpc import aio

from chargekey.identity.v1 import sign_in_pb2 as pb
from chargekey.identity.v1.sign_in_pb2_grpc import SignInServiceStub
from chargekey_common.accounts import ADMINISTRATOR, NOBODY, Caller, Signer, Verifier, make_account
from chargekey_common.errors import PermissionDeniedError, UnauthenticatedError, UnavailableError
from chargekey_common.eventstore.records import DomainEvent, new_id
from chargekey_common.eventstore.store import CommandIdReusedError, Context, Work
from chargekey_common.grpc.client import channel, issued_keys, remote_error
from chargekey_common.grpc.server import Server
from chargekey_common.testing.openid import REDIRECT_URI, OpenIdServer
from chargekey_identity.api import sign_in
from chargekey_identity.application import openid_sign_in
from chargekey_identity.application.sign_in_links import MOST_PER_ADDRESS
from chargekey_identity.domain import user
from chargekey_identity.domain.email import Email
from chargekey_identity.domain.errors import SignInEndedError, SignInRefusedError, UserUnknownError
from chargekey_identity.domain.events import (
    EmailVerified,
    OpenIdLinked,
    SignedIn,
    SignedInAs,
    UserBlocked,
    UserErased,
    UserUnblocked,
)
from chargekey_identity.storage import opened

from .conftest import MASTER, Identity
from .openid_server import signing_in_by_a_provider

ANYBODY_MAY = {
    "identity.RequestSignInLink",
    "identity.SignIn",
    "identity.BeginOpenIdSignIn",
    "identity.CompleteOpenIdSignIn",
    "identity.RefreshSignIn",
    "identity.SignOut",
    "identity.GetKeys",
}


def record(identity: Identity, user_id: str, *events: DomainEvent) -> None:
    def happen(work: Work) -> None:
        work.record(work.load(user.evolve, user_id), *events)

    identity.store.execute("happen", None, Context("test:events", new_id()), happen)


def pending(identity: Identity, address: str = "anna@example.org") -> str:
    context = Context("service:access", new_id())
    return identity.addresses.resolve_email(context, Email(address)).result


def account(identity: Identity, address: str = "anna@example.org") -> str:
    user_id = pending(identity, address)
    record(identity, user_id, EmailVerified())
    return user_id


def local(identity: Identity) -> str:
    return identity.users.add_local_user(
        Context(ADMINISTRATOR, new_id()),
        installation_id="home",
        first_name="Ada",
        last_name="Lovelace",
        blocked=False,
    ).result


def happened(identity: Identity, kind: type[DomainEvent]) -> list[tuple[str, str, DomainEvent]]:
    """Return whom such events are about, who caused them, and what they were."""
    return [
        (record.originator_id, record.actor, record.event)
        for _, record, _ in identity.store.read(0, 1000)
        if isinstance(record.event, kind)
    ]


def on_disk(directory: Path) -> bytes:
    return b"".join(each.read_bytes() for each in directory.glob("*.db*"))


class Running(msgspec.Struct, frozen=True):
    """Identity on a port, verifying tokens by its own keys, as nobody and as an administrator."""

    address: str
    nobody: Any
    administrator: Any
    as_bearer: Callable[[str], Any]


class Bearer:
    """Shows one token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        return self._token


@asynccontextmanager
async def serving(identity: Identity, directory: Path) -> AsyncIterator[Running]:
    accounts = directory / "accounts"
    key = make_account(ADMINISTRATOR, keys=directory / "keys", accounts=accounts)

    async def check(caller: Caller, action: str, _: str) -> None:
        if action not in ANYBODY_MAY and caller != ADMINISTRATOR:
            raise PermissionDeniedError

    served = sign_in.service(
        identity.sign_ins,
        identity.sign_in_links,
        identity.openid,
        identity.storage.signing_keys,
    )
    own_keys = identity.keys
    server = Server(served, Verifier(accounts, own_keys), check)
    address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
    opened: list[aio.Channel] = []

    def stub(credential: Any) -> Any:
        opened.append(channel(address, credential))
        return SignInServiceStub(opened[-1])

    try:
        yield Running(
            address,
            stub(None),
            stub(Signer.from_file(key)),
            lambda token: stub(Bearer(token)),
        )
    finally:
        for each in opened:
            await each.close()
        await server.stop(grace=0)


@pytest_asyncio.fixture
async def running(identity: Identity, tmp_path: Path) -> AsyncIterator[Running]:
    async with serving(identity, tmp_path) as here:
        yield here


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as refused:
        await call
    return refused.value.code(), remote_error(refused.value).code


def link(identity: Identity, user_id: str) -> str:
    """Ask for a sign-in link and return what its mail carries."""
    held = identity.directory.user(user_id)
    identity.sign_in_links.request(held.email)
    requested = [
        record.event_id
        for _, record, _ in identity.store.read(0, 1000)
        if type(record.event).__name__ == "SignInLinkRequested"
    ]
    return identity.sign_in_links.issue(requested[-1], user_id).token


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let identity take its time to tell its keys: the machine may be busy."""
    monkeypatch.setattr("chargekey_common.grpc.client.KEYS_DEADLINE", 30.0)


@pytest.mark.usefixtures("patient")
async def test_who_follows_his_link_is_known_to_every_service(
    identity: Identity, running: Running, tmp_path: Path
) -> None:
    """R7, S3-20: the first time, too, when nobody has verified the address yet."""
    anna = pending(identity)
    token = link(identity, anna)
    answer = await running.nobody.SignIn(pb.SignInRequest(token=token, language="nb"))
    assert answer.user_id == anna
    assert identity.directory.user(anna).language == "nb"
    async with channel(running.address, None) as to_identity:
        elsewhere = Verifier(tmp_path / "accounts", issued_keys(to_identity))
        assert await elsewhere.verify(answer.access_token) == f"user:{anna}"
    again = await refusal(running.nobody.SignIn(pb.SignInRequest(token=token)))
    assert again == (grpc.StatusCode.FAILED_PRECONDITION, "link_invalid")


async def test_who_is_known_may_what_the_rules_say_and_not_what_others_may(
    identity: Identity, running: Running
) -> None:
    """At identity itself, which verifies by its own keys."""
    tokens = identity.sign_ins.issue(account(identity))
    anna = running.as_bearer(tokens.access.text)
    assert (await anna.GetKeys(pb.GetKeysRequest())).jwks
    refused = await refusal(anna.SignInAs(pb.SignInAsRequest(user_id=tokens.user_id)))
    assert refused == (grpc.StatusCode.PERMISSION_DENIED, "permission_denied")
    nobody = await refusal(running.nobody.SignInAs(pb.SignInAsRequest(user_id=tokens.user_id)))
    assert nobody == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated")
    tampered = running.as_bearer(tokens.access.text[:-6] + "AAAAAA")
    refused = await refusal(tampered.GetKeys(pb.GetKeysRequest()))
    assert refused == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated")


async def test_a_sign_in_goes_on_by_refresh_tokens_each_used_within_a_moment(
    identity: Identity, running: Running, tmp_path: Path
) -> None:
    """All tabs of a browser that show one at once go on with one; each may call."""
    anna = account(identity)
    first = identity.sign_ins.issue(anna).refresh
    second, *others = await asyncio.gather(
        *(
            running.nobody.RefreshSignIn(pb.RefreshSignInRequest(refresh_token=first))
            for _ in range(4)
        )
    )
    assert (second.user_id, second.refresh_token != first) == (anna, True)
    verifier = Verifier(tmp_path / "accounts", identity.keys)
    for other in others:
        assert other.refresh_token == second.refresh_token
        assert await verifier.verify(other.access_token) == f"user:{anna}"
    third = await running.nobody.RefreshSignIn(
        pb.RefreshSignInRequest(refresh_token=second.refresh_token)
    )
    for token in (first, third.refresh_token):
        refused = await refusal(
            running.nobody.RefreshSignIn(pb.RefreshSignInRequest(refresh_token=token))
        )
        assert refused == (grpc.StatusCode.UNAUTHENTICATED, "sign_in_ended")


async def test_how_long_asking_for_a_link_takes_tells_nobody_whose_address_is_known(
    identity: Identity, running: Running
) -> None:
    """R7: also where it is refused, as too often."""
    account(identity)
    for address in ("anna@example.org", "nobody@example.org"):
        request = pb.RequestSignInLinkRequest(email=address)
        for attempt in range(MOST_PER_ADDRESS + 1):
            began = time.monotonic()
            if attempt < MOST_PER_ADDRESS:
                await running.nobody.RequestSignInLink(request)
            else:
                refused = await refusal(running.nobody.RequestSignInLink(request))
                assert refused == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too_many_attempts")
            assert time.monotonic() - began >= sign_in.SOONEST


async def test_who_signed_out_stays_out(identity: Identity, running: Running) -> None:
    token = identity.sign_ins.issue(account(identity)).refresh
    for _ in range(2):
        await running.nobody.SignOut(pb.SignOutRequest(refresh_token=token))
    refused = await refusal(
        running.nobody.RefreshSignIn(pb.RefreshSignInRequest(refresh_token=token))
    )
    assert refused == (grpc.StatusCode.UNAUTHENTICATED, "sign_in_ended")


def test_nobody_is_signed_in_who_is_pending_local_blocked_everywhere_or_erased(
    identity: Identity,
) -> None:
    """R7, R12, R20."""
    blocked, erased = account(identity, "b@example.org"), account(identity, "e@example.org")
    record(identity, blocked, UserBlocked(installation_id=None))
    record(identity, erased, UserErased())
    for user_id in (pending(identity), local(identity), blocked):
        with pytest.raises(SignInRefusedError):
            identity.sign_ins.issue(user_id)
    for user_id in (erased, new_id()):
        with pytest.raises(UserUnknownError):
            identity.sign_ins.issue(user_id)


@pytest.mark.parametrize("event", [UserBlocked(installation_id=None), UserErased()])
def test_a_sign_in_ends_for_good_at_the_first_refresh_after_a_block_or_an_erasure(
    identity: Identity, event: DomainEvent
) -> None:
    """R12, R20: the token that was shown is used up, and a lifted block brings nothing back."""
    anna = account(identity)
    token = identity.sign_ins.issue(anna).refresh
    record(identity, anna, event)
    with pytest.raises(SignInEndedError):
        identity.sign_ins.refresh(token)
    if isinstance(event, UserBlocked):
        record(identity, anna, UserUnblocked(installation_id=None))
        assert identity.sign_ins.issue(anna).user_id == anna
    with pytest.raises(SignInEndedError):
        identity.sign_ins.refresh(token)


async def test_an_administrator_tries_a_call_as_somebody_and_that_is_recorded(
    identity: Identity, running: Running, tmp_path: Path
) -> None:
    """Of an ACCOUNT and a LOCAL user alike; the command repeated is recorded once."""
    keys = identity.keys
    verifier = Verifier(tmp_path / "accounts", keys)
    people = [account(identity), local(identity)]
    for user_id in people:
        request = pb.SignInAsRequest(command_id=new_id(), user_id=user_id)
        answers = [await running.administrator.SignInAs(request) for _ in range(2)]
        assert answers[0].position == answers[1].position
        for answer in answers:
            assert await verifier.verify(answer.access_token) == f"user:{user_id}"
    recorded = [(about, actor) for about, actor, _ in happened(identity, SignedInAs)]
    assert recorded == [(user_id, ADMINISTRATOR) for user_id in people]


def test_a_recorded_command_opens_nothing_but_what_it_was_recorded_for(
    identity: Identity,
) -> None:
    """Neither another user's account, nor the same one once it is blocked."""
    anna, grace = account(identity), account(identity, "g@example.org")
    command = Context(ADMINISTRATOR, new_id())
    identity.sign_ins.sign_in_as(command, user_id=anna)
    with pytest.raises(CommandIdReusedError):
        identity.sign_ins.sign_in_as(command, user_id=grace)
    record(identity, anna, UserBlocked(installation_id=None))
    with pytest.raises(SignInRefusedError):
        identity.sign_ins.sign_in_as(command, user_id=anna)


async def test_nobody_is_tried_as_who_could_not_be_calling(
    identity: Identity, running: Running
) -> None:
    blocked, erased = account(identity, "b@example.org"), account(identity, "e@example.org")
    record(identity, blocked, UserBlocked(installation_id=None))
    record(identity, erased, UserErased())
    denied = (grpc.StatusCode.PERMISSION_DENIED, "sign_in_refused")
    unknown = (grpc.StatusCode.NOT_FOUND, "user_unknown")
    expected = {pending(identity): denied, blocked: denied, erased: unknown, new_id(): unknown}
    for user_id, refused in expected.items():
        request = pb.SignInAsRequest(user_id=user_id)
        assert await refusal(running.administrator.SignInAs(request)) == refused
    assert happened(identity, SignedInAs) == []


@pytest.mark.usefixtures("patient")
async def test_services_verify_by_the_keys_they_know_while_identity_is_away(
    identity: Identity, tmp_path: Path
) -> None:
    anna = account(identity)
    async with serving(identity, tmp_path) as here, channel(here.address, None) as to_identity:
        verifier = Verifier(tmp_path / "accounts", issued_keys(to_identity))
        first = identity.sign_ins.issue(anna).access.text
        assert await verifier.verify(first) == f"user:{anna}"
        elsewhere = Verifier(tmp_path / "accounts", issued_keys(to_identity))
    later = identity.sign_ins.issue(anna).access.text
    assert await verifier.verify(later) == f"user:{anna}"
    async with channel(here.address, None) as to_nobody:
        elsewhere = Verifier(tmp_path / "accounts", issued_keys(to_nobody))
        with pytest.raises(UnavailableError):
            await elsewhere.verify(later)


async def test_a_token_of_another_deployment_opens_nothing(
    identity: Identity, tmp_path: Path
) -> None:
    """Its keys are others, whatever their ids."""
    (tmp_path / "another").mkdir()
    with opened((tmp_path / "another").joinpath, MASTER) as another:
        verifier = Verifier(tmp_path, Identity(another).keys)
        with pytest.raises(UnauthenticatedError):
            await verifier.verify(identity.sign_ins.issue(account(identity)).access.text)


async def test_no_token_is_kept_or_logged_anywhere(
    identity: Identity, running: Running, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither in a store beside the events nor in a receipt, a log or a repr (R17)."""
    anna = account(identity)
    issued = identity.sign_ins.issue(anna)
    answer = await running.nobody.RefreshSignIn(
        pb.RefreshSignInRequest(refresh_token=issued.refresh)
    )
    request = pb.SignInAsRequest(user_id=anna)
    tried = await running.administrator.SignInAs(request)
    again = await running.nobody.RefreshSignIn(
        pb.RefreshSignInRequest(refresh_token=answer.refresh_token)
    )
    await refusal(
        running.nobody.RefreshSignIn(pb.RefreshSignInRequest(refresh_token=issued.refresh))
    )
    secrets = [
        issued.access.text,
        answer.access_token,
        again.access_token,
        again.refresh_token.partition(".")[2],
        tried.access_token,
        issued.refresh.partition(".")[2],
        answer.refresh_token.partition(".")[2],
    ]
    logged = capfd.readouterr()
    kept = on_disk(tmp_path)
    for secret in secrets:
        assert secret.encode() not in kept
        assert secret not in logged.out + logged.err
        assert secret not in repr(issued)


class WithProvider(msgspec.Struct, frozen=True):
    """Identity that people sign in to by a provider, and that provider."""

    identity: Identity
    server: OpenIdServer
    running: Running

    async def begin(self) -> tuple[str, str]:
        """Begin, go there, and return state and code as a browser brings them back."""
        request = pb.BeginOpenIdSignInRequest(redirect_uri=REDIRECT_URI)
        begun = await self.running.nobody.BeginOpenIdSignIn(request)
        state, code = self.server.sign_in(begun.authorization_url)
        assert state == begun.state
        return state, code

    async def complete(self, state: str, code: str) -> Any:
        request = pb.CompleteOpenIdSignInRequest(state=state, code=code, language="nb")
        return await self.running.nobody.CompleteOpenIdSignIn(request)

    async def sign_in(self) -> Any:
        return await self.complete(*await self.begin())


@pytest_asyncio.fixture
async def provided(identity: Identity, tmp_path: Path) -> AsyncIterator[WithProvider]:
    async with (
        signing_in_by_a_provider(identity) as server,
        serving(identity, tmp_path) as running,
    ):
        yield WithProvider(identity, server, running)


async def test_somebody_new_signs_in_by_a_provider_and_is_the_same_ever_after(
    provided: WithProvider, tmp_path: Path
) -> None:
    """Whatever address the provider tells later: the account there is who he is."""
    first = await provided.sign_in()
    person = provided.identity.directory.user(first.user_id)
    assert person.language == "nb"
    assert (person.kind, person.email) == ("ACCOUNT", "anna@example.org")
    provided.server.person["email"] = "anna.married@example.org"
    second = await provided.sign_in()
    assert second.user_id == first.user_id
    own_keys = provided.identity.keys
    verifier = Verifier(tmp_path / "accounts", own_keys)
    assert await verifier.verify(second.access_token) == f"user:{first.user_id}"
    ways = [event.by for _, _, event in happened(provided.identity, SignedIn)]
    assert ways == ["OPENID", "OPENID"]


@pytest.mark.parametrize("known_as", [pending, account])
async def test_whoever_has_the_verified_address_already_is_linked(
    provided: WithProvider, known_as: Callable[[Identity], str]
) -> None:
    """R7: what he was given while PENDING counts from now on."""
    anna = known_as(provided.identity)
    assert (await provided.sign_in()).user_id == anna
    assert provided.identity.directory.user(anna).kind == "ACCOUNT"
    [(about, _, linked)] = happened(provided.identity, OpenIdLinked)
    assert (about, linked) == (anna, OpenIdLinked(issuer=provided.server.issuer, subject="0042"))


async def test_another_account_there_is_another_person_here(provided: WithProvider) -> None:
    first = await provided.sign_in()
    provided.server.person = {
        "sub": "0043",
        "email": "grace@example.org",
        "email_verified": True,
    }
    assert (await provided.sign_in()).user_id != first.user_id


async def test_one_person_on_two_devices_at_once_is_one_user(provided: WithProvider) -> None:
    begun = [await provided.begin() for _ in range(4)]
    answers = await asyncio.gather(*(provided.complete(*each) for each in begun))
    assert len({answer.user_id for answer in answers}) == 1


async def test_a_sign_in_is_completed_once_and_only_where_it_was_begun(
    provided: WithProvider,
) -> None:
    state, code = await provided.begin()
    unknown = (grpc.StatusCode.UNAUTHENTICATED, "openid_state_unknown")
    assert await refusal(provided.complete("made-up", code)) == unknown
    await provided.complete(state, code)
    assert await refusal(provided.complete(state, code)) == unknown


async def test_of_two_who_complete_one_sign_in_at_once_one_does(provided: WithProvider) -> None:
    state, code = await provided.begin()
    answers = await asyncio.gather(
        *(provided.complete(state, code) for _ in range(4)), return_exceptions=True
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1


async def test_a_code_of_somebody_elses_sign_in_is_refused(provided: WithProvider) -> None:
    """Nobody is made to sign in as another by being sent that other's code."""
    _, stolen = await provided.begin()
    state, _ = await provided.begin()
    refused = await refusal(provided.complete(state, stolen))
    assert refused == (grpc.StatusCode.UNAUTHENTICATED, "openid_refused")
    assert happened(provided.identity, SignedIn) == []


async def test_nobody_is_sent_back_to_where_the_settings_do_not_say(
    provided: WithProvider,
) -> None:
    for where in ("", "https://evil.example/", REDIRECT_URI + "/", REDIRECT_URI.upper()):
        refused = await refusal(
            provided.running.nobody.BeginOpenIdSignIn(
                pb.BeginOpenIdSignInRequest(redirect_uri=where)
            )
        )
        assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "redirect_uri_refused")


async def test_who_is_blocked_everywhere_is_not_let_in_by_a_provider(
    provided: WithProvider,
) -> None:
    """R12."""
    anna = account(provided.identity)
    record(provided.identity, anna, UserBlocked(installation_id=None))
    refused = await refusal(provided.sign_in())
    assert refused == (grpc.StatusCode.PERMISSION_DENIED, "sign_in_refused")
    assert happened(provided.identity, SignedIn) == []


async def test_an_unverified_address_takes_over_nobodys_account(provided: WithProvider) -> None:
    account(provided.identity)
    provided.server.person["email_verified"] = False
    refused = await refusal(provided.sign_in())
    assert refused == (grpc.StatusCode.FAILED_PRECONDITION, "openid_email_unverified")
    assert happened(provided.identity, SignedIn) == []


async def test_without_a_provider_people_are_told_of_the_mailed_link(running: Running) -> None:
    expected = (grpc.StatusCode.FAILED_PRECONDITION, "openid_not_configured")
    begin = pb.BeginOpenIdSignInRequest(redirect_uri=REDIRECT_URI)
    assert await refusal(running.nobody.BeginOpenIdSignIn(begin)) == expected
    complete = pb.CompleteOpenIdSignInRequest(state="s", code="c")
    assert await refusal(running.nobody.CompleteOpenIdSignIn(complete)) == expected


async def test_sign_ins_by_a_provider_do_not_begin_without_end(
    provided: WithProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openid_sign_in, "MOST", 3)
    for _ in range(3):
        await provided.begin()
    with pytest.raises(aio.AioRpcError) as refused:
        await provided.begin()
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert remote_error(refused.value).code == "too_many_attempts"


async def test_the_person_at_the_provider_stands_in_no_file_and_no_log(
    provided: WithProvider, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """R17, R20: neither his address nor who he is there."""
    provided.server.person["sub"] = "somebody-at-the-provider"
    await provided.sign_in()
    provided.server.lie = lambda claims: {**claims, "nonce": "another"}
    await refusal(provided.sign_in())
    kept = on_disk(tmp_path)
    logged = capfd.readouterr()
    for personal in ("somebody-at-the-provider", "example.org", "Example.org"):
        assert personal.encode() not in kept
        assert personal not in logged.out + logged.err


async def test_a_tokenless_call_is_answered_where_anybody_may_and_nowhere_else(
    running: Running,
) -> None:
    assert (await running.nobody.GetKeys(pb.GetKeysRequest())).jwks
    request = pb.IssueSignInLinkRequest(user_id=new_id(), event_id=new_id())
    refused = await refusal(running.nobody.IssueSignInLink(request))
    assert refused == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated")
    assert NOBODY == "anonymous:nobody"
