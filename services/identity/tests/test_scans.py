"""R16, S3-51, S3-54: what is presented at a charger and is nobody's, on both stores."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from chargekey_common.attempts import Attempts
from chargekey_common.eventstore.postgres import PostgresRecorder
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import (
    Answer,
    CommandIdReusedError,
    Context,
    EventStore,
    Reaction,
    StoreUnavailableError,
    Work,
)
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.positions import Position
from chargekey_common.postgres import Postgres
from chargekey_common.process import cancel
from chargekey_common.testing.tables import execute
from chargekey_identity.application import scans
from chargekey_identity.application.identifications import Identifications
from chargekey_identity.application.privacy import Privacy
from chargekey_identity.application.scans import Scans
from chargekey_identity.application.users import Users
from chargekey_identity.domain import identification, scan, user
from chargekey_identity.domain.errors import (
    CodeInUseError,
    InstallationForeignError,
    ScanOverError,
    ScanRunningError,
    ScanUnknownError,
    TypeNotScannableError,
    UnknownCodeGoneError,
    UserUnknownError,
)
from chargekey_identity.domain.events import (
    EVENTS,
    EmailVerified,
    IdentificationType,
    PendingUserAdded,
    UserErased,
)
from chargekey_identity.domain.scan import Scan
from chargekey_identity.projections.directory import Directory
from chargekey_identity.tables.keyring import KeyRing
from chargekey_identity.tables.scans import KEPT, MOST_CODES, ScanTables, UnknownCode

from .conftest import MASTER, SECRET

CARD, OTHER_CARD, THIRD_CARD = "04A2B3C4D5E6F7", "04A2B3C4D5E6F8", "04A2B3C4D5E6F9"
OWNER = "user:an-owner"
SECOND = 10**9


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000 * SECOND

    def __call__(self) -> int:
        return self.now

    def pass_by(self, seconds: float) -> int:
        self.now += int(seconds * SECOND)
        return self.now


class Replica:
    """One process' worth of identity."""

    def __init__(self, directory: Path, place: Path | Postgres, clock: Clock) -> None:
        shared = place if isinstance(place, Postgres) else None
        self.clock = clock
        self.keyring = KeyRing(shared or directory / "keys.db", MASTER)
        self.store = EventStore(
            "identity", shared or directory / "identity.db", EVENTS, self.keyring
        )
        self.tables = ScanTables(shared or directory / "scans.db", MASTER)
        self.users = Users(self.store)
        self.directory = Directory(self.store)
        self.attempts = Attempts(shared or directory / "sign-ins.db")
        self.identifications = Identifications(
            self.store, KeyedIds(SECRET), self.directory, self.tables, self.attempts
        )
        self.scans = Scans(self.store, self.tables, self.identifications, clock)
        self.privacy = Privacy(
            self.store,
            self.directory,
            self.keyring,
            [self.tables.forget_user],
            self.tables.forget_codes,
        )

    def close(self) -> None:
        for each in (self.attempts, self.tables, self.store, self.keyring):
            each.close()

    def local_user(self, installation_id: str = "home") -> str:
        return self.users.add_local_user(
            by(OWNER), installation_id=installation_id, first_name="A", last_name="B", blocked=False
        ).result

    def account(self) -> str:
        user_id = new_id()

        def decide(work: Work) -> None:
            loaded = work.load(user.evolve, user_id)
            work.record(loaded, PendingUserAdded(email="a@b.no"), EmailVerified())

        self.store.execute("make_account", type(None), by("service:tests"), decide)
        return user_id

    def erase(self, user_id: str) -> None:
        self.store.execute(
            "erase",
            type(None),
            by("service:tests"),
            lambda work: work.record(work.load(user.evolve, user_id), UserErased()),
        )

    def start(
        self,
        user_id: str,
        context: Context | None = None,
        charger_id: str = "garage",
        installation_id: str = "",
        kind: IdentificationType = "RFID",
    ) -> str:
        return self.scans.start_scan(
            context or by(OWNER),
            user_id=user_id,
            charger_id=charger_id,
            installation_id=installation_id,
            identification_type=kind,
        ).result.scan_id

    def present(self, code: str, charger_id: str = "garage", installation_id: str = "home") -> None:
        self.scans.report(
            charger_id=charger_id, installation_id=installation_id, code=code, at=self.clock.now
        )

    def held(self, found: Scan) -> identification.Identification:
        loaded = self.store.load(identification.evolve, found.identification_id)
        return identification.existing(loaded.state)

    def unknown(self, installation_id: str = "home") -> list[tuple[str, IdentificationType, int]]:
        found = self.scans.unknown_codes(installation_id, before=None, limit=100)
        return [(each.code, each.type, each.times) for each in found]

    def kept(self) -> Sequence[UnknownCode]:
        """Return whatever lies in the table, shown to anybody or not."""
        return self.tables.unknown_codes("home", before=None, limit=100, now=0)

    def events(self) -> list[str]:
        return [type(record.event).__name__ for _, record, _ in self.store.read(0, 1000)]


