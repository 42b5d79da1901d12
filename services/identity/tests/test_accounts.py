"""Accounts on a real store: addresses, invitations and links, also when two come at once."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, MethodType

import pytest

from chargekey_common.attempts import TooManyAttemptsError
from chargekey_common.eventstore.postgres import PostgresRecorder
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Context, Reaction
from chargekey_common.names import NameMalformedError
from chargekey_common.positions import Position
from chargekey_common.postgres import Postgres
from chargekey_common.testing.tables import execute
from chargekey_identity.application import invitations, sign_in_links
from chargekey_identity.domain import invitation, user
from chargekey_identity.domain.email import Email
from chargekey_identity.domain.errors import (
    EmailMalformedError,
    LinkInvalidError,
    LinkUnknownError,
    UserUnknownError,
)
from chargekey_identity.domain.events import UserErased
from chargekey_identity.domain.invitation import Given
from chargekey_identity.domain.links import IssuedLink, Links
from chargekey_identity.domain.user import OpenIdAccount
from chargekey_identity.projections.directory import Directory
from chargekey_identity.published import publication
from chargekey_identity.storage import opened

from .conftest import MASTER, SECRET, Identity, beside

OLA = Email("ola@example.com")


@pytest.fixture
def identity(place: Path | Postgres, tmp_path: Path) -> Iterator[Identity]:
    """Identity on a file, and on PostgreSQL."""
    if isinstance(place, Postgres):
        PostgresRecorder.migrate(place)
    with opened(beside(tmp_path, place), MASTER) as storage:
        yield Identity(storage)


def by(actor: str = "service:access") -> Context:
    return Context(actor, new_id())


def resolved(identity: Identity, address: Email = OLA) -> str:
    return identity.addresses.resolve_email(by(), address).result


def invited(identity: Identity, user_id: str, permission: str = "p1") -> str:
    """Invite to the installation `home` by a permission; return the invitation's id."""
    heard = time.time_ns()
    reaction = Reaction(
        Handled("identity-on-permission-granted", Position("access", "0" * 16, heard)),
        new_id(),
        heard,
        "user:owner",
    )
    given = Given(user_id, installation_id="home", permission_id=permission)
    identity.invitations.invite(given, reaction)
    return invitation.invitation_id(reaction.event_id)


def names_of(identity: Identity, after: int = 0) -> list[str]:
    return [type(record.event).__name__ for _, record, _ in identity.store.read(after, 1000)]


def asked_for(identity: Identity, user_id: str) -> IssuedLink:
    """Ask for a sign-in link and issue it, as the notifier would."""
    end = identity.store.end()
    identity.sign_in_links.request(OLA)
    [(_, record, _)] = identity.store.read(end, 10)
    return identity.sign_in_links.issue(record.event_id, user_id)


def at_once(count: int, act: Callable[[], object]) -> list[object]:
    """Do it `count` times at the same moment; return what came of each."""
    barrier = threading.Barrier(count)
    results: list[object] = []

    def run() -> None:
        barrier.wait()
        try:
            results.append(act())
        except LinkInvalidError as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_an_unknown_address_becomes_one_pending_user_with_its_reservation(
    identity: Identity,
) -> None:
    """R7."""
    user_id = resolved(identity)
    assert names_of(identity) == ["PendingUserAdded", "EmailReserved"]
    assert len({record.cause for _, record, _ in identity.store.read(0, 10)}) == 1
    assert resolved(identity) == user_id
    assert resolved(identity, Email("kari@example.com")) != user_id
    state = identity.directory.user(user_id)
    assert (state.kind, state.email, state.named) == ("PENDING", OLA, False)


def test_those_who_name_one_address_at_once_get_one_user(identity: Identity) -> None:
    """R7: uniqueness is a fact of optimistic concurrency."""
    assert len(set(at_once(4, lambda: resolved(identity)))) == 1
    assert names_of(identity) == ["PendingUserAdded", "EmailReserved"]


