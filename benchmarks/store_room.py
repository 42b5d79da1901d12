"""What stores take: rows on PostgreSQL, and what services know of them in memory."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import msgspec
import psutil

from benchmarks import sessions
from benchmarks.apart import apart
from benchmarks.figures import Figure, alone
from benchmarks.population import Population
from chargekey_access.application.installations import Installations
from chargekey_access.application.permissions import Permissions
from chargekey_access.domain.events import EVENTS
from chargekey_access.domain.permission import Subject, Target
from chargekey_access.projections.directory import Directory as AccessDirectory
from chargekey_common.eventstore.store import Context, EventStore
from chargekey_common.postgres import Postgres
from chargekey_common.testing.postgres_server import running_postgres
from chargekey_gateway.sessions.running import Lock
from chargekey_history.projections.past import Bookmark, Fact, Past
from chargekey_identity.projections.directory import Directory as IdentityDirectory
from chargekey_identity.storage import MAKERS, opened
from chargekey_identity.wiring import Application

# Before the first round as many are made, which count for none.
ON_POSTGRESQL = 500
ROUNDS = 3
IN_FILES = 4_000
CHARGES = 5_000
AT_ONCE = 500
CARDS = 2
PEOPLE = Population.of(CHARGES * (ROUNDS + 1))
MASTER = b"a master key for figures only"
SECRET = b"a secret for figures only"


def figures() -> Iterator[Figure]:
    """Measure what one more of each takes."""
    with running_postgres() as url:
        yield from _on_postgresql(url)
    with tempfile.TemporaryDirectory() as directory:
        access, identity = Path(directory) / "access", Path(directory) / "identity"
        for place in (access, identity):
            place.mkdir()
        _fill_access(access)
        _fill_identity(identity)
        yield from _in_memory("access", "a permission", _access_memory, access, IN_FILES)
        yield from _in_memory(
            "identity", "an identification", _identity_memory, identity, IN_FILES * CARDS
        )


def _on_postgresql(url: str) -> Iterator[Figure]:
    with ExitStack() as stack:
        access = Postgres(url, "access")
        EventStore.migrate(access)
        grant = _granting(stack.enter_context(closing(EventStore("access", access, EVENTS))))
        yield alone(
            "PostgreSQL, a permission that is granted",
            _bytes(access, grant, ON_POSTGRESQL),
            unit="B",
            against="event, receipt and indexes",
        )
    with ExitStack() as stack:
        identity = Postgres(url, "identity")
        for migrate in MAKERS:
            migrate(identity)
        storage = stack.enter_context(opened(lambda _: identity, MASTER))
        add = _adding(Application(storage, None, master=MASTER, keyed_id_secret=SECRET))
        yield alone(
            "PostgreSQL, a card that is added",
            [each / CARDS for each in _bytes(identity, add, ON_POSTGRESQL // CARDS)],
            unit="B",
            against=f"events, receipts, keys and indexes, with a user for {CARDS} of them",
        )
    with ExitStack() as stack:
        history = Postgres(url, "history")
        Past.migrate(history)
        past = stack.enter_context(closing(Past(history)))
        numbers = iter(range(0, CHARGES * (ROUNDS + 1), AT_ONCE))
        rates: list[float] = []

        def write() -> None:
            rates.append(_write_sessions(past, next(numbers)))

        sizes = _bytes(history, write, CHARGES // AT_ONCE)
        yield alone(
            "PostgreSQL, a session in history",
            [each / AT_ONCE for each in sizes],
            unit="B",
            against="row and indexes",
        )
        yield alone(
            "sessions written by history a second",
            rates,
            unit="1/s",
            against=f"{AT_ONCE} at once, each with start and end",
        )


def _bytes(where: Postgres, work: Callable[[], None], times: int) -> Sequence[float]:
    """Return what the schema's tables have grown by in each round, by what is done once."""
    sizes = []
    for _ in range(ROUNDS + 1):
        for _ in range(times):
            work()
        sizes.append(_size(where))
    return [(after - before) / times for before, after in pairwise(sizes)]


