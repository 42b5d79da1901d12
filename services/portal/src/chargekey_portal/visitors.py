"""Who looks at a page: signed in by a cookie, or nobody yet.

The cookie is signed, and is all there is of a session: who it is, an access token good for
minutes, and the refresh token that brings the next one.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import MutableMapping
from typing import Annotated, Any, Protocol

import grpc
from fastapi import Depends, Request
from grpc import aio

from chargekey.identity.v1 import sign_in_pb2 as pb
from chargekey_common.accounts import Caller
from chargekey_common.grpc.stubs import Stubs
from chargekey_portal.languages import LANGUAGES, language_of
from chargekey_portal.refusals import OTHER_SITE, RefusedError
from chargekey_portal.services import Services

# Nanoseconds before its end at which an access token is replaced.
EARLY = 60 * 10**9
# The name of the field of every form that shows which session it was made for.
FORM_SECRET = "form_secret"  # noqa: S105 - the field's name
# In the session: what the link of a request for access carried, until it is answered.
ACCESS_REQUEST = "access_request"
# What a session keeps when somebody signs in.
_KEPT = ("language", ACCESS_REQUEST)


class SignInNeededError(Exception):
    """Nobody is signed in, or not any more."""


class SignInAnswer(Protocol):
    """What all ways to sign in answer."""

    user_id: str
    access_token: str
    refresh_token: str
    # Nanoseconds since the epoch.
    expires_at: int


class Visitor:
    """Somebody who is signed in, and the services as they answer him."""

    def __init__(
        self, session: MutableMapping[str, Any], services: Services, language: str
    ) -> None:
        self.user_id: str = session["user_id"]
        # What he reads, of LANGUAGES.
        self.language = language
        self.services: Stubs = services.as_(session["access_token"])
        self._access = services

    async def may(self, about: str, *actions: str) -> frozenset[str]:
        """Return which of these actions he may do to `about`, as in `installation:<id>`.

        What pages offer goes by it; what is then done, the services check anew.
        """
        return await self._access.allowed(Caller(f"user:{self.user_id}"), about, *actions)

    async def may_give(self, about: str) -> frozenset[int]:
        """Return the roles, by their numbers, that he may give and take by permissions there."""
        return await self._access.grantable(Caller(f"user:{self.user_id}"), about)


def language(request: Request) -> str:
    """Return the language that the visitor reads: his own choice, else his browser's."""
    chosen = request.session.get("language", "")
    if chosen in LANGUAGES:
        return str(chosen)
    return language_of(request.headers.get("accept-language", ""))


def form_secret(request: Request) -> str:
    """Return what forms made for this session carry; empty where nobody is signed in."""
    return str(request.session.get(FORM_SECRET, ""))


def begin(request: Request, signed_in: SignInAnswer) -> None:
    """Let whoever sent the request be signed in from now on."""
    kept = {key: request.session[key] for key in _KEPT if key in request.session}
    request.session.clear()
    request.session.update(kept, **{FORM_SECRET: secrets.token_urlsafe(16)})
    _keep(request, signed_in)


def end(request: Request) -> None:
    """Let nobody be signed in."""
    request.session.clear()


def _keep(request: Request, signed_in: SignInAnswer) -> None:
    request.session.update(
        user_id=signed_in.user_id,
        access_token=signed_in.access_token,
        refresh_token=signed_in.refresh_token,
        expires_at=signed_in.expires_at,
    )


async def visitor(request: Request) -> Visitor:
    """Return who is signed in; raises SignInNeededError.

    Raises RefusedError for a form that was not made for this session.
    """
    services: Services = request.app.state.services
    if "user_id" not in request.session:
        raise SignInNeededError
    if request.session["expires_at"] - EARLY < time.time_ns():
        await _refresh(request, services)
    if request.method == "POST":
        await _check_form(request)
    return Visitor(request.session, services, language(request))


async def _refresh(request: Request, services: Services) -> None:
    asked = pb.RefreshSignInRequest(refresh_token=request.session["refresh_token"])
    try:
        _keep(request, await services.as_nobody.sign_in.RefreshSignIn(asked))
    except aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
            raise
        end(request)
        raise SignInNeededError from None


async def _check_form(request: Request) -> None:
    sent = (await request.form()).get(FORM_SECRET)
    if not isinstance(sent, str) or not secrets.compare_digest(
        sent.encode(), form_secret(request).encode()
    ):
        raise RefusedError(OTHER_SITE)


SignedIn = Annotated[Visitor, Depends(visitor)]
