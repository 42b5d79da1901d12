"""Users with an address, their addresses and invitations: given this, when that, then those."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_common.errors import ChargekeyError, PermissionDeniedError
from chargekey_common.eventstore.records import DomainEvent
from chargekey_common.local_days import TimeZoneUnknownError
from chargekey_identity.domain import disclosure, email, events, invitation, links, user
from chargekey_identity.domain.disclosure import Known
from chargekey_identity.domain.email import Email, Reservations
from chargekey_identity.domain.errors import (
    BlockAtInstallationError,
    EmailMalformedError,
    InvitationSettledError,
    InvitationUnknownError,
    LanguageUnknownError,
    LinkInvalidError,
    LocalProfileError,
    SignInRefusedError,
    UserUnknownError,
)
from chargekey_identity.domain.events import (
    EmailReleased,
    EmailReserved,
    EmailVerified,
    InvitationAccepted,
    InvitationCreated,
    InvitationRenewed,
    InvitationRevoked,
    LocalUserAdded,
    OpenIdLinked,
    PendingUserAdded,
    ProfileChanged,
    SignedIn,
    SignInLinkRequested,
    UserBlocked,
    UserErased,
    UserRenamed,
    UserUnblocked,
)
from chargekey_identity.domain.invitation import LIFETIME, Given, Invitation
from chargekey_identity.domain.links import Links
from chargekey_identity.domain.user import OpenIdAccount, User

KARI = LocalUserAdded(installation_id="home", first_name="Kari", last_name="N", blocked=False)
OLA = PendingUserAdded(email="ola@example.com")
NAMED = UserRenamed(first_name="Ola", last_name="N")
EVERYWHERE = UserBlocked(installation_id=None)
NOWHERE = UserUnblocked(installation_id=None)
VERIFIED = EmailVerified()
GIVEN = Given("ola", installation_id="home", permission_id="p1")
CREATED = InvitationCreated(
    user_id="ola",
    installation_id="home",
    charger_id=None,
    permission_id="p1",
    partner_id=None,
    expires_at=LIFETIME,
)
RENEWED = InvitationRenewed(user_id="ola", expires_at=LIFETIME + 5)
ACCEPTED = InvitationAccepted(user_id="ola")
REVOKED = InvitationRevoked(user_id="ola", installation_id="home", permission_id="p1")
SECRET = b"a secret of at least sixteen bytes"


def a_user(*happened: DomainEvent) -> User | None:
    state = None
    for event in happened:
        state = user.evolve(state, event)  # type: ignore[arg-type] # one of a user's
    return state


def an_invitation(*happened: DomainEvent) -> Invitation | None:
    state = None
    for event in happened:
        state = invitation.evolve(state, event)  # type: ignore[arg-type] # one of its own
    return state


def test_every_event_of_a_user_leaves_a_user() -> None:
    """A match that forgot one would raise."""
    samples: Sequence[DomainEvent] = (
        OpenIdLinked(issuer="https://idp", subject="s"),
        events.AccessProposed(installation_id="home", roles=("USER",), valid_until=1, local=False),
        ProfileChanged(time_zone="Europe/Oslo", language="nb"),
        SignInLinkRequested(),
        SignedIn(by="LINK"),
        events.SignedInAs(),
        events.ActedAsAdministrator(),
        events.UserExported(),
        NAMED,
        EVERYWHERE,
        NOWHERE,
        VERIFIED,
    )
    assert {type(each) for each in (KARI, OLA, UserErased(), *samples)} == set(
        events.UserEvent.__args__
    )
    state = a_user(OLA, *samples)
    assert state == User(
        "ACCOUNT",
        first_name="Ola",
        last_name="N",
        email="ola@example.com",
        time_zone="Europe/Oslo",
        language="nb",
    )


def test_an_erased_user_is_gone_with_everything_personal() -> None:
    """R20."""
    gone = a_user(OLA, VERIFIED, NAMED, OpenIdLinked(issuer="i", subject="s"), UserErased())
    assert gone == User("ACCOUNT", erased=True)
    with pytest.raises(UserUnknownError):
        user.rename(gone, first_name="Ola", last_name="N")
    assert user.request_link(gone) == []


def test_no_repr_tells_who_somebody_is() -> None:
    state = a_user(OLA, NAMED)
    shown = repr((state, OpenIdAccount("i", "secret"), disclosure.everything(user.existing(state))))
    link = links.IssuedLink("ola@example.com", "token", 1, "en")
    for personal in ("Ola", "example", "secret", "token"):
        assert personal not in shown + repr(link)


@pytest.mark.parametrize(
    ("happened", "then"),
    [([OLA], [EVERYWHERE]), ([OLA, EVERYWHERE], []), ([OLA, EVERYWHERE, NOWHERE], [EVERYWHERE])],
)
def test_an_administrator_blocks_anybody_everywhere_once(
    happened: Sequence[DomainEvent], then: Sequence[DomainEvent]
) -> None:
    """R12."""
    assert user.block(a_user(*happened), everywhere=True, by_administrator=True) == then
    lifted = user.unblock(a_user(*happened), everywhere=True, by_administrator=True)
    assert lifted == ([] if then else [NOWHERE])


def test_the_two_scopes_of_a_local_users_block_are_apart() -> None:
    """R12."""
    both = a_user(KARI, UserBlocked(installation_id="home"), EVERYWHERE)
    assert user.unblock(both) == [UserUnblocked(installation_id="home")]
    state = user.existing(a_user(KARI, EVERYWHERE))
    assert (state.blocked, state.blocked_everywhere) == (False, True)
    assert user.block(state) == [UserBlocked(installation_id="home")]


@pytest.mark.parametrize("act", [user.block, user.unblock])
@pytest.mark.parametrize("who", [KARI, OLA])
def test_nobody_but_an_administrator_blocks_everywhere(act: object, who: DomainEvent) -> None:
    """R12."""
    with pytest.raises(PermissionDeniedError):
        act(a_user(who), everywhere=True)  # type: ignore[operator] # one of the two


@pytest.mark.parametrize("administrator", [True, False])
def test_somebody_with_an_address_is_blocked_at_an_installation(administrator: bool) -> None:
    """R12: which is access's to do."""
    for state in (a_user(OLA), a_user(OLA, VERIFIED)):
        with pytest.raises(BlockAtInstallationError):
            user.block(state, by_administrator=administrator)


