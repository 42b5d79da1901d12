"""People as a table: read strictly, all or none, and written so that no cell acts."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chargekey_common.errors import ChargekeyError
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import CommandIdReusedError, Context
from chargekey_common.keyed_ids import KeyedIds
from chargekey_identity.application.addresses import Addresses
from chargekey_identity.application.identifications import Identifications
from chargekey_identity.application.people import Imported, People, Site
from chargekey_identity.application.users import Users
from chargekey_identity.domain import email, people
from chargekey_identity.domain.email import Reservations
from chargekey_identity.domain.events import AccessProposed, Role
from chargekey_identity.domain.people import COLUMNS, Person
from chargekey_identity.projections.directory import Directory
from chargekey_identity.storage import Storage
from chargekey_identity.tables.scans import UnknownCode

from .conftest import SECRET

HEADER = ",".join(COLUMNS)
EVERY_ROLE: frozenset[Role] = frozenset({"OWNER", "USER", "SERVICE"})
HOME = Site("home", "Europe/Oslo", 4, EVERY_ROLE)
OWNER = "user:owner"


class World:
    def __init__(self, storage: Storage) -> None:
        self.store = store = storage.events
        self.directory = Directory(store)
        self.users = Users(store)
        self.unknown = storage.scans
        self.cards = Identifications(
            store, KeyedIds(SECRET), self.directory, storage.scans, storage.attempts
        )
        self.addresses = Addresses(store, Reservations(SECRET))
        self.people = People(store, self.addresses, self.cards)

    def imported(
        self,
        *lines: str,
        header: str = HEADER,
        command_id: str = "import",
        site: Site = HOME,
        dry_run: bool = False,
    ) -> Imported:
        data = "\n".join((header, *lines)).encode()
        return self.people.import_table(
            Context(OWNER, command_id), data, site=site, dry_run=dry_run
        )

    def refusals(self, *lines: str, site: Site = HOME) -> list[str]:
        """Import what is refused, line by line, and find nothing stored."""
        before = self.store.end()
        done = self.imported(*lines, site=site)
        assert done.position is None
        assert self.store.end() == before
        assert all(bool(line.refusal_sentence) == bool(line.refusal_code) for line in done.lines)
        return [line.refusal_code for line in done.lines]


@pytest.fixture
def world(storage: Storage) -> World:
    return World(storage)


def test_a_table_becomes_people_with_their_cards_in_one_save(world: World) -> None:
    """S3-20: local ones with their PIN, others by their address; roles are proposed."""
    done = world.imported(
        "Ada,Lovelace,,,,#1234,,",
        "Grace,Hopper,Grace@Navy.Example,owner; user,,,04:A1:B2:C3,",
        ",,katherine@nasa.example,service,2199-01-01,#4321; #5432,,no",
        "Mary,Jackson,,user,,,,yes",
    )
    assert [line.refusal_code for line in done.lines] == [""] * 4
    assert [line.line for line in done.lines] == [2, 3, 4, 5]
    assert done.position == world.store.position()
    ada, grace, katherine, mary = (line.user_id for line in done.lines)
    assert {record.cause for _, record, _ in world.store.read(0, 100)} == {"import"}
    users = world.directory
    assert (users.user(ada).kind, users.user(ada).first_name) == ("LOCAL", "Ada")
    assert users.user(grace).kind == "PENDING"
    assert (users.user(grace).email, users.user(grace).last_name) == (
        "grace@navy.example",
        "Hopper",
    )
    assert not users.user(katherine).named
    assert users.user(mary).blocked
    assert [held.type for _, held in users.identifications(katherine)] == ["PIN", "PIN"]
    [(_, card)] = users.identifications(grace)
    assert (card.type, card.installation_id) == ("RFID", "home")  # what a site gives is the site's
    proposed = [
        (record.originator_id, record.event.roles, record.event.local)
        for _, record, _ in world.store.read(0, 100)
        if isinstance(record.event, AccessProposed)
    ]
    assert proposed == [
        (ada, ("USER",), True),
        (grace, ("OWNER", "USER"), False),
        (katherine, ("SERVICE",), False),
        (mary, ("USER",), True),
    ]
    # The last event of all, for the answer to wait for.
    assert isinstance(world.store.read(world.store.end() - 1, 1)[0][1].event, AccessProposed)


def test_an_address_that_somebody_has_is_his(world: World) -> None:
    """R7: who is known is given something and not called anew."""
    known = world.addresses.resolve_email(
        Context(OWNER, "known"), email.canonical("grace@navy.example")
    ).result
    done = world.imported("Other,Name,grace@navy.example,user,,,,")
    assert [line.user_id for line in done.lines] == [known]
    assert world.directory.user(known).first_name == ""


def test_who_was_exported_is_imported_as_he_is_edited_with_what_he_has(world: World) -> None:
    first = world.imported("Ada,Lovelace,,,,#1234,04A1B2C3,", ",,grace@navy.example,,,#4321,,no")
    ada, grace = (line.user_id for line in first.lines)
    before = world.store.end()
    again = world.imported(
        f"{ada},Ada,King,,user,,#1234; #5678,04:a1:b2:c3,yes",
        f"{grace},,,grace@navy.example,user,,#4321,,no",
        header=f"user_id,{HEADER}",
        command_id="again",
    )
    assert [line.user_id for line in again.lines] == [ada, grace]
    changed = [type(record.event).__name__ for _, record, _ in world.store.read(before, 100)]
    assert sorted(changed) == [
        "AccessProposed",
        "AccessProposed",
        "CodeReserved",
        "IdentificationAdded",
        "UserBlocked",
        "UserRenamed",
    ]
    assert (world.directory.user(ada).last_name, world.directory.user(ada).blocked) == (
        "King",
        True,
    )


@pytest.mark.parametrize("who", ["nobody", "of another site", "grace"])
def test_a_line_is_about_a_local_user_of_the_site_or_about_nobody(world: World, who: str) -> None:
    there = Site("there", "Europe/Oslo", 4, EVERY_ROLE)
    done = world.imported("Ola,Nord,,,,,,", command_id="there", site=there)
    grace = world.imported(",,grace@navy.example,,,,,no", command_id="grace")
    ids = {"of another site": done.lines[0].user_id, "grace": grace.lines[0].user_id}
    before = world.store.end()
    refused = world.imported(
        f"{ids.get(who, 'nobody')},Ola,Syd,,,,,,", header=f"user_id,{HEADER}", command_id="again"
    )
    assert [line.refusal_code for line in refused.lines] == ["user_unknown"]
    assert world.store.end() == before


def test_one_wrong_line_and_nobody_is_imported(world: World) -> None:
    """Nothing half done, and each line told what is wrong with it."""
    taken = world.users.add_local_user(
        Context(OWNER, "add"),
        installation_id="home",
        first_name="Has",
        last_name="One",
        blocked=False,
    ).result
    world.cards.add_identification(
        Context(OWNER, "pin"),
        user_id=taken,
        identification_type="PIN",
        code="#9999",
        status="ACTIVE",
        valid_until="",
        time_zone="",
    )
    lines = {
        "Ada,Lovelace,,,,#1234,,": "",
        ",Nobody,,,,,,": "name_malformed",
        "A,B,,owner,,,,": "local_user_cannot_own",
        ",,x@y.example,owner,2199-01-01,,,": "owner_without_end",
        "A,B,,king,,,,": "roles_malformed",
        "A,B,,operator,,,,": "roles_malformed",
        "A,B,,,,1234,,": "pin_malformed",
        "A,B,,,,#1234,,": "twice_in_file",
        "A,B,,,,#9999,,": "code_unavailable",
        "A,B,,,,,08010203,": "rfid_random",
        "A,B,,,31.12.2099,,,": "date_malformed",
        "A,B,,,2001-01-01,,,": "date_in_past",
        ",,no address,,,,,": "email_malformed",
        ",,a@b.example,,,,,": "",
        ",,A@B.example,,,,,": "twice_in_file",
        ",,c@d.example,,,,,yes": "blocked_has_address",
        "A,B,,,,,,perhaps": "blocked_malformed",
        "A,B,,,,,04A1B2C3,": "",
        "A,B,,,,,04-a1-b2-c3,": "twice_in_file",
    }
    assert world.refusals(*lines) == list(lines.values())


def test_only_an_owner_gives_more_than_the_right_to_charge(world: World) -> None:
    """R5: who manages a site grants USER."""
    operator = Site("home", "Europe/Oslo", 4, frozenset({"USER"}))
    lines = (",,a@b.example,user,,,,", ",,c@d.example,service,,,,")
    assert world.refusals(*lines, site=operator) == ["", "role_not_grantable"]


def test_pins_are_as_long_as_the_site_wants(world: World) -> None:
    strict = Site("home", "Europe/Oslo", 6, EVERY_ROLE)
    assert world.refusals("A,B,,,,#12345,,", site=strict) == ["pin_too_short"]


def test_a_dry_run_tells_the_same_and_stores_nothing(world: World) -> None:
    done = world.imported("Ada,Lovelace,,,,#1234,,", dry_run=True)
    assert done.position is None
    assert [(line.user_id, line.refusal_code) for line in done.lines] == [("", "")]
    assert world.store.end() == 0
    assert world.imported("Ada,Lovelace,,,,#1234,,").position is not None  # the same command id


def test_an_import_that_was_done_is_answered_as_it_was(world: World) -> None:
    first = world.imported("Ada,Lovelace,,,,#1234,,")
    assert world.imported("Ada,Lovelace,,,,#1234,,") == first
    with pytest.raises(CommandIdReusedError):
        world.imported("Ada,Lovelace,,,,#1234,,", site=Site("away", "UTC", 4, EVERY_ROLE))


def test_the_last_day_is_the_site_s(world: World) -> None:
    """R18: through that local day in the installation's zone."""
    world.imported("Ada,Lovelace,,,2199-01-01,,,")
    [proposed] = [
        record.event
        for _, record, _ in world.store.read(0, 100)
        if isinstance(record.event, AccessProposed)
    ]
    midnight_in_oslo = 7_226_665_200  # 2199-01-01T23:00Z
    assert proposed.valid_until == midnight_in_oslo * 10**9


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "csv_header_malformed"),
        (b"first_name,last_name\n", "csv_header_malformed"),
        (f"{HEADER},more\n".encode(), "csv_header_malformed"),
        (f"{HEADER},email\n".encode(), "csv_header_malformed"),
        (HEADER.replace(",", ";").encode(), "csv_header_malformed"),
        (f"{HEADER}\nAda,Lovelace\n".encode(), "csv_malformed"),
        (f"{HEADER}\n{',' * 9}\nA{',' * 9}\n".encode(), "csv_malformed"),
        (f'{HEADER}\n"Ada,Lovelace,,,,,,\n'.encode(), "csv_malformed"),
        (f"{HEADER}\nAda\0,Lovelace,,,,,,\n".encode(), "csv_malformed"),
        (f"{HEADER}\nÅda,Lovelace,,,,,,\n".encode("latin-1"), "csv_malformed"),
        (f"{HEADER}\n".encode() + b"A,B,,,,,,\n" * 2001, "csv_too_large"),
        (b"x" * (2**20 + 1), "csv_too_large"),
    ],
    ids=range(12),
)
def test_what_is_no_table_of_people_is_refused_whole(data: bytes, code: str) -> None:
    with pytest.raises(ChargekeyError) as refused:
        people.read(data)
    assert refused.value.code == code


