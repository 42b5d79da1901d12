"""The users on the wire: requests to commands, states to answers, and nothing between."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, cast

from grpc import aio

from chargekey.identity.v1 import users_pb2 as pb
from chargekey.identity.v1 import users_pb2_grpc
from chargekey_common.accounts import Caller
from chargekey_common.grpc.server import SYSTEM, Objects, Service, command_context, current_caller
from chargekey_common.pages import Page, page_of_portions
from chargekey_common.search import containing
from chargekey_identity.api.access import Access
from chargekey_identity.api.objects import (
    about_invitation,
    anywhere_object,
    installation_object,
    user_object,
)
from chargekey_identity.application.addresses import Addresses
from chargekey_identity.application.users import Users
from chargekey_identity.domain import disclosure, email
from chargekey_identity.domain.disclosure import Known
from chargekey_identity.domain.errors import TooManyUsersError
from chargekey_identity.domain.invitation import Invitation
from chargekey_identity.domain.user import Kind, User, may_act_as_administrator
from chargekey_identity.projections.directory import Directory

NAME = "chargekey.identity.v1.UserService"

# How long adding a user waits for his permission, in seconds, and what it leaves
# of the caller's own deadline for the answer to travel.
LONGEST_WAIT = 2.0
MARGIN = 0.25
MOST_NAMES = 1000

Context = aio.ServicerContext[Any, Any]

_KINDS: dict[Kind | None, Any] = {
    None: pb.USER_KIND_UNSPECIFIED,
    "LOCAL": pb.USER_KIND_LOCAL,
    "ACCOUNT": pb.USER_KIND_ACCOUNT,
    "PENDING": pb.USER_KIND_PENDING,
}


class UserServicer(users_pb2_grpc.UserServiceServicer):
    """The methods of users.proto."""

    def __init__(
        self,
        users: Users,
        addresses: Addresses,
        directory: Directory,
        access: Access,
        administrators: AbstractSet[str],
    ) -> None:
        self._users = users
        self._addresses = addresses
        self._directory = directory
        self._access = access
        self._administrators = administrators

    async def AddLocalUser(
        self, request: pb.AddLocalUserRequest, context: Context
    ) -> pb.AddLocalUserResponse:
        await self._access.time_zone(request.installation_id)  # it must exist
        answer = await asyncio.to_thread(
            self._users.add_local_user,
            command_context(request),
            installation_id=request.installation_id,
            first_name=request.first_name,
            last_name=request.last_name,
            blocked=request.blocked,
        )
        permission = await self._access.permission_position(
            answer.position, within=time_to_wait(context)
        )
        return pb.AddLocalUserResponse(
            user_id=answer.result,
            position=str(answer.position),
            access_position=permission,
            pending=not permission,
        )

    async def ResolveEmail(
        self, request: pb.ResolveEmailRequest, _: Context
    ) -> pb.ResolveEmailResponse:
        answer = await asyncio.to_thread(
            self._addresses.resolve_email,
            command_context(request),
            email.canonical(request.email),
        )
        return pb.ResolveEmailResponse(user_id=answer.result, position=str(answer.position))

    async def RenameUser(self, request: pb.RenameUserRequest, _: Context) -> pb.RenameUserResponse:
        answer = await asyncio.to_thread(
            self._users.rename_user,
            command_context(request),
            user_id=request.user_id,
            first_name=request.first_name,
            last_name=request.last_name,
        )
        return pb.RenameUserResponse(position=str(answer.position))

    async def ChangeProfile(
        self, request: pb.ChangeProfileRequest, _: Context
    ) -> pb.ChangeProfileResponse:
        answer = await asyncio.to_thread(
            self._users.change_profile,
            command_context(request),
            user_id=request.user_id,
            time_zone=request.time_zone if request.HasField("time_zone") else None,
            language=request.language if request.HasField("language") else None,
        )
        return pb.ChangeProfileResponse(position=str(answer.position))

    async def BlockUser(self, request: pb.BlockUserRequest, _: Context) -> pb.BlockUserResponse:
        # Asked first, so that a block is not answered by an error once it is stored.
        user = await asyncio.to_thread(self._directory.user, request.user_id)
        open_chargers = 0
        if user.kind == "LOCAL":
            open_chargers = await self._access.open_chargers(user.installation_id)
        answer = await asyncio.to_thread(
            self._users.block_user,
            command_context(request),
            user_id=request.user_id,
            everywhere=request.everywhere,
        )
        return pb.BlockUserResponse(position=str(answer.position), open_chargers=open_chargers)

    async def UnblockUser(
        self, request: pb.UnblockUserRequest, _: Context
    ) -> pb.UnblockUserResponse:
        answer = await asyncio.to_thread(
            self._users.unblock_user,
            command_context(request),
            user_id=request.user_id,
            everywhere=request.everywhere,
        )
        return pb.UnblockUserResponse(position=str(answer.position))

    async def GetUser(self, request: pb.GetUserRequest, _: Context) -> pb.GetUserResponse:
        user = await asyncio.to_thread(self._directory.user, request.user_id)
        caller = current_caller()
        if user.kind == "LOCAL" or _sees_all(caller, request.user_id):
            told = _user(request.user_id, user)
            told.administrator = may_act_as_administrator(user, self._administrators)
            return pb.GetUserResponse(user=told)
        invitations = await self._invitations_by(caller, request.user_id)
        known = disclosure.to_inviter(user, invitations)
        return pb.GetUserResponse(user=_known(request.user_id, known))

    async def ListUsers(self, request: pb.ListUsersRequest, _: Context) -> pb.ListUsersResponse:
        await self._access.time_zone(request.installation_id)  # it must exist
        told = await asyncio.to_thread(self._list, request)
        return pb.ListUsersResponse(users=told.entries, next_page_token=told.next_token)

    async def ListNames(self, request: pb.ListNamesRequest, _: Context) -> pb.ListNamesResponse:
        if len(request.user_ids) > MOST_NAMES:
            raise TooManyUsersError
        if request.partner_id:
            await self._access.require_partner(request.partner_id)
        elif request.installation_id:
            await self._access.time_zone(request.installation_id)  # it must exist
        found = await asyncio.to_thread(self._directory.ever, request.user_ids)
        knowing, where = (
            (known_in, request.partner_id)
            if request.partner_id
            else (known_at, request.installation_id)
        )
        known = await asyncio.to_thread(knowing, self._directory, where, found, current_caller())
        return pb.ListNamesResponse(
            users=[_named(key, each) for key, each in known.items() if each.name or each.erased]
        )

    async def SearchPeople(
        self, request: pb.SearchPeopleRequest, _: Context
    ) -> pb.SearchPeopleResponse:
        if request.installation_id:
            await self._access.time_zone(request.installation_id)  # it must exist
        found = await asyncio.to_thread(people_found, self._directory, request, current_caller())
        return pb.SearchPeopleResponse(users=found.entries, next_page_token=found.next_token)

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        of_user = user_object(self._directory)
        return {
            "AddLocalUser": installation_object,
            "ResolveEmail": lambda _: SYSTEM,
            "RenameUser": of_user,
            "ChangeProfile": of_user,
            "BlockUser": of_user,
            "UnblockUser": of_user,
            "GetUser": of_user,
            "ListUsers": installation_object,
            "ListNames": _names_object,
            "SearchPeople": anywhere_object,
        }

    def _list(self, request: pb.ListUsersRequest) -> Page[pb.User]:
        searched = containing(request.search)

        def users(keys: Sequence[str]) -> Mapping[str, pb.User]:
            return {
                key: _user(key, state)
                for key, state in self._directory.existing(keys).items()
                if searched(f"{state.first_name} {state.last_name}")
            }

        return page_of_portions(request, self._directory.users(request.installation_id), users)

    async def _invitations_by(self, caller: Caller, user_id: str) -> Sequence[Invitation]:
        """Return a user's invitations to where the caller could have invited him."""
        found = await asyncio.to_thread(self._directory.invitations.of, user_id)
        places = {about_invitation(each) for each in found.values()}
        his = {
            place
            for place in places
            if await self._access.may(caller, "identity.ListInvitations", place)
        }
        return [each for each in found.values() if about_invitation(each) in his]


