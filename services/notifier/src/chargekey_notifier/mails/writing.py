"""From a mail that waits to an address and a letter, with what the services say just now.

Names, addresses and the tokens of links are asked for at the moment of sending and kept
nowhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import assert_never

import grpc
import msgspec
from grpc import aio

from chargekey.access.v1 import (
    access_requests_pb2,
    access_requests_pb2_grpc,
    chargers_pb2,
    chargers_pb2_grpc,
    installations_pb2,
    installations_pb2_grpc,
    owners_pb2,
    owners_pb2_grpc,
    partners_pb2,
    partners_pb2_grpc,
    permissions_pb2,
    permissions_pb2_grpc,
)
from chargekey.identity.v1 import (
    identifications_pb2,
    identifications_pb2_grpc,
    invitations_pb2,
    invitations_pb2_grpc,
    sign_in_pb2,
    sign_in_pb2_grpc,
    users_pb2,
    users_pb2_grpc,
)
from chargekey_common.grpc.client import remote_error
from chargekey_common.pages import every
from chargekey_notifier.mails.choices import Choices
from chargekey_notifier.mails.kinds import OPTIONAL, Mail, to_user, user_of
from chargekey_notifier.mails.letters import (
    Letter,
    last_day,
    letter,
    local_time,
    phrases,
)
from chargekey_notifier.mails.outbox import is_late
from chargekey_notifier.mails.phrases import listed
from chargekey_notifier.mails.unsubscribing import Unsubscribing

_UTC = "UTC"
_DAY = 24 * 3600 * 10**9
_PAGE = 1000
# What it was about is not there any more, or not in a state to be told of.
_GONE = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION})

Words = dict[str, str]


class DroppedError(Exception):
    """There is nothing true left to send; the message says why, in one word."""


class Written(msgspec.Struct, frozen=True):
    """A letter, and whom it goes to.

    `about` are the ids of those whose names or addresses are in it; `unsubscribe` is where
    no more of its kind are asked for.
    """

    to: str
    letter: Letter
    about: tuple[str, ...] = ()
    unsubscribe: str | None = None


class Writer:
    """Writes for one platform: its administrator's address, and where its portal is.

    Links carry their token behind a `#`, which no browser sends to a server.
    """

    def __init__(
        self,
        *,
        identity: aio.Channel,
        access: aio.Channel,
        choices: Choices,
        unsubscribing: Unsubscribing,
        administrator: str,
        administrator_language: str,
        portal_url: str,
    ) -> None:
        self._users = users_pb2_grpc.UserServiceStub(identity)
        self._identifications = identifications_pb2_grpc.IdentificationServiceStub(identity)
        self._invitations = invitations_pb2_grpc.InvitationServiceStub(identity)
        self._sign_in = sign_in_pb2_grpc.SignInServiceStub(identity)
        self._installations = installations_pb2_grpc.InstallationServiceStub(access)
        self._chargers = chargers_pb2_grpc.ChargerServiceStub(access)
        self._permissions = permissions_pb2_grpc.PermissionServiceStub(access)
        self._owners = owners_pb2_grpc.OwnersServiceStub(access)
        self._requests = access_requests_pb2_grpc.AccessRequestServiceStub(access)
        self._partners = partners_pb2_grpc.PartnerServiceStub(access)
        self._choices = choices
        self._unsubscribing = unsubscribing
        self._administrator = administrator
        self._administrator_language = administrator_language
        self._portal_url = portal_url

    async def recipients(self, mail: Mail) -> Sequence[str]:
        """Return who the group is that the mail is to, just now.

        Raises DroppedError, or AioRpcError where it may work later.
        """
        try:
            if mail.kind in ("access_request_approved", "access_request_denied"):
                people = await self._askers(mail)
            else:
                people = await self._owners_of(mail.installation_id or "")
        except aio.AioRpcError as error:
            raise _dropped(error) from None
        # A new owner hears of it by what he was given.
        return [to_user(each) for each in people if each != mail.user_id]

    async def write(self, mail: Mail) -> Written:
        """Write the mail; raises DroppedError, or AioRpcError where it may work later.

        Raises DatabaseUnavailableError, too.
        """
        if is_late(mail, now=time.time_ns()):
            reason = "late"
            raise DroppedError(reason)
        try:
            match mail.kind:
                case "user_blocked":
                    return await self._user_blocked(mail)
                case "invitation":
                    return await self._invitation(mail)
                case "sign_in_link":
                    return await self._sign_in_link(mail)
                case _:
                    return await self._to_user(mail)
        except aio.AioRpcError as error:
            raise _dropped(error) from None

    async def _to_user(self, mail: Mail) -> Written:
        user_id = user_of(mail.recipient) or ""
        user = await self._user(user_id)
        # Whoever has yet to verify his address hears by his invitation.
        if user.kind != users_pb2.USER_KIND_ACCOUNT:
            reason = "no_account"
            raise DroppedError(reason)
        choice = OPTIONAL.get(mail.kind)
        unsubscribe = None
        if choice is not None:
            if choice in await asyncio.to_thread(self._choices.declined, user_id):
                reason = "declined"
                raise DroppedError(reason)
            unsubscribe = self._unsubscribing.url(user_id, choice)
        words = {"link": self._portal_url} | await self._words(mail, user)
        about = (user_id, *([] if mail.user_id in (None, user_id) else [mail.user_id]))
        written = letter(mail.kind, words, user.language, unsubscribe=unsubscribe)
        return Written(user.email, written, about, unsubscribe)

    async def _words(self, mail: Mail, user: users_pb2.User) -> Words:  # noqa: C901, PLR0911 - one a kind of letter
        """Return what only a mail of its kind says; raises DroppedError where it is not so now."""
        match mail.kind:
            case "permission_given" | "permission_changed":
                return await self._permission(mail, user.language)
            case "permission_removed":
                await self._require_no_permission(mail.object_id or "")
                return {"place": await self._place(mail, user.language)}
            case "permission_ends":
                return await self._permission_ends(mail, user.language)
            case "identification_ends":
                return await self._identification_ends(mail, user)
            case "pins_locked_out":
                return await self._lockout(mail, user.language)
            case "access_requested":
                return await self._access_requested(mail, user.language)
            case "access_request_approved" | "access_request_denied":
                return await self._answer(mail, user)
            case "ownership_offered":
                return await self._ownership_offered(mail, user.id)
            case "ownership_received" | "ownership_handed_over" | "owner_added":
                return await self._new_owner(mail, user.language)
            case "blocked_at_site":
                return await self._blocked_at_site(mail, user)
            case "user_blocked" | "invitation" | "sign_in_link":
                reason = "recipient_unknown"
                raise DroppedError(reason)
            case _:
                assert_never(mail.kind)

    async def _user_blocked(self, mail: Mail) -> Written:
        user = await self._user(mail.user_id or "")
        language = self._administrator_language
        site, time_zone = phrases(language).everywhere, _UTC
        if mail.installation_id is not None:
            site, time_zone = await self._site(mail.installation_id)
        words = {
            "name": _name(user),
            "site": site,
            "time": local_time(mail.at, time_zone, language),
        }
        still = user.blocked_everywhere if mail.installation_id is None else user.blocked
        name = "user_blocked" if still else "user_blocked_lifted_since"
        return Written(self._administrator, letter(name, words, language), (user.id,))

    async def _invitation(self, mail: Mail) -> Written:
        request = invitations_pb2.IssueInvitationLinkRequest(invitation_id=mail.object_id or "")
        link = await self._invitations.IssueInvitationLink(request)
        name = "ownership_offer" if link.ownership else "invitation"
        if link.partner_id:
            name = "partner_invitation"
            site, time_zone = await self._partner(link.partner_id), _UTC
        else:
            site, time_zone = await self._site(link.installation_id)
        words = {
            "site": site,
            "link": f"{self._portal_url}/invitation#{link.token}",
            "until": local_time(link.expires_at, time_zone, link.language),
        }
        return Written(link.email, letter(name, words, link.language), (mail.user_id or "",))

    async def _sign_in_link(self, mail: Mail) -> Written:
        user_id = mail.user_id or ""
        request = sign_in_pb2.IssueSignInLinkRequest(event_id=mail.event_id, user_id=user_id)
        link = await self._sign_in.IssueSignInLink(request)
        words = {
            "link": f"{self._portal_url}/sign-in#{link.token}",
            "until": local_time(link.expires_at, _UTC, link.language),
        }
        return Written(link.email, letter("sign_in_link", words, link.language), (user_id,))

    async def _permission(self, mail: Mail, language: str) -> Words:
        held = await self._held(mail.object_id or "")
        words = phrases(language)
        ends = words.no_end
        if held.HasField("valid_until"):
            _, time_zone = await self._site(held.installation_id)
            ends = words.ends.format(last_day(held.valid_until, time_zone))
        return {
            "place": await self._place(mail, language),
            "roles": listed(words.roles, held.roles),
            "ends": ends,
            "link": f"{self._portal_url}/profile/permissions",
        }

    async def _permission_ends(self, mail: Mail, language: str) -> Words:
        held = await self._held(mail.object_id or "")
        _require_still(mail, held.valid_until if held.HasField("valid_until") else None)
        _, time_zone = await self._site(held.installation_id)
        return {
            "place": await self._place(mail, language),
            "day": last_day(held.valid_until, time_zone),
        }

    async def _identification_ends(self, mail: Mail, user: users_pb2.User) -> Words:
        held = await self._identification(user.id, mail.object_id or "")
        if held is None:
            reason = "identification_gone"
            raise DroppedError(reason)
        _require_still(mail, held.valid_until if held.HasField("valid_until") else None)
        time_zone = user.time_zone
        if held.installation_id:
            _, time_zone = await self._site(held.installation_id)
        words = phrases(user.language).identifications
        return {
            "identification": words[held.type],
            "day": last_day(held.valid_until, time_zone),
            "link": f"{self._portal_url}/profile/identifications",
        }

    async def _lockout(self, mail: Mail, language: str) -> Words:
        site, time_zone = await self._site(mail.installation_id or "")
        return {
            "site": site,
            "place": await self._place(mail, language),
            "until": local_time(mail.until or 0, time_zone, language),
            "link": self._page_of(mail),
        }

    async def _access_requested(self, mail: Mail, language: str) -> Words:
        asked = await self._request(mail.object_id or "")
        if asked.state != access_requests_pb2.ACCESS_REQUEST_STATE_WAITING:
            reason = "answered_since"
            raise DroppedError(reason)
        site, time_zone = await self._site(mail.installation_id or "")
        return {
            "name": asked.partner_name or _name(await self._user(asked.user_id)),
            "site": site,
            "roles": listed(phrases(language).roles, asked.roles),
            "until": local_time(asked.expires_at, time_zone, language),
            "installation": mail.installation_id or "",
            "link": f"{self._portal_url}/installations/{mail.installation_id}/access-requests",
        }

    async def _answer(self, mail: Mail, user: users_pb2.User) -> Words:
        asked = await self._request(mail.object_id or "")
        site, _ = await self._site(mail.installation_id or "")
        words = {"site": site, "name": asked.partner_name or _name(user)}
        if asked.partner_id:
            words["link"] = f"{self._portal_url}/partners/{asked.partner_id}/permissions"
        return words

    async def _ownership_offered(self, mail: Mail, user_id: str) -> Words:
        request = installations_pb2.GetInstallationRequest(
            installation_id=mail.installation_id or ""
        )
        site = (await self._installations.GetInstallation(request)).installation
        if site.ownership_offered_to != user_id:
            reason = "offered_no_longer"
            raise DroppedError(reason)
        return {
            "site": site.name,
            "installation": site.id,
            "link": f"{self._portal_url}/profile/ownership/{site.id}",
        }

    async def _new_owner(self, mail: Mail, language: str) -> Words:
        installation_id = mail.installation_id or ""
        if mail.user_id not in await self._owners_of(installation_id):
            reason = "owner_no_longer"
            raise DroppedError(reason)
        site, time_zone = await self._site(installation_id)
        return {
            "site": site,
            "name": _name(await self._user(mail.user_id or "")),
            "time": local_time(mail.at, time_zone, language),
            "link": self._page_of(mail),
        }

    async def _blocked_at_site(self, mail: Mail, user: users_pb2.User) -> Words:
        installation_id = mail.installation_id or ""
        if not await self._is_blocked(user.id, installation_id):
            reason = "unblocked_since"
            raise DroppedError(reason)
        site, time_zone = await self._site(installation_id)
        return {"site": site, "time": local_time(mail.at, time_zone, user.language)}

    async def _askers(self, mail: Mail) -> Sequence[str]:
        """Return who asked for access: a user, or everybody who manages the partner."""
        asked = await self._request(mail.object_id or "")
        if asked.user_id:
            # What a user was given he hears of by itself.
            return [] if mail.kind == "access_request_approved" else [asked.user_id]
        request = partners_pb2.ListPartnerMembersRequest(
            partner_id=asked.partner_id, page_size=_PAGE
        )
        members = await every(self._partners.ListPartnerMembers, request, "members")
        return [each.user_id for each in members if each.manages]

    async def _is_blocked(self, user_id: str, installation_id: str) -> bool:
        request = owners_pb2.ListBlockedUsersRequest(
            installation_id=installation_id, page_size=_PAGE
        )
        return user_id in await every(self._owners.ListBlockedUsers, request, "user_ids")

    async def _identification(
        self, user_id: str, identification_id: str
    ) -> identifications_pb2.Identification | None:
        request = identifications_pb2.ListIdentificationsRequest(user_id=user_id, page_size=_PAGE)
        method = self._identifications.ListIdentifications
        found = await every(method, request, "identifications")
        return next((each for each in found if each.id == identification_id), None)

    async def _require_no_permission(self, permission_id: str) -> None:
        try:
            await self._held(permission_id)
        except aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return
            raise
        reason = "given_since"
        raise DroppedError(reason)

    async def _held(self, permission_id: str) -> permissions_pb2.Permission:
        request = permissions_pb2.GetPermissionRequest(permission_id=permission_id)
        return (await self._permissions.GetPermission(request)).permission

    async def _owners_of(self, installation_id: str) -> Sequence[str]:
        request = owners_pb2.GetOwnersRequest(installation_id=installation_id)
        return (await self._owners.GetOwners(request)).user_ids

    async def _request(self, access_request_id: str) -> access_requests_pb2.AccessRequest:
        request = access_requests_pb2.FindAccessRequestRequest(access_request_id=access_request_id)
        return (await self._requests.FindAccessRequest(request)).access_request

    async def _user(self, user_id: str) -> users_pb2.User:
        return (await self._users.GetUser(users_pb2.GetUserRequest(user_id=user_id))).user

    def _page_of(self, mail: Mail) -> str:
        """Return where the portal shows the charger it is about, or else the site."""
        if mail.charger_id is not None:
            return f"{self._portal_url}/chargers/{mail.charger_id}"
        return f"{self._portal_url}/installations/{mail.installation_id}"

    async def _place(self, mail: Mail, language: str) -> str:
        """Return the site's name, or which charger of it is meant."""
        site, _ = await self._site(mail.installation_id or "")
        if mail.charger_id is None:
            return site
        request = chargers_pb2.GetChargerRequest(charger_id=mail.charger_id)
        charger = (await self._chargers.GetCharger(request)).charger
        return phrases(language).charger_at.format(charger.ocpp_identity, site)

    async def _site(self, installation_id: str) -> tuple[str, str]:
        """Return the site's name and time zone."""
        request = installations_pb2.GetInstallationRequest(installation_id=installation_id)
        site = (await self._installations.GetInstallation(request)).installation
        return site.name, site.time_zone

    async def _partner(self, partner_id: str) -> str:
        request = partners_pb2.GetPartnerRequest(partner_id=partner_id)
        return (await self._partners.GetPartner(request)).partner.name


def _dropped(error: aio.AioRpcError) -> Exception:
    """Return the reason to drop the mail, or the error itself where it may work later."""
    return DroppedError(remote_error(error).code) if error.code() in _GONE else error


def _require_still(mail: Mail, until: int | None) -> None:
    """Raise DroppedError unless it ends when the mail says, and the next reminder is not due."""
    now = time.time_ns()
    if until != mail.until:
        reason = "ends_otherwise"
    elif until is None or now >= until:
        reason = "ended"
    elif mail.due < until - _DAY <= now:
        reason = "reminded_again"
    else:
        return
    raise DroppedError(reason)


def _name(user: users_pb2.User) -> str:
    return f"{user.first_name} {user.last_name}".strip() or user.email