def _size(where: Postgres) -> int:
    with where.connect() as connection:
        row = connection.execute(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = %s::regnamespace",
            (where.schema,),
        ).fetchone()
    return int(row[0]) if row else 0


def _write_sessions(past: Past, first: int) -> float:
    """Write so many from the first on; return how many in a second."""
    facts = []
    for number in range(first, first + AT_ONCE):
        begun = sessions.begin(PEOPLE, number)
        session = sessions.running(2 * number + 1, begun)
        over = sessions.end(session, Lock(1, held=True))
        for sequence, batch in enumerate((begun, over), 2 * number + 1):
            facts.append(Fact(batch.event, str(uuid.uuid4()), sessions.AT, sequence))
    began = perf_counter()
    past.apply(facts, Bookmark("figures", facts[-1].sequence))
    return AT_ONCE / (perf_counter() - began)


def _granting(store: EventStore) -> Callable[[], None]:
    """Return what permits one more person to charge at a site."""
    permissions = Permissions(store, AccessDirectory(store))
    site = Installations(store).create_installation(_context(), name="Site", time_zone="UTC").result

    def grant() -> None:
        permissions.grant_permission(
            _context(),
            target=Target(site),
            subject=Subject(str(uuid.uuid4())),
            roles=["USER"],
            valid_until="",
            invited=True,
        )

    return grant


def _adding(identity: Application) -> Callable[[], None]:
    """Return what adds one more person with cards."""
    site = str(uuid.uuid4())

    def add() -> None:
        user_id = identity.users.add_local_user(
            _context(),
            installation_id=site,
            first_name="Somebody",
            last_name="Ordinary",
            blocked=False,
        ).result
        for _ in range(CARDS):
            identity.identifications.add_identification(
                _context(),
                user_id=user_id,
                identification_type="RFID",
                code=f"04{uuid.uuid4().hex[:12]}".upper(),
                status="ACTIVE",
                valid_until="",
                time_zone="UTC",
            )

    return add


def _fill_access(directory: Path) -> None:
    with closing(EventStore("access", directory / "access.db", EVENTS)) as store:
        grant = _granting(store)
        for _ in range(IN_FILES):
            grant()


def _fill_identity(directory: Path) -> None:
    with opened(directory.joinpath, MASTER) as storage:
        add = _adding(Application(storage, None, master=MASTER, keyed_id_secret=SECRET))
        for _ in range(IN_FILES):
            add()


class _Known(msgspec.Struct, frozen=True):
    """What a service's memory of its events takes, and how many events it takes in a second."""

    memory: float
    rate: float


def _in_memory(
    service: str, what: str, measure: Callable[[Path], _Known], directory: Path, number: int
) -> Iterator[Figure]:
    rounds = [apart(measure, directory) for _ in range(ROUNDS)]
    yield alone(
        f"memory of {service}, {what}",
        [each.memory / number for each in rounds],
        unit="B",
        against=f"{number:,} of them",
    )
    yield alone(
        f"events that {service} takes in a second when it starts",
        [each.rate for each in rounds],
        unit="1/s",
    )


def _access_memory(directory: Path) -> _Known:
    with closing(EventStore("access", directory / "access.db", EVENTS)) as store:
        return _known(store, AccessDirectory(store))


def _identity_memory(directory: Path) -> _Known:
    with opened(directory.joinpath, MASTER) as storage:
        return _known(storage.events, IdentityDirectory(storage.events))


def _known(store: EventStore, directory: AccessDirectory | IdentityDirectory) -> _Known:
    before = psutil.Process().memory_full_info().uss
    began = perf_counter()
    with directory.caught_up():
        took = perf_counter() - began
        return _Known(psutil.Process().memory_full_info().uss - before, store.end() / took)


def _context() -> Context:
    return Context(actor="administrator:local", command_id=str(uuid.uuid4()))
