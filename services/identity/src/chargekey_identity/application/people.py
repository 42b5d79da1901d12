"""An installation's people, many at once: all lines of a table or none."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from chargekey_common import local_days, names
from chargekey_common.errors import ChargekeyError, UnavailableError
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import (
    Answer,
    CommandIdReusedError,
    Context,
    EventStore,
    Work,
    command,
)
from chargekey_common.positions import Position
from chargekey_identity.application.addresses import Addresses
from chargekey_identity.application.identifications import Identifications, Revelation, Wanted
from chargekey_identity.domain import codes, email, identification, people, user
from chargekey_identity.domain.errors import (
    BlockedHasAddressError,
    CodeChangedSinceError,
    LocalUserCannotOwnError,
    OwnerWithoutEndError,
    RoleNotGrantableError,
    TwiceInFileError,
    UserUnknownError,
)
from chargekey_identity.domain.events import AccessProposed, IdentificationType, Role
from chargekey_identity.domain.people import Person


class Site(msgspec.Struct, frozen=True):
    """Where people are imported to, and which roles whoever does it may give there (R5)."""

    installation_id: str
    time_zone: str
    pin_length: int
    grantable: frozenset[Role]


class Line(msgspec.Struct, frozen=True):
    """What became of a line, or would: a user, or the refusal's code and sentence."""

    line: int
    user_id: str = ""
    refusal_code: str = ""
    refusal_sentence: str = ""


class Imported(msgspec.Struct, frozen=True):
    """What became of a table; without a position nothing was stored."""

    lines: Sequence[Line]
    position: Position | None = None


class Done(msgspec.Struct, frozen=True):
    """A receipt: whom an import added, by their lines."""

    installation_id: str
    user_ids: Sequence[tuple[int, str]]


class Revealed(msgspec.Struct, frozen=True):
    """A receipt: which codes an export was recorded for."""

    installation_id: str
    codes: Sequence[Revelation]


class _NotImportedError(Exception):
    """Nothing is to be stored."""

    def __init__(self, lines: Sequence[Line]) -> None:
        super().__init__()
        self.lines = lines


class People:
    """Importing, and what an export reveals."""

    def __init__(
        self, store: EventStore, addresses: Addresses, identifications: Identifications
    ) -> None:
        self.store = store
        self._addresses = addresses
        self._identifications = identifications

    def import_table(self, context: Context, data: bytes, *, site: Site, dry_run: bool) -> Imported:
        """Add everybody in the table, or nobody; raises what `people.read` raises."""
        table = people.read(data)
        try:
            answer = self.import_people(context, table=table, site=site, dry_run=dry_run)
        except _NotImportedError as refused:
            return Imported(refused.lines)
        self._identifications.made_known(
            *(code for person in table for code in people.several(person.rfid))
        )
        if answer.result.installation_id != site.installation_id:
            raise CommandIdReusedError
        lines = [Line(line, user_id) for line, user_id in answer.result.user_ids]
        return Imported(lines, answer.position)

    @command
    def import_people(
        self, work: Work, *, table: Sequence[Person], site: Site, dry_run: bool
    ) -> Done:
        """Add everybody in one save; the permissions that are proposed come last in it."""
        adding = _Adding(work, site, self._addresses, self._identifications)
        lines = [adding.add(person) for person in table]
        if dry_run or any(line.refusal_code for line in lines):
            # Those that nobody has yet would have other ids.
            raise _NotImportedError([msgspec.structs.replace(line, user_id="") for line in lines])
        adding.propose()
        return Done(site.installation_id, [(line.line, line.user_id) for line in lines])

    def reveal(
        self, context: Context, *, installation_id: str, identification_ids: Collection[str]
    ) -> Answer[dict[str, str]]:
        """Record for each that its code is shown, in one save, and answer them in plain (R17).

        As for one code, the command holds for these codes alone. Raises
        CommandIdReusedError or CodeChangedSinceError.
        """
        recorded = self.reveal_codes(
            context,
            installation_id=installation_id,
            identification_ids=sorted(identification_ids),
        )
        if recorded.result.installation_id != installation_id:
            raise CommandIdReusedError
        shown: dict[str, str] = {}
        for each in recorded.result.codes:
            state = self.store.load(identification.evolve, each.identification_id).state
            held = identification.readable(state)
            if held.code_number != each.code_number:
                raise CodeChangedSinceError
            shown[each.identification_id] = held.code.text
        return Answer(shown, recorded.position)

    @command
    def reveal_codes(
        self, work: Work, *, installation_id: str, identification_ids: Sequence[str]
    ) -> Revealed:
        """Record the reveals; the receipt says of what, never the codes."""
        revealed: list[Revelation] = []
        for key in identification_ids:
            loaded = work.load(identification.evolve, key)
            work.record(loaded, *identification.reveal(loaded.state))
            number = identification.readable(loaded.state).code_number
            revealed.append(Revelation(key, number))
        return Revealed(installation_id, revealed)


