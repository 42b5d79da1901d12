"""From a mail that waits to an address and a letter, with what the services say just now.

Names, addresses and the tokens of links are asked for at the moment of sending and kept
nowhere.
"""

from __future__ import annotations

from typing import assert_never

import grpc
import msgspec
from grpc import aio

from chargekey.access.v1 import (
    installations_pb2,
    installations_pb2_grpc,
    partners_pb2,
    partners_pb2_grpc,
)
from chargekey.identity.v1 import (
    invitations_pb2,
    invitations_pb2_grpc,
    sign_in_pb2,
    sign_in_pb2_grpc,
    users_pb2,
    users_pb2_grpc,
)
from chargekey_common.grpc.client import remote_error
from chargekey_notifier.mails.letters import Letter, letter, local_time
from chargekey_notifier.mails.outbox import Mail

_UTC = "UTC"
# What it was about is not there any more, or not in a state to be told of.
_GONE = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION})


class DroppedError(Exception):
    """There is nothing true left to send; the message says why, in one word."""


class Written(msgspec.Struct, frozen=True):
    """A letter, and whom it goes to."""

    to: str
    letter: Letter


class Writer:
    """Writes for one platform: its administrator's address, and where its portal is.

    Links carry their token behind a `#`, which no browser sends to a server.
    """

    def __init__(
        self, *, identity: aio.Channel, access: aio.Channel, administrator: str, portal_url: str
    ) -> None:
        self._users = users_pb2_grpc.UserServiceStub(identity)
        self._invitations = invitations_pb2_grpc.InvitationServiceStub(identity)
        self._sign_in = sign_in_pb2_grpc.SignInServiceStub(identity)
        self._installations = installations_pb2_grpc.InstallationServiceStub(access)
        self._partners = partners_pb2_grpc.PartnerServiceStub(access)
        self._administrator = administrator
        self._portal_url = portal_url

    async def write(self, mail: Mail) -> Written:
        """Write the mail; raises DroppedError, or AioRpcError where it may work later."""
        try:
            match mail.kind:
                case "user_blocked":
                    return await self._user_blocked(mail)
                case "invitation":
                    return await self._invitation(mail)
                case "sign_in_link":
                    return await self._sign_in_link(mail)
                case _:
                    assert_never(mail.kind)
        except aio.AioRpcError as error:
            if error.code() in _GONE:
                raise DroppedError(remote_error(error).code) from None
            raise

    async def _user_blocked(self, mail: Mail) -> Written:
        request = users_pb2.GetUserRequest(user_id=mail.user_id)
        user = (await self._users.GetUser(request)).user
        site, time_zone = "all sites", _UTC
        if mail.installation_id is not None:
            site, time_zone = await self._site(mail.installation_id)
        words = {
            "name": f"{user.first_name} {user.last_name}".strip() or user.email,
            "site": site,
            "time": local_time(mail.at, time_zone),
        }
        still = user.blocked_everywhere if mail.installation_id is None else user.blocked
        name = "user_blocked" if still else "user_blocked_lifted_since"
        return Written(self._administrator, letter(name, words))

    async def _invitation(self, mail: Mail) -> Written:
        request = invitations_pb2.IssueInvitationLinkRequest(invitation_id=mail.invitation_id or "")
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
            "until": local_time(link.expires_at, time_zone),
        }
        return Written(link.email, letter(name, words, link.language))

    async def _sign_in_link(self, mail: Mail) -> Written:
        request = sign_in_pb2.IssueSignInLinkRequest(event_id=mail.event_id, user_id=mail.user_id)
        link = await self._sign_in.IssueSignInLink(request)
        words = {
            "link": f"{self._portal_url}/sign-in#{link.token}",
            "until": local_time(link.expires_at, _UTC),
        }
        return Written(link.email, letter("sign_in_link", words, link.language))

    async def _site(self, installation_id: str) -> tuple[str, str]:
        """Return the site's name and time zone."""
        request = installations_pb2.GetInstallationRequest(installation_id=installation_id)
        site = (await self._installations.GetInstallation(request)).installation
        return site.name, site.time_zone

    async def _partner(self, partner_id: str) -> str:
        request = partners_pb2.GetPartnerRequest(partner_id=partner_id)
        return (await self._partners.GetPartner(request)).partner.name