def by(actor: str) -> Context:
    return Context(actor, new_id())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def replicas(
    tmp_path: Path, place: Path | Postgres, clock: Clock
) -> Iterator[Callable[[], Replica]]:
    """Yield a maker of replicas: on PostgreSQL as many as one likes, else always the same."""
    with contextlib.ExitStack() as closing:
        if isinstance(place, Postgres):
            for make in (
                PostgresRecorder.migrate,
                KeyRing.migrate,
                ScanTables.migrate,
                Attempts.migrate,
            ):
                make(place)
        made: list[Replica] = []

        def replica() -> Replica:
            if not made or isinstance(place, Postgres):
                made.append(Replica(tmp_path, place, clock))
                closing.callback(made[-1].close)
            return made[-1]

        yield replica


@pytest.fixture
def here(replicas: Callable[[], Replica]) -> Replica:
    return replicas()


def test_the_next_unknown_card_is_bound_to_whom_an_owner_scans_for(here: Replica) -> None:
    """S3-51: the same as if it had been typed in, by the same person."""
    kari = here.local_user()
    scan_id = here.start(kari)
    assert here.scans.scan(scan_id).state == "WAITING"
    here.clock.pass_by(5)
    here.present("04:a2:b3:c4:d5:e6:f7")
    found = here.scans.scan(scan_id)
    assert found.state == "ADDED"
    assert found.position == str(here.store.position())
    held = here.held(found)
    assert (held.user_id, held.type, held.code.text) == (kari, "RFID", CARD)
    assert (held.installation_id, held.status, held.valid_until) == (None, "ACTIVE", None)
    _, last, _ = here.store.read(0, 100)[-1]
    assert (type(last.event).__name__, last.actor) == ("IdentificationAdded", OWNER)
    assert here.unknown() == []


def test_whoever_scans_for_himself_presents_the_same_card_twice(here: Replica) -> None:
    """R16: so that nobody's card is taken who happens to come by."""
    kari = here.account()
    scan_id = here.start(kari, by(f"user:{kari}"))
    here.present(OTHER_CARD)
    here.clock.pass_by(1)
    assert here.scans.scan(scan_id).state == "PRESENT_AGAIN"
    here.clock.pass_by(4)
    here.present(CARD)
    # Whoever is told so and presents it at once is heard: before, it would be the same tap.
    assert here.scans.scan(scan_id).state == "WAITING"
    here.clock.pass_by(0.999)
    here.present(CARD)  # one tap that the charger asked about twice
    assert here.scans.scan(scan_id).state == "WAITING"
    here.clock.pass_by(0.001)
    assert here.scans.scan(scan_id).state == "PRESENT_AGAIN"
    here.present(CARD.lower())
    found = here.scans.scan(scan_id)
    assert found.state == "ADDED"
    assert here.held(found).code.text == CARD
    assert here.events().count("IdentificationAdded") == 1