class _Adding:
    """One attempt at a table: what it adds is not in the store yet, and must not meet itself."""

    def __init__(
        self, work: Work, site: Site, addresses: Addresses, identifications: Identifications
    ) -> None:
        self._work = work
        self._site = site
        self._addresses = addresses
        self._identifications = identifications
        self._seen: set[tuple[str, str]] = set()
        self._proposed: dict[str, AccessProposed] = {}

    def add(self, person: Person) -> Line:
        """Record a line, or tell why it is refused."""
        try:
            return Line(person.line, self._add(person))
        except UnavailableError:
            raise  # nobody can tell just now
        except ChargekeyError as refusal:
            return Line(person.line, refusal_code=refusal.code, refusal_sentence=refusal.sentence)

    def propose(self) -> None:
        """Record what access is to grant."""
        for user_id, proposed in self._proposed.items():
            self._work.record(self._work.load(user.evolve, user_id), proposed)

    def _add(self, person: Person) -> str:
        roles = people.roles(person.roles)
        end = local_days.end_of(person.valid_until, self._site.time_zone, now=self._work.at)
        if not set(roles) <= self._site.grantable:
            raise RoleNotGrantableError
        if "OWNER" in roles and end is not None:
            raise OwnerWithoutEndError
        blocked = people.blocked(person.blocked)
        presented = list(self._presented(person))
        if person.email:
            if blocked:
                raise BlockedHasAddressError
            user_id, holder = self._by_address(person)
        else:
            if "OWNER" in roles:
                raise LocalUserCannotOwnError
            user_id, holder = self._local(person, blocked=blocked)
        for number, (identification_type, code) in enumerate(presented):
            wanted = Wanted(
                type=identification_type,
                code=code,
                installation_id=self._site.installation_id,
                pin_length=self._site.pin_length,
                earlier=[before for before, _ in presented[:number]],
            )
            if not self._identifications.has(self._work, user_id, holder, wanted):
                self._identifications.add(self._work, user_id, holder, wanted)
        self._proposed[user_id] = AccessProposed(
            installation_id=self._site.installation_id,
            roles=roles,
            valid_until=end,
            local=not person.email,
        )
        return user_id

    def _local(self, person: Person, *, blocked: bool) -> tuple[str, user.User]:
        if person.user_id:
            return self._known(person, blocked=blocked)
        loaded = self._work.load(user.evolve, new_id())
        [added] = user.add_local(
            installation_id=self._site.installation_id,
            first_name=names.name(person.first_name),
            last_name=names.name(person.last_name),
            blocked=blocked,
        )
        self._work.record(loaded, added)
        return loaded.id, user.evolve(None, added)

    def _known(self, person: Person, *, blocked: bool) -> tuple[str, user.User]:
        """Return a local user who was exported, called and blocked as the table says now."""
        self._once("user_id", person.user_id)
        loaded = self._work.load(user.evolve, person.user_id)
        state = user.existing(loaded.state)
        if state.kind != "LOCAL" or state.installation_id != self._site.installation_id:
            raise UserUnknownError
        first, last = names.name(person.first_name), names.name(person.last_name)
        self._work.record(loaded, *user.rename(state, first_name=first, last_name=last))
        self._work.record(loaded, *(user.block(state) if blocked else user.unblock(state)))
        return loaded.id, state

    def _by_address(self, person: Person) -> tuple[str, user.User]:
        """Return who has the address; a new one is called as the table says, if it does."""
        address = email.canonical(person.email)
        self._once("email", address)
        user_id = self._addresses.user_of(self._work, address)
        loaded = self._work.load(user.evolve, user_id)
        if loaded.state is not None:
            return user_id, user.existing(loaded.state)
        [pending] = user.add_pending(address)
        state = user.evolve(None, pending)
        if person.first_name or person.last_name:
            first, last = names.name(person.first_name), names.name(person.last_name)
            self._work.record(loaded, *user.rename(state, first_name=first, last_name=last))
        return user_id, state

    def _presented(self, person: Person) -> Iterator[tuple[IdentificationType, str]]:
        types: tuple[tuple[IdentificationType, str], ...] = (
            ("PIN", person.pin),
            ("RFID", person.rfid),
        )
        for identification_type, cell in types:
            for code in people.several(cell):
                _, canonical = codes.canonical(identification_type, code)
                self._once(identification_type, canonical)
                yield identification_type, code

    def _once(self, kind: str, value: str) -> None:
        if (kind, value) in self._seen:
            raise TwiceInFileError
        self._seen.add((kind, value))
