"""Making what a fleet needs in a running system, through its public API.

Every command has an id of its own, so that a second run gets what the first has made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

import msgspec

from chargekey.access.v1 import chargers_pb2, installations_pb2
from chargekey.gateway.v1 import gateway_pb2
from chargekey.identity.v1 import identifications_pb2, users_pb2
from chargekey_common.errors import UnavailableError
from chargekey_common.positions import Position
from chargekey_stack.client import ADMINISTRATOR_WORD, Client
from chargekey_stack.simulator.population import Kind, Person, Population, ocpp_identity

SITE = "Simulated site"
ELSEWHERE = "Simulated site elsewhere"
TIME_ZONE = "Europe/Oslo"
# Calls at a time: more only wait for the same lock.
AT_A_TIME = 8
PIN = identifications_pb2.IDENTIFICATION_TYPE_PIN
RFID = identifications_pb2.IDENTIFICATION_TYPE_RFID

Thing = TypeVar("Thing")
Made = TypeVar("Made")


class Site(msgspec.Struct, frozen=True):
    """What is there; chargers by their numbers, user ids by people."""

    installation_id: str
    passwords: Mapping[int, str]
    users: Mapping[Person, str]

    def __repr__(self) -> str:
        """Show no passwords."""
        return f"Site({self.installation_id!r})"


async def provision(client: Client, chargers: int) -> Site:
    """Make a site with so many chargers and its people; return when the gateway knows them."""
    return await _Provisioning(client).run(chargers)


class _Provisioning:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._caller = client.user_id or ADMINISTRATOR_WORD
        self._newest: dict[str, Position] = {}
        self._room = asyncio.Semaphore(AT_A_TIME)

    async def run(self, chargers: int) -> Site:
        site, elsewhere = await self._installation(SITE), await self._installation(ELSEWHERE)

        async def person(each: Person) -> str:
            return await self._person(each, elsewhere if each.kind is Kind.STRANGER else site)

        async def charger(number: int) -> str:
            return await self._charger(number, site)

        passwords = await self._each(range(chargers), charger)
        users = await self._each(Population.of(chargers), person)
        await self._client.gateway.Authorize(
            gateway_pb2.AuthorizeRequest(
                ocpp_identity=ocpp_identity(0),
                code=Person(Kind.RESIDENT, 0).card,
                at_least=[str(each) for each in self._newest.values()],
            )
        )
        return Site(site, passwords, users)

    async def _each(
        self, things: Iterable[Thing], make: Callable[[Thing], Awaitable[Made]]
    ) -> dict[Thing, Made]:
        made: dict[Thing, Made] = {}

        async def one(thing: Thing) -> None:
            async with self._room:
                made[thing] = await make(thing)

        try:
            async with asyncio.TaskGroup() as group:
                for thing in things:
                    group.create_task(one(thing))
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        return made

    def _id(self, what: str) -> str:
        return f"simulate.{self._caller}.{what}"

    def _note(self, *positions: str) -> None:
        for position in map(Position.parse, filter(None, positions)):
            newest = self._newest.get(position.service)
            if newest is None or not newest.includes(position):
                self._newest[position.service] = position

    async def _installation(self, name: str) -> str:
        made = await self._client.installations.CreateInstallation(
            installations_pb2.CreateInstallationRequest(
                command_id=self._id(name.replace(" ", "-").lower()), name=name, time_zone=TIME_ZONE
            )
        )
        self._note(made.position)
        return made.installation_id

    async def _charger(self, number: int, site: str) -> str:
        identity = ocpp_identity(number)
        added = await self._client.chargers.AddCharger(
            chargers_pb2.AddChargerRequest(
                command_id=self._id(identity), installation_id=site, ocpp_identity=identity
            )
        )
        self._note(added.position)
        return added.password

    async def _person(self, person: Person, site: str) -> str:
        request = users_pb2.AddLocalUserRequest(
            command_id=self._id(person.name),
            installation_id=site,
            first_name=person.kind.name.capitalize(),
            last_name=f"{person.number:04}",
            blocked=person.kind is Kind.BLOCKED,
        )
        added = await self._client.add_local_user(request)
        if added.pending:  # nothing of the scenario would be as it says
            raise UnavailableError
        self._note(added.position, added.access_position)
        for kind, word, code in ((RFID, "card", person.card), (PIN, "pin", person.pin)):
            if code is not None:
                given = await self._client.identifications.AddIdentification(
                    identifications_pb2.AddIdentificationRequest(
                        command_id=self._id(f"{person.name}.{word}"),
                        user_id=added.user_id,
                        type=kind,
                        code=code,
                    )
                )
                self._note(given.position)
        if person.kind is Kind.SUSPECT:  # the last run has blocked him
            unblocked = await self._client.users.UnblockUser(
                users_pb2.UnblockUserRequest(user_id=added.user_id)
            )
            self._note(unblocked.position)
        return added.user_id