def service(
    users: Users,
    addresses: Addresses,
    directory: Directory,
    access: Access,
    administrators: AbstractSet[str],
) -> Service:
    """Return the service, to be served; it tells whose address is one of `administrators`."""
    servicer = UserServicer(users, addresses, directory, access, administrators)
    return Service(
        NAME, users_pb2_grpc.add_UserServiceServicer_to_server, servicer, servicer.objects()
    )


def known_at(
    directory: Directory, installation_id: str, users: Mapping[str, User], caller: Caller
) -> Mapping[str, Known]:
    """Return what a caller who manages a site may know of these users, by their ids; blocking."""
    with directory.caught_up():
        return {
            key: disclosure.everything(person)
            if _sees_all(caller, key)
            else disclosure.at_site(
                person,
                installation_id,
                [
                    each
                    for each in directory.invitations.of(key).values()
                    if each.given.installation_id == installation_id
                ],
            )
            for key, person in users.items()
        }


def known_in(
    directory: Directory, partner_id: str, users: Mapping[str, User], caller: Caller
) -> Mapping[str, Known]:
    """Return what a member of a partner may know of these users, by their ids; blocking.

    That is of who was invited into it: whose id somebody knew alone stays unknown.
    """
    with directory.caught_up():
        return {
            key: disclosure.everything(person)
            if _sees_all(caller, key)
            else disclosure.to_inviter(
                person,
                [
                    each
                    for each in directory.invitations.of(key).values()
                    if each.given.partner_id == partner_id
                ],
            )
            for key, person in users.items()
        }