def test_what_spreadsheets_write_is_read() -> None:
    """A byte order mark, carriage returns, quotes, other orders of columns, empty lines."""
    mixed = "blocked,user_id,email,roles,valid_until,pin,rfid,first_name,last_name"
    text = f'\ufeff{mixed}\r\n\r\n,7,,user,,#1234,,"Ada\r\nAugusta","Love, ""Lace"""\r\n,,,,,,,B,C'
    first, second = people.read(text.encode())
    assert (first.line, second.line) == (3, 5)
    assert (first.first_name, first.last_name) == ("Ada\r\nAugusta", 'Love, "Lace"')
    assert (first.pin, first.roles, second.first_name) == ("#1234", "user", "B")


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12).map(
    str.strip
)


@given(
    st.lists(
        st.builds(
            Person,
            first_name=CELLS | st.sampled_from(["=1+1", "'=1", "''x", "@x", "-", "+1", "'"]),
            last_name=CELLS,
            email=CELLS,
        ),
        max_size=5,
    )
)
@settings(deadline=None)
def test_what_is_written_is_read_back_and_no_cell_begins_a_formula(table: list[Person]) -> None:
    written = people.written(table)
    for cells in csv.reader(io.StringIO(written.decode(), newline="")):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for cell in cells)
    assert _cells(people.read(written)) == _cells(table)