def test_the_first_sign_in_verifies_the_address() -> None:
    """R7."""
    assert user.sign_in(a_user(OLA), "LINK") == [VERIFIED, SignedIn(by="LINK")]
    assert user.sign_in(a_user(OLA, VERIFIED), "OPENID") == [SignedIn(by="OPENID")]


def test_who_signs_in_first_is_written_to_in_what_he_reads_where_that_can_be() -> None:
    utc = a_user(OLA).time_zone
    reads = ProfileChanged(time_zone=utc, language="nb")
    assert user.sign_in(a_user(OLA), "INVITATION", language="nb") == [
        VERIFIED,
        reads,
        SignedIn(by="INVITATION"),
    ]
    for other in ("", "en", "tlh", "nb\n"):
        assert user.sign_in(a_user(OLA), "LINK", language=other) == [VERIFIED, SignedIn(by="LINK")]
    here = [SignedIn(by="OPENID")]
    assert user.sign_in(a_user(OLA, VERIFIED), "OPENID", language="nb") == here


@pytest.mark.parametrize("happened", [[KARI], [OLA, VERIFIED, EVERYWHERE]])
def test_local_users_and_those_blocked_everywhere_cannot_sign_in(
    happened: Sequence[DomainEvent],
) -> None:
    """R12."""
    with pytest.raises(SignInRefusedError):
        user.sign_in(a_user(*happened), "LINK")
    assert user.request_link(a_user(*happened)) == []
    assert user.request_link(a_user(OLA)) == [SignInLinkRequested()]


@pytest.mark.parametrize("happened", [[KARI], [OLA], [OLA, VERIFIED, EVERYWHERE]])
def test_tokens_are_for_verified_users_who_are_not_blocked_everywhere(
    happened: Sequence[DomainEvent],
) -> None:
    """R7, R12."""
    with pytest.raises(SignInRefusedError):
        user.require_sign_in(a_user(*happened))
    user.require_sign_in(a_user(OLA, VERIFIED))


@pytest.mark.parametrize("happened", [[OLA], [KARI, EVERYWHERE], [OLA, VERIFIED, EVERYWHERE]])
def test_an_administrator_tries_calls_as_whoever_could_make_them(
    happened: Sequence[DomainEvent],
) -> None:
    with pytest.raises(SignInRefusedError):
        user.sign_in_as(a_user(*happened))
    for who in (a_user(KARI), a_user(OLA, VERIFIED)):
        assert user.sign_in_as(who) == [events.SignedInAs()]


@pytest.mark.parametrize(
    "happened",
    [
        [],
        [KARI],
        [OLA],
        [OLA, VERIFIED, EVERYWHERE],
        [OLA, VERIFIED, UserErased()],
    ],
)
def test_nobody_acts_as_an_administrator_who_has_shown_no_listed_address_or_is_blocked(
    happened: Sequence[DomainEvent],
) -> None:
    listed = {"ola@example.com", ""}
    with pytest.raises(PermissionDeniedError):
        user.act_as_administrator(a_user(*happened), listed)
    ola = a_user(OLA, VERIFIED)
    assert user.act_as_administrator(ola, listed) == [events.ActedAsAdministrator()]
    for others in (set(), {"ole@example.com"}, {"ola@example.com.evil.example"}):
        with pytest.raises(PermissionDeniedError):
            user.act_as_administrator(ola, others)