def test_the_first_time_verifies_gives_the_portals_identification_and_accepts_what_waits(
    identity: Identity,
) -> None:
    """R7: the grant works from then on with no further step of the owner."""
    user_id = resolved(identity)
    keys = [invited(identity, user_id), invited(identity, user_id, "p2")]
    token = identity.invitations.issue(keys[0]).token
    end = identity.store.end()
    answer = identity.invitations.accept(token, first_name="Ola", last_name="Nordmann")
    assert answer.result == user_id
    assert names_of(identity, end) == [
        "EmailVerified",
        "SignedIn",
        "CodeReserved",
        "IdentificationAdded",
        "InvitationAccepted",
        "InvitationAccepted",
        "UserRenamed",
    ]
    actors = {record.actor for _, record, _ in identity.store.read(end, 10)}
    assert actors == {f"user:{user_id}"}
    state = identity.directory.user(user_id)
    assert (state.kind, state.first_name, state.last_name) == ("ACCOUNT", "Ola", "Nordmann")
    [(_, app)] = identity.directory.identifications(user_id)
    assert (app.type, app.status, app.installation_id) == ("APP", "ACTIVE", None)

    later = invited(identity, user_id, "p3")
    end = identity.store.end()
    token = identity.invitations.issue(later).token
    identity.invitations.accept(token, first_name="", last_name="")
    assert names_of(identity, end) == ["SignedIn", "InvitationAccepted"]


def test_a_name_is_needed_once_and_not_looked_at_later(identity: Identity) -> None:
    user_id = resolved(identity)
    token = identity.invitations.issue(invited(identity, user_id)).token
    end = identity.store.end()
    with pytest.raises(NameMalformedError):
        identity.invitations.accept(token, first_name="Ola", last_name=" ")
    assert identity.store.end() == end
    identity.invitations.accept(token, first_name="Ola", last_name="Nordmann")
    token = identity.invitations.issue(invited(identity, user_id, "p2")).token
    identity.invitations.accept(token, first_name="Somebody", last_name="Else")
    assert identity.directory.user(user_id).first_name == "Ola"


def test_an_invitations_link_works_once_and_the_newest_only(identity: Identity) -> None:
    """R7: single use; a resent one voids the one before."""
    user_id = resolved(identity)
    key = invited(identity, user_id)
    first = identity.invitations.issue(key)
    assert identity.invitations.issue(key) == first  # a mail that is sent again is the same
    assert first.email == OLA
    identity.invitations.resend_invitation(by(), invitation_id=key)
    second = identity.invitations.issue(key)
    for token in (first.token, Links(SECRET).token("invitation", key, number=2), "", second.email):
        with pytest.raises(LinkInvalidError):
            identity.invitations.accept(token, first_name="Ola", last_name="N")
    identity.invitations.accept(second.token, first_name="Ola", last_name="N")
    with pytest.raises(LinkInvalidError):
        identity.invitations.accept(second.token, first_name="Ola", last_name="N")
    with pytest.raises(LinkUnknownError):
        identity.invitations.issue(key)


