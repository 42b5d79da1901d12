"""`/profile`: who somebody is, in which language and time zone; which mails he wants."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import available_timezones

from fastapi import APIRouter, Form, Request, Response

from chargekey.identity.v1 import users_pb2
from chargekey.notifier.v1 import mails_pb2
from chargekey_portal.forms import Text
from chargekey_portal.languages import LANGUAGES
from chargekey_portal.mine import me
from chargekey_portal.refusals import Refusal, why_refused
from chargekey_portal.rendering import page, see
from chargekey_portal.visitors import SignedIn

router = APIRouter()


@router.get("/profile")
async def profile(request: Request, visitor: SignedIn) -> Response:
    """Show who somebody is, to be changed."""
    return _profile(request, await me(visitor))


@router.post("/profile/name")
async def rename(
    request: Request,
    visitor: SignedIn,
    command_id: Text = "",
    first_name: Text = "",
    last_name: Text = "",
) -> Response:
    """Give him another name."""
    asked = users_pb2.RenameUserRequest(
        command_id=command_id, user_id=visitor.user_id, first_name=first_name, last_name=last_name
    )
    refusal = await why_refused(visitor.services.users.RenameUser(asked))
    if refusal is None:
        return see("/profile", "saved")
    user = await me(visitor)
    user.first_name, user.last_name = first_name, last_name
    return _profile(request, user, refusal)


@router.post("/profile/language")
async def change_profile(
    request: Request,
    visitor: SignedIn,
    command_id: Text = "",
    language: Text = "",
    time_zone: Text = "",
) -> Response:
    """Let mails and pages be in another language, and days be reckoned in another zone."""
    asked = users_pb2.ChangeProfileRequest(
        command_id=command_id, user_id=visitor.user_id, language=language, time_zone=time_zone
    )
    refusal = await why_refused(visitor.services.users.ChangeProfile(asked))
    if refusal is None:
        request.session["language"] = language
        return see("/profile", "saved")
    user = await me(visitor)
    user.language, user.time_zone = language, time_zone
    return _profile(request, user, refusal)


@router.get("/profile/mails")
async def mails(request: Request, visitor: SignedIn) -> Response:
    """Show which mails can be declined, and which are."""
    return page(request, "profile/mails", choices=await _choices(visitor))


@router.post("/profile/mails")
async def choose_mails(
    visitor: SignedIn,
    command_id: Text = "",
    wanted: Annotated[list[str] | None, Form()] = None,
) -> Response:
    """Decline what is not ticked, of what was offered."""
    offered = (await _choices(visitor)).offered
    asked = mails_pb2.SetMailChoicesRequest(
        command_id=command_id,
        user_id=visitor.user_id,
        declined=[each for each in offered if each not in (wanted or ())],
    )
    await visitor.services.mails.SetMailChoices(asked)
    return see("/profile/mails", "saved")


async def _choices(visitor: SignedIn) -> mails_pb2.MailChoices:
    asked = mails_pb2.GetMailChoicesRequest(user_id=visitor.user_id)
    return (await visitor.services.mails.GetMailChoices(asked)).choices


def _profile(request: Request, user: users_pb2.User, refusal: Refusal | None = None) -> Response:
    return page(
        request,
        "profile/about_me",
        refusal=refusal,
        user=user,
        spoken=LANGUAGES,
        time_zones=sorted(available_timezones()),
    )
