"""A user: LOCAL to one installation, or with an address, PENDING until that is verified."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, assert_never

import msgspec

from chargekey_common import local_days
from chargekey_common.errors import PermissionDeniedError
from chargekey_identity.domain.errors import (
    BlockAtInstallationError,
    LanguageUnknownError,
    LocalProfileError,
    SignInRefusedError,
    UserUnknownError,
)
from chargekey_identity.domain.events import (
    AccessProposed,
    ActedAsAdministrator,
    EmailVerified,
    LocalUserAdded,
    OpenIdLinked,
    PendingUserAdded,
    ProfileChanged,
    SignedIn,
    SignedInAs,
    SignInLinkRequested,
    UserBlocked,
    UserErased,
    UserEvent,
    UserExported,
    UserRenamed,
    UserUnblocked,
)

Kind = Literal["LOCAL", "PENDING", "ACCOUNT"]
SignInWay = Literal["LINK", "INVITATION", "OPENID"]

# Those that mails are written in.
LANGUAGES = ("en", "nb")


class OpenIdAccount(msgspec.Struct, frozen=True):
    """Who somebody is to an OpenID Connect provider."""

    issuer: str
    subject: str

    def __repr__(self) -> str:
        return f"OpenIdAccount(issuer={self.issuer!r})"


class User(msgspec.Struct, frozen=True):
    """The user as of his last event.

    `installation_id` is empty for all but LOCAL ones. Names are empty until they are
    given, and everything personal is once the user's key is destroyed.
    """

    kind: Kind
    installation_id: str = ""
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    blocked: bool = False
    blocked_everywhere: bool = False
    time_zone: str = "UTC"
    language: str = LANGUAGES[0]
    erased: bool = False

    def __repr__(self) -> str:
        return f"User(kind={self.kind!r}, installation_id={self.installation_id!r})"

    @property
    def named(self) -> bool:
        """Whether he has told his name."""
        return bool(self.first_name)

    @property
    def may_sign_in(self) -> bool:
        """Whether he may, once he has shown who he is."""
        return self.kind != "LOCAL" and not self.blocked_everywhere


def evolve(state: User | None, event: UserEvent) -> User:
    """Return the user after `event`."""
    match event:
        case LocalUserAdded():
            return User(
                "LOCAL",
                event.installation_id,
                event.first_name,
                event.last_name,
                blocked=event.blocked,
            )
        case PendingUserAdded():
            return User("PENDING", email=event.email)
        case EmailVerified():
            return msgspec.structs.replace(existing(state), kind="ACCOUNT")
        case ProfileChanged():
            return msgspec.structs.replace(
                existing(state), time_zone=event.time_zone, language=event.language
            )
        case UserErased():
            gone = existing(state)
            return User(gone.kind, gone.installation_id, erased=True)
        case UserRenamed():
            return msgspec.structs.replace(
                existing(state), first_name=event.first_name, last_name=event.last_name
            )
        case UserBlocked():
            return _blocked(existing(state), event.installation_id, blocked=True)
        case UserUnblocked():
            return _blocked(existing(state), event.installation_id, blocked=False)
        case (
            OpenIdLinked()
            | AccessProposed()
            | SignInLinkRequested()
            | SignedIn()
            | SignedInAs()
            | ActedAsAdministrator()
            | UserExported()
        ):
            return existing(state)
        case _:
            assert_never(event)


def existing(state: User | None) -> User:
    """Return a user who was not erased; raises UserUnknownError."""
    if state is None or state.erased:
        raise UserUnknownError
    return state


def add_local(
    *, installation_id: str, first_name: str, last_name: str, blocked: bool
) -> Sequence[UserEvent]:
    """Add a user of one installation, blocked at once where wanted (S0-10...15)."""
    return [
        LocalUserAdded(
            installation_id=installation_id,
            first_name=first_name,
            last_name=last_name,
            blocked=blocked,
        )
    ]


def add_pending(email: str) -> Sequence[UserEvent]:
    """Add whoever has this canonical address, which is reserved for him (R7)."""
    return [PendingUserAdded(email=email)]


def request_link(state: User | None) -> Sequence[UserEvent]:
    """Have a sign-in link mailed to whoever may sign in, and to nobody else."""
    if state is None or state.erased or not state.may_sign_in:
        return []
    return [SignInLinkRequested()]


def sign_in(
    state: User | None, by: SignInWay, *, language: str = "", time_zone: str = ""
) -> Sequence[UserEvent]:
    """Let somebody in who has shown that the address is his; what he was given counts (R7).

    The first time he is known to read `language`, where that is one of LANGUAGES, and to live
    by `time_zone`, where there is such a zone. Raises SignInRefusedError.
    """
    user = existing(state)
    if not user.may_sign_in:
        raise SignInRefusedError
    signed_in = SignedIn(by=by)
    if user.kind != "PENDING":
        return [signed_in]
    read = language if language in LANGUAGES else None
    zone = time_zone if local_days.is_time_zone(time_zone) else None
    return [
        EmailVerified(),
        *change_profile(user, time_zone=zone, language=read),
        signed_in,
    ]


def require_sign_in(state: User | None) -> None:
    """Raise UserUnknownError or SignInRefusedError unless the user can be signed in."""
    user = existing(state)
    if user.kind != "ACCOUNT" or not user.may_sign_in:
        raise SignInRefusedError


def sign_in_as(state: User | None) -> Sequence[UserEvent]:
    """Let an administrator call as anybody who could be calling, LOCAL users included.

    Raises SignInRefusedError.
    """
    user = existing(state)
    if user.kind == "PENDING" or user.blocked_everywhere:
        raise SignInRefusedError
    return [SignedInAs()]


def act_as_administrator(
    state: User | None, administrators: AbstractSet[str]
) -> Sequence[UserEvent]:
    """Let somebody act as an administrator whose verified address is one of these.

    Raises PermissionDeniedError.
    """
    if state is None or not may_act_as_administrator(state, administrators):
        raise PermissionDeniedError
    return [ActedAsAdministrator()]


def may_act_as_administrator(state: User, administrators: AbstractSet[str]) -> bool:
    """Whether the user has one of these addresses, verified, and may sign in."""
    return (
        not state.erased
        and state.kind == "ACCOUNT"
        and state.may_sign_in
        and state.email in administrators
    )


def link_openid(account: OpenIdAccount) -> Sequence[UserEvent]:
    """Let somebody sign in by a provider's account, which is reserved for him."""
    return [OpenIdLinked(issuer=account.issuer, subject=account.subject)]


