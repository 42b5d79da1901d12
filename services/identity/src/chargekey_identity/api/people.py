"""An installation's people on the wire, as a table."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from grpc import aio

from chargekey.identity.v1 import people_pb2 as pb
from chargekey.identity.v1 import people_pb2_grpc
from chargekey_common import local_days
from chargekey_common.grpc.server import Objects, Service, command_context, current_caller
from chargekey_identity.api.access import ON_ACCESS_PROPOSED, Access, Holding
from chargekey_identity.api.objects import installation_object
from chargekey_identity.api.users import known_at, time_to_wait
from chargekey_identity.application.people import Imported, Line, People, Site
from chargekey_identity.domain import people
from chargekey_identity.domain.disclosure import Known
from chargekey_identity.domain.events import IdentificationType, Role
from chargekey_identity.domain.people import Person
from chargekey_identity.domain.user import User
from chargekey_identity.projections.directory import Directory

NAME = "chargekey.identity.v1.PeopleService"
# Only who may do this gives more than the right to charge (R5).
MAKE_OWNERS = "access.OfferOwnership"

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_USER: frozenset[Role] = frozenset({"USER"})
_EVERY_ROLE: frozenset[Role] = frozenset({"OWNER", "USER", "SERVICE"})

Context = aio.ServicerContext[Any, Any]


class PeopleServicer(people_pb2_grpc.PeopleServiceServicer):
    """The methods of people.proto."""

    def __init__(self, people: People, directory: Directory, access: Access) -> None:
        self._people = people
        self._directory = directory
        self._access = access

    async def ImportPeople(
        self, request: pb.ImportPeopleRequest, context: Context
    ) -> pb.ImportPeopleResponse:
        done = await asyncio.to_thread(
            self._people.import_table,
            command_context(request),
            request.csv,
            site=await self._site(request.installation_id),
            dry_run=request.dry_run,
        )
        granted = await self._granted(done, context)
        return pb.ImportPeopleResponse(
            lines=map(_line, done.lines),
            imported=done.position is not None,
            position="" if done.position is None else str(done.position),
            pending=done.position is not None and bool(done.lines) and not granted,
            access_position=granted,
        )

    async def ExportPeople(
        self, request: pb.ExportPeopleRequest, _: Context
    ) -> pb.ExportPeopleResponse:
        zone = local_days.time_zone(await self._access.time_zone(request.installation_id))
        held = await self._access.people(request.installation_id)
        found = await asyncio.to_thread(self._found, request.installation_id, held)
        shown: Mapping[str, str] = {}
        position = ""
        if request.with_codes:
            theirs = await asyncio.to_thread(self._presented, request.installation_id, found)
            answer = await asyncio.to_thread(
                self._people.reveal,
                command_context(request),
                installation_id=request.installation_id,
                identification_ids=theirs,
            )
            shown, position = answer.result, str(answer.position)
            codes = _by_user(theirs, shown)
        else:
            codes = {}
        known = await asyncio.to_thread(
            known_at, self._directory, request.installation_id, found, current_caller()
        )
        table = people.written(
            _person(key, known[key], held.get(key), codes.get(key, {}), zone, blocked=state.blocked)
            for key, state in found.items()
        )
        return pb.ExportPeopleResponse(csv=table, position=position)

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {"ImportPeople": installation_object, "ExportPeople": installation_object}

    async def _site(self, installation_id: str) -> Site:
        site = await self._access.site(installation_id)
        about = f"installation:{installation_id}"
        owns = await self._access.may(current_caller(), MAKE_OWNERS, about)
        return Site(
            installation_id, site.time_zone, site.pin_length, _EVERY_ROLE if owns else _USER
        )

    async def _granted(self, done: Imported, context: Context) -> str:
        if done.position is None or not done.lines:
            return ""
        return await self._access.permission_position(
            done.position, within=time_to_wait(context), reaction=ON_ACCESS_PROPOSED
        )

    def _found(self, installation_id: str, held: Mapping[str, Holding]) -> Mapping[str, User]:
        """Return the site's local users, and whoever else holds something on all of it."""
        return {
            **self._directory.existing(self._directory.users(installation_id)),
            **self._directory.existing(held),
        }

    def _presented(
        self, installation_id: str, found: Mapping[str, User]
    ) -> Mapping[str, tuple[str, IdentificationType]]:
        """Return the PINs and cards that are the site's to show, by id: whose, and which type."""
        return {
            key: (user_id, state.type)
            for user_id, holder in found.items()
            for key, state in self._directory.identifications(user_id)
            if state.type in ("PIN", "RFID")
            # What somebody with an account added himself is his alone.
            and (holder.kind == "LOCAL" or state.installation_id == installation_id)
        }


def service(people: People, directory: Directory, access: Access) -> Service:
    """Return the service, to be served."""
    servicer = PeopleServicer(people, directory, access)
    return Service(
        NAME, people_pb2_grpc.add_PeopleServiceServicer_to_server, servicer, servicer.objects()
    )


def _line(line: Line) -> pb.ImportedLine:
    return pb.ImportedLine(
        line=line.line,
        user_id=line.user_id,
        refusal_code=line.refusal_code,
        refusal_sentence=line.refusal_sentence,
    )


def _by_user(
    theirs: Mapping[str, tuple[str, IdentificationType]], shown: Mapping[str, str]
) -> dict[str, dict[IdentificationType, list[str]]]:
    found: dict[str, dict[IdentificationType, list[str]]] = {}
    for key, (user_id, kind) in theirs.items():
        if key in shown:
            found.setdefault(user_id, {}).setdefault(kind, []).append(shown[key])
    return found


def _person(
    user_id: str,
    known: Known,
    held: Holding | None,
    codes: Mapping[IdentificationType, list[str]],
    zone: ZoneInfo,
    *,
    blocked: bool,
) -> Person:
    return Person(
        user_id=user_id,
        first_name=known.first_name,
        last_name=known.last_name,
        email=known.email,
        roles="" if held is None else people.role_words(held.roles),
        valid_until="" if held is None else _last_day(held.valid_until, zone),
        pin=people.joined(codes.get("PIN", ())),
        rfid=people.joined(codes.get("RFID", ())),
        blocked="yes" if blocked else "",
    )


def _last_day(valid_until: int | None, zone: ZoneInfo) -> str:
    """Return the local day that an exclusive end ends (R18)."""
    if valid_until is None:
        return ""
    last = _EPOCH + dt.timedelta(microseconds=valid_until // 1000 - 1)
    return last.astimezone(zone).date().isoformat()