def _cells(table: Iterable[Person]) -> list[tuple[str, ...]]:
    rows = ((each.first_name, each.last_name, each.email) for each in table)
    return [row for row in rows if any(row)]


def presented(world: World, *cards: str) -> None:
    """Present cards at a charger that nobody knows yet."""
    for card in cards:
        world.unknown.remember(
            UnknownCode(
                number=0,
                id=new_id(),
                charger_id="garage",
                installation_id="home",
                type="RFID",
                reservation_id=world.cards.reservation_of(card),
                code=card,
                at=time.time_ns(),
                times=1,
            )
        )


def test_a_card_that_is_imported_is_no_more_among_those_that_nobody_knows(world: World) -> None:
    """R16, R20: trying it out drops nothing."""
    presented(world, "04A2B3C4", "04A2B3C5", "04A2B3C6")
    line = "Ada,L,,,,,04:a2:b3:c4;04A2B3C5,"

    def kept() -> set[str]:
        rows = world.unknown.unknown_codes("home", before=None, limit=9, now=0)
        return {row.code for row in rows}

    world.imported(line, command_id="try", dry_run=True)
    assert len(kept()) == 3
    assert world.imported(line).position is not None
    assert kept() == {"04A2B3C6"}


def test_a_line_has_no_more_pins_than_a_user_may_have(world: World) -> None:
    """R13."""
    pins = ";".join(f"#10{number:02}" for number in range(11))
    assert world.refusals(f"Ada,L,,,,{pins},,") == ["too_many_identifications"]
    assert world.imported(f"Ada,L,,,,{pins[:-6]},,").position is not None