def test_a_second_tap_counts_soon_after_the_first_alone(here: Replica) -> None:
    """R16: what somebody tried a while ago is no half of anything."""
    kari = here.account()
    scan_id = here.start(kari, by(f"user:{kari}"))
    here.present(CARD)
    here.clock.pass_by(20.001)
    here.present(CARD)  # begins anew
    here.clock.pass_by(0.5)
    here.present(CARD)
    here.clock.pass_by(0.5)
    assert here.scans.scan(scan_id).state == "PRESENT_AGAIN"
    here.clock.pass_by(19)
    here.present(CARD)
    assert here.scans.scan(scan_id).state == "ADDED"


def test_a_tap_that_is_reported_out_of_its_order_confirms_nothing(here: Replica) -> None:
    kari = here.account()
    scan_id = here.start(kari, by(f"user:{kari}"))
    earlier = here.clock.pass_by(1)
    here.clock.pass_by(10)
    here.present(CARD)
    here.scans.report(charger_id="garage", installation_id="home", code=CARD, at=earlier)
    here.clock.pass_by(2)
    assert here.scans.scan(scan_id).state == "PRESENT_AGAIN"
    here.present(CARD)
    assert here.scans.scan(scan_id).state == "ADDED"


def test_somebody_with_an_account_gets_it_where_it_was_said_to_work(here: Replica) -> None:
    kari = here.account()
    scan_id = here.start(kari, installation_id="home", kind="CREDIT_CARD")
    here.present("30569309025904")  # digits alone, and they add up as those of printed numbers
    held = here.held(here.scans.scan(scan_id))
    assert (held.type, held.installation_id) == ("CREDIT_CARD", "home")


def test_a_vehicle_can_be_scanned_too(here: Replica) -> None:
    scan_id = here.start(here.local_user(), kind="VEHICLE_ID")
    here.present("VID:A0B2C3D4E5F6")
    assert here.held(here.scans.scan(scan_id)).code.text == "A0B2C3D4E5F6"


def test_after_sixty_seconds_the_window_is_shut(here: Replica) -> None:
    """R16: and what is presented then is remembered instead."""
    scan_id = here.start(here.local_user())
    here.clock.pass_by(60 - 1e-9)
    assert here.scans.scan(scan_id).state == "WAITING"
    here.clock.pass_by(1e-9)
    assert here.scans.scan(scan_id).state == "EXPIRED"
    here.present(CARD)
    assert here.scans.scan(scan_id).state == "EXPIRED"
    assert here.unknown() == [(CARD, "RFID", 1)]


def test_what_was_presented_before_the_scan_or_elsewhere_is_not_its(here: Replica) -> None:
    tapped = here.clock.now
    here.clock.pass_by(1)
    scan_id = here.start(here.local_user())
    here.scans.report(charger_id="garage", installation_id="home", code=CARD, at=tapped)
    here.present(OTHER_CARD, "drive")
    assert here.scans.scan(scan_id).state == "WAITING"
    assert len(here.unknown()) == 2


def test_one_scan_at_a_time_at_a_charger(here: Replica) -> None:
    """R16: whoever began may begin anew, everybody else waits."""
    kari, ola = here.local_user(), here.local_user()
    first = here.start(kari)
    with pytest.raises(ScanRunningError):
        here.start(ola)
    with pytest.raises(ScanRunningError):
        here.start(kari, by("user:another-owner"))
    here.start(ola, charger_id="drive")
    second = here.start(kari)
    assert [here.scans.scan(each).state for each in (first, second)] == ["CANCELLED", "WAITING"]
    here.clock.pass_by(60)
    here.start(ola)


