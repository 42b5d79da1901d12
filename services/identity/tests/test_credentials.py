"""Partners' credentials: issued, exchanged, revoked; as values, as an application, over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
import pytest_asyncio
from grpc import aio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chargekey.identity.v1 import credentials_pb2 as pb
from chargekey_common.accounts import ADMINISTRATOR, NOBODY, Caller, Verifier
from chargekey_common.attempts import TooManyAttemptsError
from chargekey_common.eventstore.postgres import PostgresRecorder
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import CommandIdReusedError, Context
from chargekey_common.grpc.client import remote_error
from chargekey_common.names import NameMalformedError
from chargekey_common.postgres import Postgres
from chargekey_common.testing.grpc import stubs
from chargekey_identity.application.credentials import MOST, IssuedCredential
from chargekey_identity.domain import credential
from chargekey_identity.domain.credential import Credential
from chargekey_identity.domain.errors import CredentialRefusedError, CredentialUnknownError
from chargekey_identity.domain.events import (
    PartnerCredentialIssued,
    PartnerCredentialRevoked,
)
from chargekey_identity.domain.secret import Secrets
from chargekey_identity.storage import opened

from .conftest import MASTER, PARTNERS, STUBS, Identity, SmallAccess, beside, serving

FAST, SLOW = PARTNERS
ISSUED = PartnerCredentialIssued(partner_id=FAST, label="Backend", secret_hash="ab")


def by(actor: str = "user:manager") -> Context:
    return Context(actor, new_id())


def issued(identity: Identity, partner_id: str = FAST) -> IssuedCredential:
    return identity.credentials.issue(by(), partner_id=partner_id, label="Backend").result


def after(*events: Any) -> Credential | None:
    state = None
    for event in events:
        state = credential.evolve(state, event)
    return state


def test_a_credential_is_a_partners_until_it_is_revoked() -> None:
    assert credential.issue(partner_id=FAST, label="Backend", secret_hash="ab") == [ISSUED]
    revoked = credential.revoke(after(ISSUED))
    assert revoked == [PartnerCredentialRevoked(partner_id=FAST)]
    for state in (None, after(ISSUED, *revoked)):
        with pytest.raises(CredentialUnknownError):
            credential.revoke(state)


def test_secrets_of_one_purpose_are_nothing_in_another() -> None:
    one, other = Secrets(MASTER, b"one"), Secrets(MASTER, b"other")
    assert one.hash("a", "b") != other.hash("a", "b")
    assert one.hash("a", "b") not in {one.hash("b", "a"), one.hash("ab"), one.hash("a", "b", "")}
    assert one.matches(one.hash("a", "b"), "a", "b")
    assert not one.matches(one.hash("a", "b"), "a", "c")
    assert bytes.fromhex(one.hash("a")).hex() != one.derive("a")
    assert len(one.derive("a")) == 43


def test_the_secret_of_a_credential_lets_its_partner_in(identity: Identity) -> None:
    made = issued(identity)
    token = identity.credentials.exchange(made.id, made.secret)
    assert token.partner_id == FAST
    assert len(made.secret) == 43
    assert made.secret not in repr(made)


def test_several_credentials_are_live_at_once_for_one_to_take_anothers_place(
    identity: Identity,
) -> None:
    old, new = issued(identity), issued(identity)
    assert old.secret != new.secret
    for each in (old, new):
        identity.credentials.exchange(each.id, each.secret)
    identity.credentials.revoke_partner_credential(by(), credential_id=old.id)
    with pytest.raises(CredentialRefusedError):
        identity.credentials.exchange(old.id, old.secret)
    identity.credentials.exchange(new.id, new.secret)


def test_unknown_wrong_revoked_and_swapped_are_refused_alike(identity: Identity) -> None:
    first, second, revoked = (issued(identity) for _ in range(3))
    identity.credentials.revoke_partner_credential(by(), credential_id=revoked.id)
    said = set()
    for key, secret in (
        (new_id(), first.secret),
        ("", ""),
        (first.id, ""),
        (first.id, second.secret),
        (first.id, first.secret.lower()),
        (first.id, first.secret + "A"),
        (revoked.id, revoked.secret),
    ):
        with pytest.raises(CredentialRefusedError) as refused:
            identity.credentials.exchange(key, secret)
        said.add(str(refused.value))
    assert len(said) == 1


def test_guessing_ends_soon_and_shuts_the_partner_itself_not_out(identity: Identity) -> None:
    made, other = issued(identity), issued(identity)
    for _ in range(MOST):
        with pytest.raises(CredentialRefusedError):
            identity.credentials.exchange(made.id, "a guess")
    with pytest.raises(TooManyAttemptsError):
        identity.credentials.exchange(made.id, "a guess")
    assert identity.credentials.exchange(made.id, made.secret).partner_id == FAST
    with pytest.raises(CredentialRefusedError):
        identity.credentials.exchange(other.id, "a guess")


def test_a_command_repeated_tells_the_same_secret_to_the_same_caller_alone(
    identity: Identity,
) -> None:
    command = by()
    first = identity.credentials.issue(command, partner_id=FAST, label="Backend")
    again = identity.credentials.issue(command, partner_id=FAST, label="Backend")
    assert again == first
    other = Context("user:another", command.command_id)
    for context, partner_id in ((other, FAST), (command, SLOW)):
        with pytest.raises(CommandIdReusedError):
            identity.credentials.issue(context, partner_id=partner_id, label="Backend")
    identity.credentials.revoke_partner_credential(by(), credential_id=first.result.id)
    with pytest.raises(CredentialUnknownError):
        identity.credentials.issue(command, partner_id=FAST, label="Backend")


@pytest.mark.parametrize("label", ["", " ", "a\nb", "x" * 10_000])
def test_a_label_is_a_name(identity: Identity, label: str) -> None:
    end = identity.store.position()
    with pytest.raises(NameMalformedError):
        identity.credentials.issue(by(), partner_id=FAST, label=label)
    assert identity.store.position() == end


def test_a_secret_stands_nowhere(identity: Identity, tmp_path: Path) -> None:
    """Only its keyed hash does; a copy of every file opens nothing."""
    made = issued(identity)
    identity.credentials.exchange(made.id, made.secret)
    kept = b"".join(each.read_bytes() for each in tmp_path.glob("*.db*"))
    assert made.secret.encode() not in kept
    assert made.id.encode() in kept


class Lifecycle(RuleBasedStateMachine):
    """Any order of commands, against a plain table of what opens what."""

    place: Path | Postgres
    directory: Path

    def __init__(self) -> None:
        super().__init__()
        directory = self.directory / new_id()
        directory.mkdir()
        where: Path | Postgres = directory / "identity.db"
        if isinstance(self.place, Postgres):
            where = msgspec.structs.replace(
                self.place, schema=f"{self.place.schema}_{new_id().replace('-', '')[:12]}"
            )
            PostgresRecorder.migrate(where)
        self.opened = ExitStack()
        storage = self.opened.enter_context(opened(beside(directory, where), MASTER))
        self.identity = Identity(storage)
        self.made: list[IssuedCredential] = []
        self.live: dict[str, str] = {}

    @rule(partner_id=st.sampled_from(PARTNERS))
    def issue(self, partner_id: str) -> None:
        made = issued(self.identity, partner_id)
        self.made.append(made)
        self.live[made.id] = partner_id

    @precondition(lambda self: self.made)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        made = data.draw(st.sampled_from(self.made))
        if made.id in self.live:
            self.identity.credentials.revoke_partner_credential(by(), credential_id=made.id)
            del self.live[made.id]
        else:
            with pytest.raises(CredentialUnknownError):
                self.identity.credentials.revoke_partner_credential(by(), credential_id=made.id)

    @invariant()
    def each_opens_what_it_should(self) -> None:
        for made in self.made:
            if made.id in self.live:
                token = self.identity.credentials.exchange(made.id, made.secret)
                assert token.partner_id == self.live[made.id]
            else:
                with pytest.raises(CredentialRefusedError):
                    self.identity.credentials.exchange(made.id, made.secret)

    @invariant()
    def the_lists_tell_the_live_ones(self) -> None:
        for partner_id in PARTNERS:
            listed = self.identity.directory.credentials.of(partner_id)
            told = [key for key, each in listed.items() if not each.state.revoked]
            assert told == [key for key, owner in self.live.items() if owner == partner_id]

    def teardown(self) -> None:
        self.opened.close()


def test_any_order_of_issuing_and_revoking_opens_what_it_should(
    place: Path | Postgres, tmp_path: Path
) -> None:
    class Here(Lifecycle):
        directory = tmp_path

    Here.place = place

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=10,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


class Callers:
    """Identity's credential methods as different callers, and the access behind them."""

    def __init__(self, as_caller: Any, access: SmallAccess) -> None:
        self.access = access
        self.administrator = stubs(as_caller(ADMINISTRATOR), *STUBS)
        self.manager = stubs(as_caller(Caller("user:manager")), *STUBS)
        self.nobody = stubs(as_caller(NOBODY), *STUBS)


