"""`/sign-in`: by a mailed link, or by the OpenID Connect provider; `/sign-out`."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from grpc import aio

from chargekey.identity.v1 import sign_in_pb2 as pb
from chargekey.identity.v1 import users_pb2
from chargekey_portal import visitors
from chargekey_portal.forms import Text
from chargekey_portal.link_requests import LinkRequests
from chargekey_portal.refusals import OTHER_SITE, Refusal, RefusedError, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.services import Services
from chargekey_portal.settings import PortalSettings

router = APIRouter()

CALLBACK = "/sign-in/openid/back"
# In the session, while the provider is asked.
_STATE = "openid_state"


@router.get("/sign-in")
async def sign_in(request: Request) -> Response:
    """Ask for an address; a mailed link leads here, too, with its token behind `#`."""
    return _form(request)


@router.post("/sign-in")
async def request_link(request: Request, email: Text = "") -> Response:
    """Mail a link to the address; whether somebody has it is told nobody."""
    asked = pb.RequestSignInLinkRequest(email=email)
    counted: LinkRequests = request.app.state.link_requests
    try:
        counted.count(request)
    except RefusedError as error:
        return _form(request, error.refusal, email)
    try:
        await _services(request).as_nobody.sign_in.RequestSignInLink(asked)
    except aio.AioRpcError as error:
        return _form(request, refusal_of(error), email)
    return see("/sign-in/sent")


@router.get("/sign-in/sent")
async def link_sent(request: Request) -> Response:
    """Say where to look."""
    settings: PortalSettings = request.app.state.settings
    return page(request, "sign_in_sent", caught=settings.caught_mails is not None)


@router.post("/sign-in/link")
async def follow_link(request: Request, token: Text = "") -> Response:
    """Sign in by what the link carried."""
    asked = pb.SignInRequest(token=token, language=visitors.language(request))
    try:
        answer = await _services(request).as_nobody.sign_in.SignIn(asked)
    except aio.AioRpcError as error:
        return _form(request, refusal_of(error))
    return await signed_in(request, answer)


@router.get("/sign-in/openid")
async def begin_openid(request: Request) -> Response:
    """Send the browser to the provider; the cookie keeps what it must come back with.

    By a link: browsers hold what a form is redirected to to the policy for forms.
    """
    settings: PortalSettings = request.app.state.settings
    asked = pb.BeginOpenIdSignInRequest(redirect_uri=settings.url + CALLBACK)
    answer = await _services(request).as_nobody.sign_in.BeginOpenIdSignIn(asked)
    request.session[_STATE] = answer.state
    return RedirectResponse(answer.authorization_url, 303)


@router.get(CALLBACK)
async def complete_openid(
    request: Request, state: str = "", code: str = "", error: str = ""
) -> Response:
    """Sign in by what the provider sent the browser back with, if it was sent from here."""
    expected = str(request.session.pop(_STATE, ""))
    if not expected or not secrets.compare_digest(expected.encode(), state.encode()):
        raise RefusedError(OTHER_SITE)
    if error:
        return see("/sign-in", "sign_in_declined")
    asked = pb.CompleteOpenIdSignInRequest(
        state=state, code=code, language=visitors.language(request)
    )
    try:
        answer = await _services(request).as_nobody.sign_in.CompleteOpenIdSignIn(asked)
    except aio.AioRpcError as failed:
        return _form(request, refusal_of(failed))
    return await signed_in(request, answer)


@router.post("/sign-out")
async def sign_out(request: Request, _: visitors.SignedIn) -> Response:
    """End the sign-in, here and at identity."""
    asked = pb.SignOutRequest(refresh_token=request.session["refresh_token"])
    await _services(request).as_nobody.sign_in.SignOut(asked)
    visitors.end(request)
    return see("/sign-in", "signed_out")


async def signed_in(request: Request, answer: visitors.SignInAnswer) -> Response:
    """Begin a session, and lead on to where somebody was when it was needed.

    The pages are in the language of his profile from then on, unless he chose one here.
    """
    to = str(request.session.get("to", "/"))
    visitors.begin(request, answer)
    visitor = visitors.Visitor(request.session, _services(request), visitors.language(request))
    asked = users_pb2.GetUserRequest(user_id=visitor.user_id)
    user = (await visitor.services.users.GetUser(asked)).user
    request.session.setdefault("language", user.language)
    request.session["administers"] = user.administrator
    return see(to)


def _form(request: Request, refusal: Refusal | None = None, email: str = "") -> Response:
    settings: PortalSettings = request.app.state.settings
    return page(request, "sign_in", refusal=refusal, email=email, openid=settings.openid)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