def test_starting_again_under_the_same_command_id_is_the_same_scan(here: Replica) -> None:
    kari, context = here.local_user(), by(OWNER)
    first = here.start(kari, context)
    here.clock.pass_by(10)
    assert here.start(kari, context) == first
    assert here.scans.scan(first).state == "WAITING"
    with pytest.raises(CommandIdReusedError):
        here.start(kari, Context("user:another-owner", context.command_id))


def test_a_cancelled_scan_binds_nothing(here: Replica) -> None:
    scan_id = here.start(here.local_user())
    for _ in range(2):
        here.scans.cancel_scan(by(OWNER), scan_id=scan_id)
        assert here.scans.scan(scan_id).state == "CANCELLED"
    here.present(CARD)
    assert here.unknown() == [(CARD, "RFID", 1)]
    with pytest.raises(ScanUnknownError):
        here.scans.cancel_scan(by(OWNER), scan_id="nonsense")


def test_what_was_added_is_not_cancelled(here: Replica) -> None:
    scan_id = here.start(here.local_user())
    here.present(CARD)
    with pytest.raises(ScanOverError):
        here.scans.cancel_scan(by(OWNER), scan_id=scan_id)


@pytest.mark.parametrize(
    ("code", "refused"),
    [("08A2B3C4", "rfid_random"), ("TAG-1", "rfid_malformed"), ("04E1E2E3", "rfid_in_use")],
)
def test_what_cannot_be_added_ends_the_scan_and_says_why(
    here: Replica, code: str, refused: str
) -> None:
    """S3-54: a random number is explained."""
    kari, ola = here.local_user(), here.local_user("away")
    here.scans.report(charger_id="x", installation_id="away", code="04E1E2E3", at=here.clock.now)
    [known] = here.scans.unknown_codes("away", before=None, limit=1)
    here.scans.add_from_unknown_code(by(OWNER), unknown_code_id=known.id, user_id=ola)
    scan_id = here.start(kari)
    here.present(code)
    found = here.scans.scan(scan_id)
    assert (found.state, found.refusal_code) == ("REFUSED", refused)
    assert len(found.refusal_sentence) > 20
    assert code not in found.refusal_sentence
    here.present(CARD)
    assert here.scans.scan(scan_id).state == "REFUSED"


def test_a_random_number_is_refused_at_the_first_tap(here: Replica) -> None:
    """S3-54: nobody is asked to present it again."""
    kari = here.account()
    scan_id = here.start(kari, by(f"user:{kari}"))
    here.present("08A2B3C4")
    assert here.scans.scan(scan_id).state == "REFUSED"


@pytest.mark.parametrize("secret", ["#1234", "#12", "1234", "#", "APP:ABCDEFGH2345672A"])
def test_what_may_be_known_by_heart_is_never_kept(here: Replica, secret: str) -> None:
    """R16: an unknown PIN may be a mistyped one."""
    here.present(secret)
    assert here.unknown() == []


def test_a_pin_that_somebody_types_meanwhile_ends_no_scan(here: Replica) -> None:
    scan_id = here.start(here.local_user())
    here.present("#1234")
    here.present(CARD)
    assert here.scans.scan(scan_id).state == "ADDED"


def test_a_user_erased_meanwhile_gets_nothing(here: Replica) -> None:
    """R20."""
    kari = here.local_user()
    scan_id = here.start(kari)
    here.erase(kari)
    here.present(CARD)
    assert here.scans.scan(scan_id).refusal_code == "user_unknown"
    with pytest.raises(UserUnknownError):
        here.start(kari, charger_id="drive")
    here.tables.forget_user(kari)
    with pytest.raises(ScanUnknownError):
        here.scans.scan(scan_id)


def test_what_no_charger_reads_cannot_be_scanned(here: Replica) -> None:
    kari = here.local_user()
    for kind in ("PIN", "SMS", "APP"):
        with pytest.raises(TypeNotScannableError):
            here.start(kari, kind=kind)
    with pytest.raises(InstallationForeignError):
        here.start(kari, installation_id="away")