def people_found(
    directory: Directory, request: pb.SearchPeopleRequest, caller: Caller
) -> Page[pb.NamedUser]:
    """Return a page of whom a caller searches, no more told than by ListNames; blocking.

    Between portions of them the directory answers others.
    """
    searched = containing(request.search)

    def found(keys: Sequence[str]) -> Mapping[str, pb.NamedUser]:
        known = known_at(directory, request.installation_id, directory.ever(keys), caller)
        return {
            key: _named(key, each, email=each.email)
            for key, each in known.items()
            if each.name and searched(f"{each.name}\n{each.email}")
        }

    people = (
        directory.people(request.installation_id)
        if request.installation_id
        else directory.everybody()
    )
    return page_of_portions(request, people, found)


def _names_object(request: pb.ListNamesRequest) -> str:
    return f"partner:{request.partner_id}" if request.partner_id else anywhere_object(request)


def _sees_all(caller: Caller, user_id: str) -> bool:
    kind, _, name = caller.partition(":")
    return kind in ("administrator", "service") or (kind, name) == ("user", user_id)


def time_to_wait(context: Context) -> float:
    """Return how long an answer may wait for a reaction, in seconds."""
    remaining = cast("float | None", context.time_remaining())  # None without a deadline
    return LONGEST_WAIT if remaining is None else max(0.0, min(LONGEST_WAIT, remaining - MARGIN))


def _user(key: str, state: User) -> pb.User:
    return pb.User(
        id=key,
        installation_id=state.installation_id,
        first_name=state.first_name,
        last_name=state.last_name,
        blocked=state.blocked,
        blocked_everywhere=state.blocked_everywhere,
        kind=_KINDS[state.kind],
        email=state.email,
        # A local user's days are his installation's, and nobody writes to him.
        time_zone="" if state.kind == "LOCAL" else state.time_zone,
        language="" if state.kind == "LOCAL" else state.language,
    )


def _named(key: str, known: Known, *, email: str = "") -> pb.NamedUser:
    return pb.NamedUser(
        id=key,
        name=known.name,
        email=email,
        kind=_KINDS[known.kind],
        waiting=known.waiting,
        blocked=known.blocked,
        erased=known.erased,
        blocked_everywhere=known.blocked_everywhere,
    )


def _known(key: str, known: Known) -> pb.User:
    return pb.User(
        id=key,
        kind=_KINDS[known.kind],
        first_name=known.first_name,
        last_name=known.last_name,
        email=known.email,
    )