def test_a_link_of_seven_days_expires_and_can_be_sent_again(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R7. Whoever signs in otherwise accepts it all the same: it was not taken back."""
    user_id = resolved(identity)
    key = invited(identity, user_id)
    link = identity.invitations.issue(key)
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + invitation.LIFETIME)
    with pytest.raises(LinkInvalidError):
        identity.invitations.accept(link.token, first_name="Ola", last_name="N")
    identity.invitations.resend_invitation(by(), invitation_id=key)
    monkeypatch.setattr(time, "time_ns", lambda: real() + 2 * invitation.LIFETIME)
    assert identity.sign_in_links.redeem(asked_for(identity, user_id).token).result == user_id
    assert identity.directory.invitations.invitation(key).state == "ACCEPTED"


def test_of_those_who_follow_one_link_at_once_one_is_let_in(identity: Identity) -> None:
    """R7: single use is a fact of optimistic concurrency."""
    user_id = resolved(identity)
    token = identity.invitations.issue(invited(identity, user_id)).token
    accepted = at_once(
        4, lambda: identity.invitations.accept(token, first_name="O", last_name="N").result
    )
    assert accepted.count(user_id) == 1
    for _ in range(3):
        link = asked_for(identity, user_id)
        followed = at_once(4, lambda: identity.sign_in_links.redeem(link.token).result)  # noqa: B023 - the threads of a round end with it
        assert followed.count(user_id) == 1
    assert names_of(identity).count("SignedIn") == 4
    assert names_of(identity).count("EmailVerified") == 1


def test_a_refilled_bus_invites_nobody_again(identity: Identity) -> None:
    """R7: not even where this service lost what it had handled."""
    user_id = resolved(identity)
    given = Given(user_id, installation_id="home", permission_id="p1")
    event_id = new_id()
    for number in (7, 7, 8):
        handled = Handled("identity-on-permission-granted", Position("access", "0" * 16, number))
        identity.invitations.invite(given, Reaction(handled, event_id, 0, "user:owner"))
    assert names_of(identity).count("InvitationCreated") == 1


def test_who_does_not_exist_any_more_is_not_invited(identity: Identity) -> None:
    """R20."""
    assert invited(identity, new_id()) not in identity.directory.invitations.at("home")
    assert names_of(identity) == []


def test_what_is_taken_back_is_what_waits_for_that_permission(identity: Identity) -> None:
    """Revoking a permission takes the invitation to it, and no other."""
    user_id = resolved(identity)
    gone, kept = invited(identity, user_id), invited(identity, user_id, "p2")
    handled = Handled("identity-on-permission-revoked", Position("access", "0" * 16, 9))
    identity.invitations.take_back(
        user_id,
        lambda given: given.permission_id == "p1",
        Reaction(handled, new_id(), 0, "user:owner"),
    )
    found = identity.directory.invitations.at("home")
    assert (found[gone].state, found[kept].state) == ("REVOKED", "WAITING")


def test_asking_for_a_link_reads_and_answers_the_same_for_everybody(identity: Identity) -> None:
    """R7: only who may sign in is mailed to, and nobody else learns that."""
    user_id = resolved(identity)
    end = identity.store.end()
    identity.sign_in_links.request(" OLA@Example.com ")
    assert names_of(identity, end) == ["SignInLinkRequested"]
    identity.users.block_user(by("administrator:local"), user_id=user_id, everywhere=True)
    end = identity.store.end()
    identity.sign_in_links.request(OLA)
    identity.sign_in_links.request("nobody@example.com")
    assert identity.store.end() == end
    with pytest.raises(EmailMalformedError):
        identity.sign_in_links.request("nobody")


def test_attempts_at_links_are_limited_by_address(identity: Identity) -> None:
    for _ in range(sign_in_links.MOST_PER_ADDRESS):
        identity.sign_in_links.request("nobody@example.com")
    for text in ("nobody@example.com", "NOBODY@example.com"):
        with pytest.raises(TooManyAttemptsError) as refused:
            identity.sign_in_links.request(text)
        assert "nobody" not in str(refused.value)
    identity.sign_in_links.request("somebody@example.com")


def test_addresses_that_nobody_has_lock_nobody_out(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is mailed in total is used up by mails alone, and nobody is told that it is."""
    monkeypatch.setattr(sign_in_links, "MOST_IN_TOTAL", 2)
    resolved(identity)
    end = identity.store.end()
    for number in range(5):
        identity.sign_in_links.request(f"nobody-{number}@example.com")
    for _ in range(3):
        identity.sign_in_links.request(OLA)
    assert names_of(identity, end) == ["SignInLinkRequested"] * 2


def test_so_many_invented_addresses_leave_rows_and_no_more_and_nobody_learns_which_are_known(
    identity: Identity,
    place: Path | Postgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R7: as soon as one is not counted, none is told that it was too often."""
    monkeypatch.setattr(sign_in_links, "MOST_COUNTED", 8)
    resolved(identity)
    end = identity.store.end()
    receipts = execute(place, "SELECT count(*) FROM receipts")
    for number in range(50):
        identity.sign_in_links.request(f"nobody-{number}@example.com")
    # One counts them all.
    assert execute(tmp_path / "identity-sign-ins.db", "SELECT count(*) FROM attempts") == [(9,)]
    assert execute(place, "SELECT count(*) FROM receipts") == receipts
    for _ in range(sign_in_links.MOST_PER_ADDRESS + 3):
        identity.sign_in_links.request(OLA)
        identity.sign_in_links.request("nobody-1@example.com")
    assert names_of(identity, end) == ["SignInLinkRequested"] * sign_in_links.MOST_PER_ADDRESS


def test_an_invitation_is_sent_again_so_often_a_day_and_by_one_caller_too(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is invited is not flooded, and nobody floods many."""
    user_id = resolved(identity)
    key, other = invited(identity, user_id), invited(identity, user_id, "p2")
    again = by()
    for context in (again, again, *(by() for _ in range(invitations.MOST_PER_INVITATION - 1))):
        identity.invitations.resend_invitation(context, invitation_id=key)
    end = identity.store.end()
    for caller in ("user:owner", "user:another"):
        with pytest.raises(TooManyAttemptsError):
            identity.invitations.resend_invitation(by(caller), invitation_id=key)
    monkeypatch.setattr(invitations, "MOST_PER_CALLER", invitations.MOST_PER_INVITATION + 1)
    identity.invitations.resend_invitation(by(), invitation_id=other)
    with pytest.raises(TooManyAttemptsError):
        identity.invitations.resend_invitation(by(), invitation_id=other)
    identity.invitations.resend_invitation(by("user:another"), invitation_id=other)
    assert names_of(identity, end) == ["InvitationRenewed"] * 2


def test_a_sign_in_link_verifies_a_pending_users_address(identity: Identity) -> None:
    """R7: he has no name yet, and can tell it later."""
    user_id = resolved(identity)
    key = invited(identity, user_id)
    link = asked_for(identity, user_id)
    assert (link.email, link.language) == (OLA, "en")
    assert identity.sign_in_links.redeem(link.token).result == user_id
    state = identity.directory.user(user_id)
    assert (state.kind, state.named) == ("ACCOUNT", False)
    assert identity.directory.invitations.invitation(key).state == "ACCEPTED"


def test_a_sign_in_link_works_once_voids_the_others_and_ends_after_a_quarter_of_an_hour(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = resolved(identity)
    one, other = asked_for(identity, user_id), asked_for(identity, user_id)
    identity.sign_in_links.redeem(one.token)
    for token in (one.token, other.token, "x", identity.invitations.issue.__name__):
        with pytest.raises(LinkInvalidError):
            identity.sign_in_links.redeem(token)
    late = asked_for(identity, user_id)
    assert 0 < late.expires_at - time.time_ns() <= 900 * 10**9
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 900 * 10**9)
    with pytest.raises(LinkInvalidError):
        identity.sign_in_links.redeem(late.token)


def test_a_link_that_can_be_followed_no_longer_is_not_mailed(identity: Identity) -> None:
    user_id = resolved(identity)
    end = identity.store.end()
    identity.sign_in_links.request(OLA)
    [(_, record, _)] = identity.store.read(end, 10)
    link = identity.sign_in_links.issue(record.event_id, user_id)
    assert identity.sign_in_links.issue(record.event_id, user_id) == link
    identity.sign_in_links.redeem(link.token)
    with pytest.raises(LinkUnknownError):
        identity.sign_in_links.issue(record.event_id, user_id)
    with pytest.raises(LinkUnknownError):
        identity.sign_in_links.issue("nonsense", user_id)
    with pytest.raises(UserUnknownError):
        identity.sign_in_links.issue(record.event_id, new_id())


def test_a_block_everywhere_voids_every_link_until_it_is_lifted(identity: Identity) -> None:
    """R12."""
    user_id = resolved(identity)
    invitation_link = identity.invitations.issue(invited(identity, user_id))
    link = asked_for(identity, user_id)
    administrator = by("administrator:local")
    identity.users.block_user(administrator, user_id=user_id, everywhere=True)
    with pytest.raises(LinkInvalidError):
        identity.sign_in_links.redeem(link.token)
    with pytest.raises(LinkInvalidError):
        identity.invitations.accept(invitation_link.token, first_name="O", last_name="N")
    identity.users.unblock_user(by("administrator:local"), user_id=user_id, everywhere=True)
    assert identity.sign_in_links.redeem(link.token).result == user_id


def test_a_providers_account_finds_its_user_whatever_address_comes_with_it(
    identity: Identity,
) -> None:
    user_id = resolved(identity)
    account = OpenIdAccount("https://idp.example", "248289761001")
    for address in (OLA, Email("changed@example.com")):
        found = identity.addresses.resolve_openid(by(), account, address)
        assert found.result == user_id
    assert names_of(identity) == [
        "PendingUserAdded",
        "EmailReserved",
        "EmailReserved",
        "OpenIdLinked",
    ]
    other = OpenIdAccount("https://idp.example", "248289761002")
    new = identity.addresses.resolve_openid(by(), other, Email("kari@example.com")).result
    assert new != user_id
    assert identity.directory.user(new).kind == "PENDING"


def test_a_receipt_holds_neither_an_address_nor_a_token(identity: Identity) -> None:
    """R17."""
    context = by()
    identity.addresses.resolve_email(context, OLA)
    receipt = identity.store.recorder.receipt(context.command_id)
    assert receipt is not None
    assert b"ola" not in receipt.answer


def test_everything_is_there_after_a_restart(identity: Identity) -> None:
    """A link that was mailed works, and the directory knows whom it knew."""
    user_id = resolved(identity)
    link = asked_for(identity, user_id)
    key = invited(identity, user_id)
    again = Directory(identity.store)
    assert again.user(user_id) == identity.directory.user(user_id)
    assert again.invitations.at("home") == identity.directory.invitations.at("home")
    assert list(again.invitations.of(user_id)) == [key]
    assert identity.sign_in_links.redeem(link.token).result == user_id


def test_no_address_name_or_token_is_in_any_file_or_published_event(
    identity: Identity, tmp_path: Path
) -> None:
    """R17: the files include receipts, attempts and the write-ahead logs."""
    address = "ragnhild.solbakken@vesterhavet.example.org"
    identity.sign_in_links.request(address)
    user_id = resolved(identity, Email(address))
    link = identity.invitations.issue(invited(identity, user_id))
    identity.invitations.accept(link.token, first_name="Ragnhild", last_name="Solbakken")
    end = identity.store.end()
    identity.sign_in_links.request(address)
    [(_, record, _)] = identity.store.read(end, 10)
    other = identity.sign_in_links.issue(record.event_id, user_id)
    identity.sign_in_links.redeem(other.token)
    account = OpenIdAccount("https://idp.example", "subject-248289761001")
    identity.addresses.resolve_openid(by(), account, Email(address))

    stored = [(record, row.state) for _, record, row in identity.store.read(0, 100)]
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    written = b"".join((*files, *(state for _, state in stored)))
    assert b"sealed" in written
    told = repr([publication(record) for record, _ in stored]) + repr([r for r, _ in stored])
    for secret in (address, "ragnhild", "Ragnhild", "Solbakken", link.token, other.token):
        assert secret.encode() not in written
        assert secret not in told
    assert b"248289761001" not in written


def test_the_directory_forgets_who_is_erased(identity: Identity) -> None:
    """R20: names and addresses leave its memory with the event, and links with them."""
    user_id = resolved(identity)
    link = asked_for(identity, user_id)
    invited(identity, user_id)
    identity.users.rename_user(by(), user_id=user_id, first_name="Ola", last_name="Nordmann")
    assert identity.directory.user(user_id).named  # it reads on when it is asked
    assert {OLA, "Ola", "Nordmann"} <= texts_in(identity.directory)
    context = by()
    identity.store.execute(
        "erase",
        None,
        context,
        lambda work: work.record(work.load(user.evolve, user_id), UserErased()),
    )
    with pytest.raises(UserUnknownError):
        identity.directory.user(user_id)
    assert not {OLA, "Ola", "Nordmann"} & texts_in(identity.directory)
    with pytest.raises(LinkInvalidError):
        identity.sign_in_links.redeem(link.token)


def texts_in(directory: Directory) -> set[str]:
    """Return every text in the memory of the directory, its store's apart."""
    found: set[str] = set()
    reachable: list[object] = [vars(directory)]
    seen = {id(vars(directory)["_store"])}
    while reachable:
        thing = reachable.pop()
        if id(thing) in seen or isinstance(thing, type | FunctionType | MethodType):
            continue
        seen.add(id(thing))
        if isinstance(thing, str):
            found.add(thing)
        reachable.extend(gc.get_referents(thing))
    return found
