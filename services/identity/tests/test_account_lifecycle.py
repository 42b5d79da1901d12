"""Any sequence of what happens to an account: replay agrees with a plain model, on both stores."""

from __future__ import annotations

import secrets
import tempfile
from contextlib import ExitStack
from pathlib import Path

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg import sql

from chargekey_common.attempts import TooManyAttemptsError
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Context, EventStore, Reaction
from chargekey_common.positions import Position
from chargekey_common.postgres import Postgres
from chargekey_identity.application.invitations import MOST_PER_INVITATION
from chargekey_identity.domain import email, invitation, user
from chargekey_identity.domain.email import Email
from chargekey_identity.domain.errors import (
    InvitationSettledError,
    LinkInvalidError,
    LinkUnknownError,
    UserUnknownError,
)
from chargekey_identity.domain.invitation import Given
from chargekey_identity.domain.user import OpenIdAccount
from chargekey_identity.projections.directory import Directory
from chargekey_identity.storage import opened

from .conftest import MASTER, SECRET, Identity, beside

ADDRESSES = (Email("ola@example.com"), Email("kari@example.com"))
ADMINISTRATOR = "administrator:local"
pick = st.integers(0, 1)


class Invited(msgspec.Struct):
    """The model's invitation, with every token it ever had."""

    user_id: str
    tokens: list[str]
    state: str = "WAITING"


class Person(msgspec.Struct):
    """The model's user, with the tokens of links that were asked for and not used."""

    address: Email
    kind: str = "PENDING"
    named: bool = False
    blocked: bool = False
    links: list[str] = []
    apps: int = 0