def test_a_tap_that_is_reported_again_adds_nothing_more(here: Replica) -> None:
    scan_id = here.start(here.local_user())
    for _ in range(2):
        here.present(CARD)
    assert here.events().count("IdentificationAdded") == 1
    assert here.scans.scan(scan_id).state == "ADDED"


def test_a_scan_whose_end_could_not_be_written_down_has_ended(here: Replica) -> None:
    """A crash between the identification and the scan: what was added decides."""
    kari = here.local_user()
    scan_id = here.start(kari)
    kept = here.tables.scan(scan_id)
    assert kept is not None
    here.scans.add_scanned(Context(OWNER, f"scan-{scan_id}"), waiting=kept, code=CARD)
    found = here.scans.scan(scan_id)
    assert (found.state, here.held(found).code.text) == ("ADDED", CARD)
    here.present(OTHER_CARD)
    with pytest.raises(ScanOverError):
        here.scans.cancel_scan(by(OWNER), scan_id=scan_id)
    here.start(here.local_user())
    assert here.events().count("IdentificationAdded") == 1


def at_once(*acts: Callable[[], object]) -> list[Exception]:
    """Run these on threads of their own and return what they raised."""
    barrier, raised = threading.Barrier(len(acts)), list[Exception]()

    def run(act: Callable[[], object]) -> None:
        barrier.wait()
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whatever it was is looked at
            raised.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_of_cards_that_two_replicas_hear_of_at_once_one_is_bound(
    replicas: Callable[[], Replica],
) -> None:
    """R16: the others are remembered, and none is lost."""
    one, other = replicas(), replicas()
    kari = one.local_user()
    for round_ in range(8):
        scan_id = one.start(kari)
        cards = [f"04A2B3C4D5E6{round_:X}{number}" for number in range(4)]
        acts = [
            functools.partial(each.present, card)
            for card, each in zip(cards, (one, other, one, other), strict=True)
        ]
        assert at_once(*acts) == []
        assert other.scans.scan(scan_id).state == "ADDED"
        bound = one.held(other.scans.scan(scan_id)).code.text
        kept = {code for code, _, _ in one.unknown()}
        assert {bound, *kept & set(cards)} == set(cards)
        assert bound not in kept
        one.clock.pass_by(60)
    assert one.events().count("IdentificationAdded") == 8


def test_of_those_who_want_a_charger_at_once_one_gets_it(
    replicas: Callable[[], Replica],
) -> None:
    """R16."""
    one, other = replicas(), replicas()
    users = [one.local_user() for _ in range(4)]
    for _ in range(5):
        acts = [
            functools.partial(each.start, key)
            for key, each in zip(users, (one, other, one, other), strict=True)
        ]
        raised = at_once(*acts)
        assert [type(each) for each in raised] == [ScanRunningError] * 3
        one.clock.pass_by(60)


def test_of_those_who_want_a_code_at_once_by_hand_or_by_scan_one_gets_it(
    replicas: Callable[[], Replica],
) -> None:
    """R13, R15: whatever they take it for."""
    one, other = replicas(), replicas()
    kari, ola = one.local_user(), one.local_user()
    for round_ in range(5):
        card = f"DE8AAC1234567{round_}"
        scan_id = one.start(kari)

        def type_in(code: str = f"DE-8AA-{card[5:]}") -> None:
            other.identifications.add_identification(
                by(OWNER),
                user_id=ola,
                identification_type="VEHICLE_ID",
                code=code,
                status="ACTIVE",
                valid_until="",
                time_zone="",
            )

        raised = at_once(functools.partial(one.present, card), type_in)
        found = one.scans.scan(scan_id)
        assert [type(each) for each in raised] == (
            [CodeInUseError] if found.state == "ADDED" else []
        )
        assert found.refusal_code == ("" if raised else "rfid_in_use")
        one.clock.pass_by(60)
    assert one.events().count("IdentificationAdded") == 5


