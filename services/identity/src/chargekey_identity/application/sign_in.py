"""What can be done with sign-ins, once somebody has shown who he is."""

from __future__ import annotations

import time
from collections.abc import Set as AbstractSet

import msgspec

from chargekey_common.errors import PermissionDeniedError
from chargekey_common.eventstore.store import (
    Answer,
    CommandIdReusedError,
    Context,
    EventStore,
    Work,
    command,
)
from chargekey_identity.domain import user
from chargekey_identity.domain.errors import SignInEndedError, SignInRefusedError, UserUnknownError
from chargekey_identity.tables.refresh_tokens import RefreshTokens
from chargekey_identity.tables.signing_keys import AccessToken, SigningKeys


class Tokens(msgspec.Struct, frozen=True):
    """What a signed-in program calls with, now and later."""

    user_id: str
    access: AccessToken
    refresh: str

    def __repr__(self) -> str:
        return f"Tokens(user_id={self.user_id!r})"


class SignIns:
    """Every way to tokens; blocked everywhere, erased or PENDING, nobody gets any."""

    def __init__(
        self,
        store: EventStore,
        signing_keys: SigningKeys,
        refresh_tokens: RefreshTokens,
        administrators: AbstractSet[str],
    ) -> None:
        """Let those act as administrators who have one of these addresses."""
        self.store = store
        self._administrators = administrators
        self._signing_keys = signing_keys
        self._refresh_tokens = refresh_tokens

    def issue(self, user_id: str) -> Tokens:
        """Begin a sign-in of a user who can; raises UserUnknownError or SignInRefusedError."""
        user.require_sign_in(self.store.load(user.evolve, user_id).state)
        refresh = self._refresh_tokens.begin(user_id, at=time.time_ns())
        return Tokens(user_id, self._signing_keys.sign(f"user:{user_id}"), refresh)

    def refresh(self, token: str) -> Tokens:
        """Go on with a sign-in; raises SignInEndedError."""
        refreshed = self._refresh_tokens.refresh(token, at=time.time_ns())
        user_id = refreshed.user_id
        try:
            user.require_sign_in(self.store.load(user.evolve, user_id).state)
        except (UserUnknownError, SignInRefusedError):
            # For good: a token that was used is good for a moment yet.
            self._refresh_tokens.end(token)
            raise SignInEndedError from None
        return Tokens(user_id, self._signing_keys.sign(f"user:{user_id}"), refreshed.token)

    def sign_out(self, token: str) -> None:
        """End the sign-in that a refresh token belongs to; its access token ends by itself."""
        self._refresh_tokens.end(token)

    def sign_in_as(self, context: Context, *, user_id: str) -> Answer[AccessToken]:
        """Record that the caller is given a token of the user, then make it.

        The recorded command is good for this user alone, and for as long as he could be
        calling. Raises CommandIdReusedError, UserUnknownError or SignInRefusedError.
        """
        recorded = self.record_sign_in_as(context, user_id=user_id)
        if recorded.result != user_id:
            raise CommandIdReusedError
        user.sign_in_as(self.store.load(user.evolve, user_id).state)
        return Answer(self._signing_keys.sign(f"user:{user_id}"), recorded.position)

    def act_as_administrator(self, context: Context) -> Answer[AccessToken]:
        """Record that the caller, a person, is given a token as an administrator, then make it.

        Raises PermissionDeniedError.
        """
        recorded = self.record_act_as_administrator(context)
        token = self._signing_keys.sign(f"administrator:{recorded.result}")
        return Answer(token, recorded.position)

    @command
    def record_act_as_administrator(self, work: Work) -> str:
        """Record it and return who he is."""
        kind, _, user_id = work.actor.partition(":")
        if kind != "user":
            raise PermissionDeniedError
        loaded = work.load(user.evolve, user_id)
        work.record(loaded, *user.act_as_administrator(loaded.state, self._administrators))
        return user_id

    @command
    def record_sign_in_as(self, work: Work, *, user_id: str) -> str:
        """Record it and return whose token it is to be."""
        loaded = work.load(user.evolve, user_id)
        work.record(loaded, *user.sign_in_as(loaded.state))
        return user_id