def test_a_profile_changes_in_what_is_given() -> None:
    """R18: days are reckoned in the user's own zone."""
    ola = a_user(OLA)
    assert user.change_profile(ola, time_zone="Europe/Oslo", language=None) == [
        ProfileChanged(time_zone="Europe/Oslo", language="en")
    ]
    assert user.change_profile(ola, time_zone=None, language="nb") == [
        ProfileChanged(time_zone="UTC", language="nb")
    ]
    assert user.change_profile(ola, time_zone="UTC", language=None) == []


@pytest.mark.parametrize(
    ("who", "zone", "language", "error"),
    [
        (OLA, "Europe/Utopia", None, TimeZoneUnknownError),
        (OLA, "", None, TimeZoneUnknownError),
        (OLA, None, "tlh", LanguageUnknownError),
        (KARI, "UTC", None, LocalProfileError),
    ],
)
def test_an_impossible_profile_is_refused(
    who: DomainEvent, zone: str | None, language: str | None, error: type[ChargekeyError]
) -> None:
    with pytest.raises(error):
        user.change_profile(a_user(who), time_zone=zone, language=language)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ola@example.com", "ola@example.com"),
        (" Ola.Nordmann+Home@EXAMPLE.com\n", "ola.nordmann+home@example.com"),
        ("ola@xn--bcher-kva.example.com", "ola@bücher.example.com"),
        ("ola@Bücher.example.com", "ola@bücher.example.com"),
        ("o\u0308la@example.com", "öla@example.com"),
    ],
)
def test_an_address_has_one_form(text: str, address: str) -> None:
    assert email.canonical(text) == address
    assert email.canonical(address) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ola",
        "@example.com",
        "ola@",
        "ola@@example.com",
        "ola@example",
        "ola@localhost",
        "Ola <ola@example.com>",
        "ola@[127.0.0.1]",
        '"o la"@example.com',
        "o la@example.com",
        "ola@example.com, kari@example.com",
        "ola@example.com\r\nBcc: kari@example.com",
        "ola\u202e@example.com",
        "x" * 65 + "@example.com",
        "ola@" + "x" * 10_000 + ".com",
    ],
)
def test_what_is_no_address_is_refused_without_an_echo(text: str) -> None:
    with pytest.raises(EmailMalformedError) as refused:
        email.canonical(text)
    assert str(refused.value) == EmailMalformedError.sentence


@given(st.emails())
def test_the_one_form_of_an_address_stays_and_knows_no_case(address: str) -> None:
    try:
        first = email.canonical(address)
    except EmailMalformedError:
        return  # what a standard of 1982 allows and no provider gives out
    assert email.canonical(first) == first
    assert email.canonical(address.swapcase()) == first


def test_reservations_meet_by_address_and_secret_and_differ_from_those_of_providers() -> None:
    ours, others = Reservations(SECRET), Reservations(SECRET[::-1])
    account = OpenIdAccount("ola", "example.com")
    found = {
        ours.of_email(Email("ola@example.com")),
        ours.of_email(Email("kari@example.com")),
        others.of_email(Email("ola@example.com")),
        ours.of_openid(account),
        ours.of_openid(OpenIdAccount("ola\0example", "com")),
        ours.of_openid(OpenIdAccount("ola", "example\0com")),
    }
    assert len(found) == 6
    assert ours.of_email(Email("ola@example.com")) in found


def test_an_address_is_somebodys_until_it_is_released() -> None:
    """R20: as it is when he is erased; then it is free for whoever comes next."""
    reserved = email.reserve(None, user_id="ola")
    assert reserved == [EmailReserved(user_id="ola")]
    held = email.evolve(None, reserved[0])
    assert email.holder(held) == "ola"
    assert email.reserve(held, user_id="kari") == []
    free = email.evolve(held, EmailReleased(user_id="ola"))
    assert email.reserve(free, user_id="kari") == [EmailReserved(user_id="kari")]


def test_an_invitation_is_made_once_for_seven_days() -> None:
    """R7."""
    assert invitation.create(None, GIVEN, now=0) == [CREATED]
    assert invitation.create(an_invitation(CREATED), GIVEN, now=1) == []
    state = invitation.existing(an_invitation(CREATED))
    assert state.given == GIVEN
    assert [state.is_open(now) for now in (0, LIFETIME - 1, LIFETIME)] == [True, True, False]


def test_sent_again_it_has_another_number_and_another_week() -> None:
    """R7."""
    assert invitation.renew(an_invitation(CREATED), now=5) == [RENEWED]
    state = invitation.existing(an_invitation(CREATED, RENEWED))
    assert (state.times_sent, state.is_open(LIFETIME)) == (2, True)


