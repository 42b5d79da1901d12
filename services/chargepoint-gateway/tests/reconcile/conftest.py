"""A site that a test tells what it wants to be so, and chargers that keep lists by the standard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from typing import Any

import pytest_asyncio
from nats.aio.client import Client

from chargekey_common.keyed_ids import KeyedIds, classify
from chargekey_common.published import access, identity
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.published.sessions import Inputs, SessionEnded, SessionStarted
from chargekey_gateway.commands import (
    ChangeSetting,
    ClearCache,
    Command,
    GetLocalListVersion,
    ListEntry,
    Outcome,
    ReadSettings,
    RemoteStop,
    Result,
    SendLocalList,
)
from chargekey_gateway.decision import Decision, decide
from chargekey_gateway.inputs import gather
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.reconcile.codes import CodesUnavailableError
from chargekey_gateway.reconcile.confirmed import Confirmed
from chargekey_gateway.reconcile.convergence import Convergence, State
from chargekey_gateway.reconcile.lists import Lists
from chargekey_gateway.reconcile.reconciler import Reconciler
from chargekey_gateway.reconcile.seen import Seen
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.view.entries import Charger
from chargekey_gateway.view.view import View

SECRET = b"a secret of 24 bytes, so"
KEYED_IDS = KeyedIds(SECRET)
SOON = 0.001  # seconds
LONG = 10.0

ADA, BOB = "04A1B2C3", "04D4E5F6"


class StandardCharger:
    """A charger with a list, a cache and settings, which does what the standard says.

    `answers` are forced: the next command of that kind is not carried out and answered so.
    """

    def __init__(self, charger: Charger, version: str = "1.6") -> None:
        self.charger = charger
        self.version = version
        self.entries: dict[str, ListEntry] = {}
        self.list_version = 0
        self.capacity: int | None = None
        self.tells_capacity = True
        self.says_full = Outcome.REJECTED
        self.portion: int | None = None
        self.cache: set[str] = set()
        self.settings: dict[str, str] = {}
        self.needs_reboot: set[str] = set()
        self.refuses: set[str] = set()
        self.answers: dict[type[Command], list[Outcome | Result]] = {}
        self.sent: list[Command] = []
        self.silent = False
        self.took_something = asyncio.Event()

    def lists(self) -> list[SendLocalList]:
        return [each for each in self.sent if isinstance(each, SendLocalList)]

    def of(self, kind: type[Command]) -> list[Command]:
        return [each for each in self.sent if isinstance(each, kind)]

    def statuses(self) -> dict[str, str]:
        return {code: entry.status for code, entry in self.entries.items()}

    async def carry_out(self, command: Command) -> Result:  # noqa: PLR0911 - one a command
        self.sent.append(command)
        self.took_something.set()
        await asyncio.sleep(0)
        if self.silent:
            await asyncio.Event().wait()
        forced = self.answers.get(type(command))
        if forced:
            answer = forced.pop(0)
            return answer if isinstance(answer, Result) else Result(outcome=answer)
        match command:
            case RemoteStop():
                return Result(outcome=Outcome.ACCEPTED)
            case ClearCache():
                self.cache.clear()
                return Result(outcome=Outcome.ACCEPTED)
            case GetLocalListVersion():
                return Result(outcome=Outcome.ACCEPTED, version=self.list_version)
            case ReadSettings():
                told = {
                    name: self.settings[name] for name in command.names if name in self.settings
                }
                return Result(outcome=Outcome.ACCEPTED, settings=told | self._limits())
            case ChangeSetting():
                return self._set(command)
            case SendLocalList():
                return self._list(command)
        raise AssertionError(command)

    def _limits(self) -> dict[str, str]:
        told = self.capacity if self.tells_capacity else None
        limits = {"LocalAuthListMaxLength": told, "SendLocalListMaxLength": self.portion}
        return {name: str(value) for name, value in limits.items() if value is not None}

    def _set(self, command: ChangeSetting) -> Result:
        assert command.name in self.settings, "what it does not have is not set"
        if command.name in self.refuses:
            return Result(outcome=Outcome.REJECTED)
        self.settings[command.name] = command.value
        later = command.name in self.needs_reboot
        return Result(outcome=Outcome.REBOOT_REQUIRED if later else Outcome.ACCEPTED)

    def _list(self, command: SendLocalList) -> Result:
        assert command.version > 0, "0 and -1 mean something else"
        changed = [*command.entries, *command.removed]
        codes = [entry.code for entry in changed]
        assert len(set(codes)) == len(codes), "an identifier twice in one message"
        if self.portion is not None:
            assert len(changed) <= self.portion, "more than it takes at once"
        if not command.full and command.version <= self.list_version:
            return Result(outcome=Outcome.VERSION_MISMATCH)
        entries = {} if command.full else dict(self.entries)
        assert not (command.full and command.removed)
        for entry in command.removed:
            entries.pop(entry.code, None)
        entries |= {entry.code: entry for entry in command.entries}
        if self.capacity is not None and len(entries) > self.capacity:
            return Result(outcome=self.says_full)
        self.entries, self.list_version = entries, command.version
        return Result(outcome=Outcome.ACCEPTED)


class SomeCodes:
    """Identity, as far as it is asked for codes."""

    def __init__(self, codes: Mapping[str, str]) -> None:
        self._codes = codes
        self.away = False
        self.asked: list[tuple[str, frozenset[str]]] = []

    async def read(self, charger_id: str, identification_ids: Iterable[str]) -> Mapping[str, str]:
        wanted = frozenset(identification_ids)
        self.asked.append((charger_id, wanted))
        await asyncio.sleep(0)
        if self.away:
            raise CodesUnavailableError
        return {each: self._codes[each] for each in wanted if each in self._codes}


class Replica:
    """What one gateway keeps in memory of the chargers' confirmations, and its reconciler."""

    def __init__(
        self,
        site: Site,
        client: Client | None = None,
        *,
        quiet: float = SOON,
        greeting: float = 0,
        delays: tuple[float, ...] = (SOON,) * 3,
        losses: tuple[float, ...] = (SOON,),
    ) -> None:
        self.site = site
        self.confirmed = Confirmed(client or Client())
        lists = Lists(site.view, site.seen, KEYED_IDS.group_token)
        self.convergence = Convergence(
            site.view, site.running, self.confirmed, lists, clock=site.now
        )
        self.told: list[PublishedEvent] = []
        self.reconciler = Reconciler(
            site.view,
            site.running,
            self.confirmed,
            lists,
            site.seen,
            self.convergence,
            codes=site.codes,
            look_up=site.look_up,
            tell=self.told.append,
            clock=site.now,
            delays=delays,
            greeting=greeting,
            quiet=quiet,
            losses=losses,
        )

    def state(self, charger: str = "first", *, online: bool = False) -> State:
        return self.convergence.state(self.site.charger(charger), online=online)

    async def settled(self) -> None:
        async with asyncio.timeout(LONG):
            await self.reconciler.idle()