def test_a_card_and_a_cancellation_at_once_agree_on_what_happened(
    replicas: Callable[[], Replica],
) -> None:
    one, other = replicas(), replicas()
    kari = one.local_user()
    for round_ in range(8):
        scan_id = one.start(kari)
        card = f"04A2B3C4D5E7{round_:02X}"
        raised = at_once(
            functools.partial(one.present, card),
            functools.partial(other.scans.cancel_scan, by(OWNER), scan_id=scan_id),
        )
        state = one.scans.scan(scan_id).state
        assert state == ("ADDED" if raised else "CANCELLED")
        assert all(isinstance(each, ScanOverError) for each in raised)
        added = one.store.load(identification.evolve, scan.identification_id(scan_id)).state
        assert (added is not None) == (state == "ADDED")
        one.clock.pass_by(60)


def test_unknown_codes_are_told_once_a_charger_with_how_often_and_when(here: Replica) -> None:
    """R16: the last found first, the same report counted once."""
    here.present(CARD)
    here.present(CARD)
    here.clock.pass_by(10)
    here.present("04 a2 b3 c4 d5 e6 f7")
    here.present(CARD, "drive")
    here.present("NLTNMC00122045K")
    here.present(OTHER_CARD, "street", "away")
    assert here.unknown() == [
        ("NLTNMC00122045K", "VEHICLE_ID", 1),
        (CARD, "RFID", 1),
        ("04 a2 b3 c4 d5 e6 f7", "RFID", 2),
    ]
    found = here.scans.unknown_codes("home", before=None, limit=10)
    assert {each.at for each in found} == {here.clock.now}
    assert [each.charger_id for each in found] == ["garage", "drive", "garage"]
    rest = here.scans.unknown_codes("home", before=found[0].number, limit=1)
    assert rest == found[1:2]


def test_unknown_codes_are_forgotten_after_a_day(here: Replica) -> None:
    """R16."""
    here.present(CARD)
    here.start(here.local_user())
    here.clock.pass_by(24 * 3600 - 1)
    assert here.unknown() == [(CARD, "RFID", 1)]
    here.clock.pass_by(1)
    assert here.unknown() == []
    assert here.tables.forget_old(here.clock.now) == 1
    here.clock.pass_by(60)
    assert here.tables.forget_old(here.clock.now) == 1
    here.scans.report(charger_id="x", installation_id="home", code=CARD, at=here.clock.now - KEPT)
    assert here.tables.forget_old(here.clock.now) == 0