@pytest_asyncio.fixture
async def callers(identity: Identity, tmp_path: Path) -> AsyncIterator[Callers]:
    async with serving(identity, tmp_path) as (as_caller, access):
        access.allowed |= {("user:manager", f"partner:{FAST}"), (NOBODY, "system")}
        yield Callers(as_caller, access)


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as refused:
        await call
    return refused.value.code(), remote_error(refused.value).code


async def test_a_partners_program_calls_with_what_its_manager_was_given(
    callers: Callers, identity: Identity, tmp_path: Path
) -> None:
    request = pb.IssuePartnerCredentialRequest(partner_id=FAST, label="Backend")
    made = await callers.manager.IssuePartnerCredential(request)
    token = await callers.nobody.ExchangePartnerCredential(
        pb.ExchangePartnerCredentialRequest(credential_id=made.credential_id, secret=made.secret)
    )
    keys = identity.keys
    assert token.partner_id == FAST
    assert await Verifier(tmp_path, keys).verify(token.access_token) == f"partner:{FAST}"


async def test_a_manager_sees_and_revokes_his_partners_credentials_and_no_others(
    callers: Callers,
) -> None:
    mine, theirs = [
        await callers.administrator.IssuePartnerCredential(
            pb.IssuePartnerCredentialRequest(partner_id=partner_id, label="Backend")
        )
        for partner_id in (FAST, SLOW)
    ]
    denied = (grpc.StatusCode.PERMISSION_DENIED, "permission_denied")
    for call in (
        callers.manager.ListPartnerCredentials(pb.ListPartnerCredentialsRequest(partner_id=SLOW)),
        callers.manager.IssuePartnerCredential(pb.IssuePartnerCredentialRequest(partner_id=SLOW)),
        callers.manager.RevokePartnerCredential(
            pb.RevokePartnerCredentialRequest(credential_id=theirs.credential_id)
        ),
        callers.manager.RevokePartnerCredential(
            pb.RevokePartnerCredentialRequest(credential_id=new_id())
        ),
    ):
        assert await refusal(call) == denied
    asking = pb.ListPartnerCredentialsRequest(partner_id=FAST)
    [listed] = (await callers.manager.ListPartnerCredentials(asking)).credentials
    assert (listed.id, listed.partner_id, listed.label) == (mine.credential_id, FAST, "Backend")
    assert listed.issued_at > 0
    await callers.manager.RevokePartnerCredential(
        pb.RevokePartnerCredentialRequest(credential_id=mine.credential_id)
    )
    assert not (await callers.manager.ListPartnerCredentials(asking)).credentials


async def test_credentials_come_in_pages_without_the_revoked_ones(callers: Callers) -> None:
    made = [
        (
            await callers.manager.IssuePartnerCredential(
                pb.IssuePartnerCredentialRequest(partner_id=FAST, label=f"Number {number}")
            )
        ).credential_id
        for number in range(5)
    ]
    await callers.manager.RevokePartnerCredential(
        pb.RevokePartnerCredentialRequest(credential_id=made[1])
    )
    seen: list[str] = []
    token = ""
    while True:
        page = await callers.manager.ListPartnerCredentials(
            pb.ListPartnerCredentialsRequest(partner_id=FAST, page_size=2, page_token=token)
        )
        seen += [each.id for each in page.credentials]
        token = page.next_page_token
        if not token:
            break
    assert seen == [key for key in made if key != made[1]]


async def test_a_partner_that_access_does_not_know_gets_no_credential(callers: Callers) -> None:
    expected = (grpc.StatusCode.NOT_FOUND, "partner_unknown")
    for partner_id in ("", "nonsense", new_id()):
        asked = pb.IssuePartnerCredentialRequest(partner_id=partner_id, label="Backend")
        assert await refusal(callers.administrator.IssuePartnerCredential(asked)) == expected