class Site:
    """Installation "site" with chargers, in a view; every event a nanosecond after the last.

    Its people are LOCAL users, but for `guests`, who have accounts.
    """

    def __init__(self, *chargers: str, guests: Collection[str] = ()) -> None:
        self.guests = guests
        self.view = View(self.now)
        self.running = RunningSessions()
        self.seen = Seen(self.view, self.running)
        self.look_up = Lookup(self.view, KEYED_IDS)
        self.at = 1_000
        self.readable: dict[str, str] = {}
        self.codes = SomeCodes(self.readable)
        self.tell(
            access.InstallationCreated(
                installation_id="site", name="", time_zone="UTC", authorisation_required=True
            )
        )
        for charger_id in chargers or ("first",):
            self.add_charger(charger_id)

    def now(self) -> int:
        return self.at

    def tell(self, *events: PublishedEvent) -> None:
        for event in events:
            self.at += 1
            self.view.apply(event, self.at)

    def charger(self, charger_id: str = "first") -> Charger:
        charger = self.view.charger(charger_id)
        assert charger is not None
        return charger

    def add_charger(self, charger_id: str, installation_id: str = "site") -> None:
        self.tell(
            access.ChargerAdded(
                charger_id=charger_id,
                installation_id=installation_id,
                ocpp_identity=charger_id,
                authorisation_override="INHERIT",
                identification_types=("RFID", "PIN", "APP"),
            )
        )

    def add(self, code: str, user: str, key: str | None = None, **details: object) -> str:
        """Give the user something to present, and return its id."""
        key = key or f"{user}-{code.strip('#')}"
        known = self.view.user(user)
        if user not in self.guests and (known is None or known.local_to is None):
            self.tell(identity.LocalUserAdded(user_id=user, installation_id="site"))
        installation_id = "site" if code.startswith("#") else None
        code_class, canonical = classify(code)
        alias = KEYED_IDS.alias_of(code_class, canonical)
        self.readable[key] = canonical
        self.tell(
            identity.IdentificationKey(
                identification_id=key,
                keyed_id=KEYED_IDS.of(code_class, canonical, "site").hex(),
                alias="" if alias is None else alias.hex(),
            ),
            identity.IdentificationAdded(
                **{  # type: ignore[arg-type] # names of fields
                    "identification_id": key,
                    "user_id": user,
                    "type": "PIN" if code.startswith("#") else "RFID",
                    "status": "ACTIVE",
                    "installation_id": installation_id,
                    **details,
                }
            ),
        )
        return key

    def remove(self, user: str, key: str) -> None:
        self.readable.pop(key, None)
        self.tell(identity.IdentificationRemoved(identification_id=key, user_id=user))

    def grant(
        self, user: str, *, charger: str | None = None, valid_until: int | None = None
    ) -> None:
        self.tell(
            access.PermissionGranted(
                installation_id="site",
                permission_id=f"{user}-{charger}",
                user_id=user,
                roles=("USER",),
                charger_id=charger,
                valid_until=valid_until,
            )
        )

    def revoke(self, user: str, *, charger: str | None = None) -> None:
        self.tell(
            access.PermissionRevoked(
                installation_id="site",
                permission_id=f"{user}-{charger}",
                user_id=user,
                charger_id=charger,
            )
        )

    def resident(self, user: str, code: str, **details: object) -> str:
        key = self.add(code, user, **details)
        self.grant(user)
        return key

    def block(self, user: str) -> None:
        self.tell(access.UserBlockedAtInstallation(installation_id="site", user_id=user))

    def unblock(self, user: str) -> None:
        self.tell(access.UserUnblockedAtInstallation(installation_id="site", user_id=user))

    def restricted(self, *, required: bool) -> None:
        self.tell(
            access.AuthorisationRequiredSet(installation_id="site", authorisation_required=required)
        )

    def types(self, *types: identity.IdentificationType, charger: str = "first") -> None:
        self.tell(
            access.IdentificationTypesSet(
                charger_id=charger, installation_id="site", identification_types=types
            )
        )

    def policies(self, **policies: object) -> None:
        self.tell(
            access.PoliciesSet(
                **{  # type: ignore[arg-type] # names of fields
                    "installation_id": "site",
                    "on_block": "STOP",
                    "on_revoke": "FINISH",
                    "on_operator_timeout": "DENY",
                    "pin_length": 4,
                    **policies,
                }
            )
        )

    def quirks(self, charger: str = "first", **quirks: object) -> None:
        self.tell(
            access.ReaderQuirksSet(
                charger_id=charger,
                installation_id="site",
                **quirks,  # type: ignore[arg-type] # names of fields
            )
        )

    def decision(self, code: str, charger: str = "first") -> Decision:
        """Decide what the charger would be told of who presents this there now."""
        here = self.charger(charger)
        presented = self.look_up(here, code)
        decision = decide(gather(here, presented, at=self.at, positions=()))
        assert isinstance(decision, Decision)
        return decision

    def start(self, transaction_id: int, user: str = "ada", **details: object) -> None:
        self.running.started(
            transaction_id,
            SessionStarted(
                charger_id="first",
                session_id=f"session-{transaction_id}",
                connector=1,
                started_at=0,
                meter_start=0,
                status="Accepted",
                **{  # type: ignore[arg-type] # names of fields
                    "installation_id": "site",
                    "reason": "installation_permission",
                    "inputs": Inputs(at=self.at),
                    "user_id": user,
                    "identification_id": f"{user}-card",
                    **details,
                },
            ),
        )

    def end(self, transaction_id: int) -> None:
        self.running.ended(
            transaction_id + 100,
            SessionEnded(
                installation_id="site",
                charger_id="first",
                session_id=f"session-{transaction_id}",
                transaction_id=transaction_id,
                connector=1,
                ended_at=1,
                meter_stop=1,
                reason="Remote",
            ),
        )


@pytest_asyncio.fixture
async def new_replica() -> AsyncIterator[Callable[..., Replica]]:
    made = []

    def make(site: Site, client: Client | None = None, **options: Any) -> Replica:
        made.append(Replica(site, client, **options))
        return made[-1]

    yield make
    for each in made:
        await each.reconciler.close()