async def test_what_is_a_day_old_is_deleted_though_nobody_asks(
    here: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R16: also where the tables could not be used for a while."""
    here.present(CARD)
    here.clock.pass_by(24 * 3600)
    loop, deleted = asyncio.get_running_loop(), asyncio.Event()
    forget_old, attempts = here.tables.forget_old, itertools.count()

    def forget(now: int) -> int:
        if next(attempts) == 0:
            raise StoreUnavailableError
        count = forget_old(now)
        if count == 1:
            loop.call_soon_threadsafe(deleted.set)
        return count

    monkeypatch.setattr(here.tables, "forget_old", forget)
    monkeypatch.setattr(scans, "SWEEP", 0)
    task = asyncio.create_task(here.scans.run())
    async with asyncio.timeout(10):
        await deleted.wait()
    await cancel(task)


def test_a_clock_that_is_ahead_keeps_nothing_longer(here: Replica) -> None:
    here.scans.report(charger_id="x", installation_id="home", code=CARD, at=2**63 - 1)
    here.clock.pass_by(24 * 3600)
    assert here.unknown() == []


def test_whoever_presents_thousands_drives_out_the_oldest_of_his_charger_alone(
    here: Replica,
) -> None:
    here.present(CARD, "drive")
    for number in range(MOST_CODES + 5):
        here.clock.pass_by(0.001)
        here.present(f"04A2B3C4D5{number:04X}")
    kept = here.scans.unknown_codes("home", before=None, limit=MOST_CODES * 2)
    assert len(kept) == MOST_CODES + 1
    assert kept[-1].code == CARD
    assert kept[-2].code == "04A2B3C4D50005"


def test_an_unknown_code_is_given_to_a_user_once(here: Replica) -> None:
    """R16: where it was presented; the same command answers the same, the code is dropped."""
    here.present(CARD)
    here.present(CARD, "drive")
    kari, ola = here.account(), here.local_user()
    one, other = here.scans.unknown_codes("home", before=None, limit=2)
    context = by(OWNER)
    given = here.scans.add_from_unknown_code(context, unknown_code_id=one.id, user_id=kari)
    again = here.scans.add_from_unknown_code(context, unknown_code_id=one.id, user_id=kari)
    assert given == again
    held = identification.existing(here.store.load(identification.evolve, given.result).state)
    assert (held.user_id, held.installation_id, held.code.text) == (kari, "home", CARD)
    assert here.unknown() == []
    for each in (one, other):
        with pytest.raises(UnknownCodeGoneError):
            here.scans.add_from_unknown_code(by(OWNER), unknown_code_id=each.id, user_id=ola)


def add_card(here: Replica, user_id: str, code: str = CARD) -> str:
    """Type one in."""
    return here.identifications.add_identification(
        by(OWNER),
        user_id=user_id,
        identification_type="RFID",
        code=code,
        status="ACTIVE",
        valid_until="",
        time_zone="",
    ).result


def change_code(here: Replica, key: str, code: str) -> None:
    here.identifications.change_identification(
        by(OWNER),
        identification_id=key,
        code=code,
        status=None,
        valid_until=None,
        time_zone="",
    )


def test_what_is_added_or_changed_by_hand_is_dropped_wherever_it_was_presented(
    here: Replica,
) -> None:
    """R16, R17: in any spelling."""
    for charger in ("garage", "drive"):
        for code in (CARD, OTHER_CARD, THIRD_CARD):
            here.present(code, charger)
    [*_, found] = here.scans.unknown_codes("home", before=None, limit=9)
    kari = here.local_user()
    key = add_card(here, kari, CARD.lower())
    assert {row.code for row in here.kept()} == {OTHER_CARD, THIRD_CARD}
    with pytest.raises(UnknownCodeGoneError):
        here.scans.add_from_unknown_code(by(OWNER), unknown_code_id=found.id, user_id=kari)
    change_code(here, key, OTHER_CARD)
    assert {row.code for row in here.kept()} == {THIRD_CARD}


@pytest.mark.parametrize("crashing", [False, True])
@pytest.mark.parametrize("end", ["erase", "react", "remove", "change"])
def test_what_was_presented_before_it_was_somebodys_is_gone_with_what_he_had(
    here: Replica, end: str, *, crashing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R17, R20: also where the process ended before it could drop the code."""
    kari = here.local_user()
    here.present(CARD)
    with monkeypatch.context() as patch:
        if crashing:
            patch.setattr(here.identifications, "made_known", lambda *_: None)
        key = add_card(here, kari)
    assert len(here.kept()) == crashing
    assert here.unknown() == []
    match end:
        case "erase":
            here.privacy.erase(by(OWNER), user_id=kari)
        case "react":
            handled = Handled("identity-on-user-forgotten", Position("access", "0" * 16, 1))
            here.privacy.react_to_user_forgotten(kari, Reaction(handled, new_id(), 0, OWNER))
        case "remove":
            here.identifications.remove_identification(by(OWNER), identification_id=key)
        case _:
            change_code(here, key, OTHER_CARD)
    assert here.kept() == []
    assert here.unknown() == []
    here.clock.pass_by(1)
    here.present(CARD)  # by now it is nobody's once more
    assert here.unknown() == [(CARD, "RFID", 1)]


def test_what_dies_before_the_key_is_destroyed_is_dropped_by_the_next_start(
    here: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R20: of somebody who is erased in a store that was restored, as well."""
    kari, ola = here.local_user(), here.local_user()
    for user_id, code in ((kari, CARD), (ola, OTHER_CARD)):
        here.present(code)
        with monkeypatch.context() as patch:
            patch.setattr(here.identifications, "made_known", lambda *_: None)
            add_card(here, user_id, code)
    here.keyring.destroy(kari)
    assert len(here.kept()) == 2
    here.privacy.finish(["never-was", ola])
    assert here.kept() == []
    assert here.unknown() == []


def test_whole_tables_of_cards_are_dropped_at_once(here: Replica) -> None:
    """An import of as many as a file has room for."""
    here.present(CARD)
    many = [f"{number:08X}" for number in range(70_000)]
    here.tables.forget_codes(many)
    assert len(here.kept()) == 1
    here.tables.forget_codes([*many, here.kept()[0].reservation_id])
    assert here.kept() == []


def test_a_report_that_comes_late_keeps_nothing_that_is_somebodys_by_now(here: Replica) -> None:
    add_card(here, here.local_user())
    here.present(CARD)
    assert here.kept() == []


def test_a_scan_drops_what_was_remembered_of_its_card(here: Replica) -> None:
    here.present(CARD)
    here.present(CARD, "drive")
    here.start(here.local_user())
    here.clock.pass_by(1)
    here.present(CARD)
    assert here.kept() == []


def test_what_was_given_is_answered_the_same_once_it_is_kept_no_longer(here: Replica) -> None:
    """R16: a day later, or right then."""
    here.present(CARD)
    kari, context = here.account(), by(OWNER)
    [found] = here.scans.unknown_codes("home", before=None, limit=2)

    def give(context: Context) -> Answer[str]:
        return here.scans.add_from_unknown_code(context, unknown_code_id=found.id, user_id=kari)

    first = give(context)
    assert here.kept() == []
    assert give(context) == first
    here.identifications.remove_identification(by(OWNER), identification_id=first.result)
    here.clock.pass_by(24 * 3600)
    here.tables.forget_old(here.clock.now)
    assert give(context) == first
    with pytest.raises(UnknownCodeGoneError):
        give(by(OWNER))
    with pytest.raises(CommandIdReusedError):
        give(Context("user:another-owner", context.command_id))
    assert here.events().count("IdentificationAdded") == 1


def test_no_code_lies_readable_in_the_tables_or_shows_itself(
    here: Replica, place: Path | Postgres, tmp_path: Path
) -> None:
    """R17: neither unknown ones nor one that waits for its second tap."""
    kari = here.account()
    scan_id = here.start(kari, by(f"user:{kari}"), charger_id="drive")
    here.present(OTHER_CARD, "drive")
    here.present(CARD)
    here.clock.pass_by(1)
    assert here.scans.scan(scan_id).state == "PRESENT_AGAIN"
    if isinstance(place, Postgres):
        written = "".join(
            str([bytes(cell) if isinstance(cell, memoryview) else cell for cell in row])
            for table in ("scans", "unknown_codes", "scan_windows")
            for row in execute(place, f"SELECT * FROM {table}")  # noqa: S608 - of these three
        ).encode()
    else:
        files = [each for each in tmp_path.iterdir() if each.name.startswith("scans.db")]
        written = b"".join(each.read_bytes() for each in files)
    assert scan_id.encode() in written
    keyed_ids = KeyedIds(SECRET)
    for code in (CARD, OTHER_CARD):
        keyed_id = keyed_ids.of_token(code, "home")[1]
        for secret in (code.encode(), bytes.fromhex(code), keyed_id, keyed_id.hex().encode()):
            assert secret not in written
    shown = repr(
        [here.scans.scan(scan_id), *here.scans.unknown_codes("home", before=None, limit=9)]
    )
    assert CARD not in shown
    assert msgspec.structs.asdict(here.scans.scan(scan_id))["first"]