def test_two_thousand_people_are_imported_in_a_moment(world: World) -> None:
    lines = [f"Ada,Number {n},,,,#{10_000 + n},{0x04A00000 + n:08X}," for n in range(2000)]
    # Of the processor's time: others use the machine, too.
    began = time.process_time()
    done = world.imported(*lines)
    assert done.position is not None
    assert time.process_time() - began < 25


def test_codes_are_shown_once_recorded_and_for_nothing_else(world: World) -> None:
    """R17: one event a code, and the command opens no later one."""
    [ada, *_] = [line.user_id for line in world.imported("Ada,L,,,,#1234,,").lines]
    [(pin, _)] = world.directory.identifications(ada)
    ask = Context(OWNER, "reveal")
    shown = world.people.reveal(ask, installation_id="home", identification_ids=[pin])
    assert shown.result == {pin: "#1234"}
    assert type(world.store.records(pin)[-1].event).__name__ == "CodeRevealed"
    again = world.people.reveal(ask, installation_id="home", identification_ids=[pin])
    assert again.result == shown.result
    assert len(world.store.records(pin)) == 2
    with pytest.raises(CommandIdReusedError):
        world.people.reveal(ask, installation_id="away", identification_ids=[pin])
    world.cards.change_identification(
        Context(OWNER, "change"),
        identification_id=pin,
        code="#5678",
        status=None,
        valid_until=None,
        time_zone="",
    )
    with pytest.raises(ChargekeyError, match="changed since"):
        world.people.reveal(ask, installation_id="home", identification_ids=[pin])