class AccountLifecycle(RuleBasedStateMachine):
    """Commands and reactions against a real store, beside two dictionaries."""

    def __init__(self, postgres: Postgres | None = None) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name)
        self.place: Path | Postgres = path / "identity.db"
        if postgres is not None:
            self.place = Postgres(postgres.dsn, f"{postgres.schema}_{secrets.token_hex(8)}")
            EventStore.migrate(self.place)
        self.opened = ExitStack()
        storage = self.opened.enter_context(opened(beside(path, self.place), MASTER))
        self.identity = Identity(storage)
        self.store, self.privacy = self.identity.store, self.identity.privacy
        self.people: dict[str, Person] = {}
        self.holders: dict[Email, str] = {}
        self.gone: list[str] = []
        self.dead_links: list[str] = []
        self.invited: dict[str, Invited] = {}
        self.heard = 0

    def teardown(self) -> None:
        self.opened.close()
        self.directory.cleanup()
        if isinstance(self.place, Postgres):
            with psycopg.connect(self.place.dsn, autocommit=True) as connection:
                schema = sql.Identifier(self.place.schema)
                connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(schema))

    @initialize()
    def somebody(self) -> None:
        self.resolve(0)

    @rule(which=pick)
    def resolve(self, which: int) -> None:
        """R7: an address is one user, however often it is named."""
        address = ADDRESSES[which]
        found = self.identity.addresses.resolve_email(self.by(), address).result
        if address in self.holders:
            assert found == self.holders[address]
        else:
            assert found not in self.people
            assert found not in self.gone
            self.holders[address] = found
            self.people[found] = Person(address)

    @rule(which=pick)
    def sign_in_by_a_provider(self, which: int) -> None:
        self.resolve(which)
        user_id, person = self.somebody_of(which)
        account = OpenIdAccount("https://idp", person.address)
        resolved = self.identity.addresses.resolve_openid(self.by(), account, person.address)
        assert resolved.result == user_id
        if person.blocked:
            return
        self.identity.arrivals.sign_in(self.by(), user_id=user_id, by="OPENID")
        self.let_in(user_id)

    @rule(which=pick, permission=st.sampled_from(("p1", "p2")))
    def invite(self, which: int, permission: str) -> None:
        self.resolve(which)
        user_id, _ = self.somebody_of(which)
        reaction = self.reaction()
        given = Given(user_id, installation_id="home", permission_id=permission)
        self.identity.invitations.invite(given, reaction)
        self.identity.invitations.invite(given, reaction)  # a refilled bus
        key = invitation.invitation_id(reaction.event_id)
        self.invited[key] = Invited(user_id, [self.identity.invitations.issue(key).token])

    @precondition(lambda self: self.invited)
    @rule(data=st.data())
    def resend(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(list(self.invited)))
        known = self.invited[key]
        if known.state != "WAITING":
            with pytest.raises(InvitationSettledError):
                self.identity.invitations.resend_invitation(self.by(), invitation_id=key)
            return
        if len(known.tokens) > MOST_PER_INVITATION:
            with pytest.raises(TooManyAttemptsError):
                self.identity.invitations.resend_invitation(self.by(), invitation_id=key)
            return
        self.identity.invitations.resend_invitation(self.by(), invitation_id=key)
        known.tokens.append(self.identity.invitations.issue(key).token)

    @precondition(lambda self: self.invited)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(list(self.invited)))
        known = self.invited[key]
        if known.state == "ACCEPTED":
            with pytest.raises(InvitationSettledError):
                self.identity.invitations.revoke_invitation(self.by(), invitation_id=key)
            return
        self.identity.invitations.revoke_invitation(self.by(), invitation_id=key)
        known.state = "REVOKED"

    @rule(which=pick, permission=st.sampled_from(("p1", "p2")))
    def lose_a_permission(self, which: int, permission: str) -> None:
        if ADDRESSES[which] not in self.holders:
            return
        user_id, _ = self.somebody_of(which)
        self.identity.invitations.take_back(
            user_id, lambda given: given.permission_id == permission, self.reaction()
        )
        for key, known in self.invited.items():
            told = self.identity.directory.invitations.invitation(key).given
            if (known.user_id, told.permission_id) == (user_id, permission):
                known.state = "REVOKED" if known.state == "WAITING" else known.state

    @precondition(lambda self: self.invited)
    @rule(data=st.data(), names=st.booleans())
    def accept(self, data: st.DataObject, names: bool) -> None:
        """R7: once, by the newest link, with a name."""
        key = data.draw(st.sampled_from(list(self.invited)))
        known = self.invited[key]
        token = data.draw(st.sampled_from(known.tokens))
        person = self.people.get(known.user_id)
        name = ("Ola", "Nordmann") if names else ("", "")

        def follow() -> str:
            return self.identity.invitations.accept(
                token, first_name=name[0], last_name=name[1]
            ).result

        good = known.state == "WAITING" and token == known.tokens[-1]
        if not good or person is None or person.blocked:
            with pytest.raises(LinkInvalidError):
                follow()
        elif not person.named and not names:
            with pytest.raises(Exception, match="name"):
                follow()
        else:
            assert follow() == known.user_id
            person.named = True
            self.let_in(known.user_id)

    @rule(which=pick)
    def ask_for_a_link(self, which: int) -> None:
        address = ADDRESSES[which]
        end = self.store.end()
        reservation_id = email.Reservations(SECRET).of_email(address)
        self.identity.sign_in_links.request_sign_in_link(
            self.by("anonymous:nobody"), reservation_id=reservation_id
        )
        found = self.holders.get(address)
        if found is None or self.people[found].blocked:
            assert self.store.end() == end
            return
        _, record, _ = self.store.read(end, 1)[0]
        link = self.identity.sign_in_links.issue(record.event_id, found)
        assert link.email == address
        self.people[found].links.append(link.token)

    @rule(data=st.data())
    def follow_a_link(self, data: st.DataObject) -> None:
        """Once; and it voids the others that were asked for."""
        living = {token: key for key, each in self.people.items() for token in each.links}
        tokens = list(dict.fromkeys([*living, *self.dead_links]))
        if not tokens:
            return
        token = data.draw(st.sampled_from(tokens))
        user_id = living.get(token)
        if user_id is None or self.people[user_id].blocked:
            with pytest.raises(LinkInvalidError):
                self.identity.sign_in_links.redeem(token)
            return
        assert self.identity.sign_in_links.redeem(token).result == user_id
        self.let_in(user_id)

    @rule(which=pick, blocked=st.booleans())
    def block_or_unblock(self, which: int, blocked: bool) -> None:
        if ADDRESSES[which] not in self.holders:
            return
        user_id, person = self.somebody_of(which)
        users = self.identity.users
        act = users.block_user if blocked else users.unblock_user
        act(self.by(), user_id=user_id, everywhere=True)
        person.blocked = blocked

    @rule(which=pick)
    def erase(self, which: int) -> None:
        """R20: an address is free again, and nothing personal is left of who had it."""
        address = ADDRESSES[which]
        user_id = self.holders.pop(address, None)
        if user_id is None:
            return
        self.dead_links += self.people.pop(user_id).links
        self.gone.append(user_id)
        self.privacy.erase(self.by(), user_id=user_id)
        for known in self.invited.values():
            if known.user_id == user_id and known.state == "WAITING":
                known.state = "REVOKED"

    @invariant()
    def replay_agrees_with_the_model(self) -> None:
        directory = Directory(self.store)
        for key, person in self.people.items():
            for state in (directory.user(key), self.store.load(user.evolve, key).state):
                assert state is not None
                assert (state.kind, state.email, state.named, state.blocked_everywhere) == (
                    person.kind,
                    person.address,
                    person.named,
                    person.blocked,
                )
            apps = [held.type for _, held in directory.identifications(key)]
            assert apps == ["APP"] * person.apps
        for key, known in self.invited.items():
            told = directory.invitations.invitation(key)
            assert (told.state, told.times_sent) == (known.state, len(known.tokens))

    @invariant()
    def who_is_gone_stays_gone(self) -> None:
        directory = Directory(self.store)
        for key in self.gone:
            with pytest.raises(UserUnknownError):
                directory.user(key)
            with pytest.raises(UserUnknownError):
                self.identity.users.rename_user(
                    self.by(), user_id=key, first_name="A", last_name="B"
                )
        for key, known in self.invited.items():
            if known.user_id in self.gone:
                with pytest.raises((UserUnknownError, LinkUnknownError)):
                    self.identity.invitations.issue(key)

    def let_in(self, user_id: str) -> None:
        person = self.people[user_id]
        if person.kind == "PENDING":
            person.kind, person.apps = "ACCOUNT", 1
        self.dead_links += person.links
        person.links = []
        for known in self.invited.values():
            if known.user_id == user_id and known.state == "WAITING":
                known.state = "ACCEPTED"

    def somebody_of(self, which: int) -> tuple[str, Person]:
        user_id = self.holders[ADDRESSES[which]]
        return user_id, self.people[user_id]

    def reaction(self) -> Reaction:
        self.heard += 1
        at = Position("access", "0" * 16, self.heard)
        return Reaction(Handled("identity-on-permission-granted", at), new_id(), 0, ADMINISTRATOR)

    def by(self, actor: str = ADMINISTRATOR) -> Context:
        return Context(actor, new_id())


HOW_OFTEN = settings(
    max_examples=16,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_an_account_lives_as_the_model_says_in_a_file() -> None:
    """R7, R12, R20."""
    run_state_machine_as_test(AccountLifecycle, settings=HOW_OFTEN)


def test_an_account_lives_as_the_model_says_on_postgresql(postgres: Postgres) -> None:
    """R7, R12, R20."""
    few = settings(HOW_OFTEN, max_examples=4)
    run_state_machine_as_test(lambda: AccountLifecycle(postgres), settings=few)  # type: ignore[arg-type] # it takes any maker