def rename(state: User | None, *, first_name: str, last_name: str) -> Sequence[UserEvent]:
    """Give the user another name (S0-25)."""
    user = existing(state)
    if (user.first_name, user.last_name) == (first_name, last_name):
        return []
    return [UserRenamed(first_name=first_name, last_name=last_name)]


def change_profile(
    state: User | None, *, time_zone: str | None, language: str | None
) -> Sequence[UserEvent]:
    """Change what is given.

    Raises LocalProfileError, TimeZoneUnknownError or LanguageUnknownError.
    """
    user = existing(state)
    if user.kind == "LOCAL":
        raise LocalProfileError
    zone = user.time_zone if time_zone is None else local_days.time_zone(time_zone).key
    spoken = user.language if language is None else language
    if spoken not in LANGUAGES:
        raise LanguageUnknownError
    if (zone, spoken) == (user.time_zone, user.language):
        return []
    return [ProfileChanged(time_zone=zone, language=spoken)]


def block(
    state: User | None, *, everywhere: bool = False, by_administrator: bool = False
) -> Sequence[UserEvent]:
    """Refuse the user with every identification; blocking twice is blocking once (R12).

    Raises BlockAtInstallationError, or PermissionDeniedError where somebody else than an
    administrator would block him everywhere.
    """
    user = existing(state)
    scope = _scope(user, everywhere=everywhere, by_administrator=by_administrator)
    return [] if _is_blocked(user, scope) else [UserBlocked(installation_id=scope)]


def unblock(
    state: User | None, *, everywhere: bool = False, by_administrator: bool = False
) -> Sequence[UserEvent]:
    """Lift the block of this scope; raises as `block` does."""
    user = existing(state)
    scope = _scope(user, everywhere=everywhere, by_administrator=by_administrator)
    return [UserUnblocked(installation_id=scope)] if _is_blocked(user, scope) else []


def _scope(user: User, *, everywhere: bool, by_administrator: bool) -> str | None:
    if everywhere:
        if not by_administrator:
            raise PermissionDeniedError
        return None
    if user.kind != "LOCAL":
        raise BlockAtInstallationError
    return user.installation_id


def _is_blocked(user: User, scope: str | None) -> bool:
    return user.blocked_everywhere if scope is None else user.blocked


def _blocked(user: User, scope: str | None, *, blocked: bool) -> User:
    if scope is None:
        return msgspec.structs.replace(user, blocked_everywhere=blocked)
    return msgspec.structs.replace(user, blocked=blocked)