@pytest.mark.parametrize("settled", [ACCEPTED, REVOKED])
def test_what_is_settled_can_be_neither_sent_nor_followed(settled: DomainEvent) -> None:
    state = an_invitation(CREATED, settled)
    assert not invitation.existing(state).is_open(0)
    assert invitation.accept(state) == []
    with pytest.raises(InvitationSettledError):
        invitation.renew(state, now=0)


def test_taking_back_twice_is_taking_back_once_and_never_after_it_was_accepted() -> None:
    assert invitation.revoke(an_invitation(CREATED)) == [REVOKED]
    assert invitation.revoke(an_invitation(CREATED, REVOKED)) == []
    with pytest.raises(InvitationSettledError):
        invitation.revoke(an_invitation(CREATED, ACCEPTED))
    with pytest.raises(InvitationUnknownError):
        invitation.revoke(None)


def test_an_inviter_knows_the_address_and_once_it_is_accepted_the_name() -> None:
    """R7: nobody learns from an invitation who has an account."""
    ola = user.existing(a_user(OLA, VERIFIED, NAMED))
    waiting, accepted, revoked = (
        invitation.existing(an_invitation(CREATED, *more)) for more in ([], [ACCEPTED], [REVOKED])
    )
    told = Known("ACCOUNT", "Ola", "N", "ola@example.com")
    assert disclosure.to_inviter(ola, []) == disclosure.to_inviter(ola, [revoked]) == Known()
    here = Known(email="ola@example.com", waiting=True)
    assert disclosure.to_inviter(ola, [revoked, waiting]) == here
    assert disclosure.to_inviter(ola, [waiting, accepted]) == told == disclosure.everything(ola)
    assert [known.name for known in (told, Known(email="a@b.c"), Known())] == ["Ola N", "a@b.c", ""]


def test_that_somebody_is_blocked_everywhere_his_hosts_are_not_told() -> None:
    """R12: of their own local users they are told any block."""
    accepted = invitation.existing(an_invitation(CREATED, ACCEPTED))
    ola = user.existing(a_user(OLA, VERIFIED, NAMED, UserBlocked(installation_id=None)))
    assert disclosure.everything(ola).blocked_everywhere
    assert not disclosure.to_inviter(ola, [accepted]).blocked_everywhere
    # And which, as they can lift their own alone.
    for here, everywhere in ((False, True), (True, False), (True, True)):
        lise = User("LOCAL", "home", "Lise", blocked=here, blocked_everywhere=everywhere)
        told = disclosure.at_site(lise, "home", [])
        assert (told.blocked, told.blocked_everywhere) == (here, everywhere)


def test_that_somebody_was_erased_those_are_told_who_knew_him() -> None:
    """R20, R7: to whom an address was nobody's, it stays so."""
    gone = user.evolve(a_user(OLA, VERIFIED, NAMED), UserErased())
    accepted, revoked = (
        invitation.existing(an_invitation(CREATED, each)) for each in (ACCEPTED, REVOKED)
    )
    assert disclosure.to_inviter(gone, [accepted]) == Known("ACCOUNT", erased=True)
    assert disclosure.to_inviter(gone, [revoked]) == disclosure.to_inviter(gone, []) == Known()
    local = User("LOCAL", "home", erased=True)
    assert disclosure.at_site(local, "home", []) == Known("LOCAL", erased=True)
    assert disclosure.at_site(local, "away", []) == Known()


ONE, OTHER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))


def test_a_token_is_good_for_its_ids_its_purpose_and_its_number_alone() -> None:
    """R7: a link sent again voids the one before."""
    ours = Links(SECRET)
    token = ours.token("sign-in", ONE, OTHER)
    assert links.ids_of(token, 2) == [ONE, OTHER]
    ours.require(token, "sign-in", ONE, OTHER)
    assert token == Links(SECRET).token("sign-in", ONE, OTHER)
    with pytest.raises(LinkInvalidError):
        Links(SECRET[::-1]).require(token, "sign-in", ONE, OTHER)
    for ids, purpose, number in (
        ((OTHER, ONE), "sign-in", 1),
        ((ONE, OTHER), "invitation", 1),
        ((ONE, OTHER), "sign-in", 2),
    ):
        with pytest.raises(LinkInvalidError):
            ours.require(token, purpose, *ids, number=number)  # type: ignore[arg-type] # literals


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_whatever_is_sent_for_a_token_is_invalid_and_nothing_else(text: str) -> None:
    for count in (1, 2):
        with pytest.raises(LinkInvalidError):
            Links(SECRET).require(text, "invitation", *links.ids_of(text, count))
    with pytest.raises(LinkInvalidError):
        Links(SECRET).require(text, "invitation", ONE)
