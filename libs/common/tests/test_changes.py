"""What was done about a thing: everything, newest first, in pages, and nothing personal."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import grpc
import pytest
import pytest_asyncio
from eventsourcing.persistence import Notification
from grpc import aio
from msgspec.structs import replace

from chargekey.audit.v1 import audit_pb2 as pb
from chargekey.audit.v1.audit_pb2_grpc import AuditServiceStub
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.audit import changes as changes_module
from chargekey_common.audit import service as audit
from chargekey_common.audit.changes import Changes
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.eventstore.records import DomainEvent, Record
from chargekey_common.eventstore.store import Context, EventStore, StoreUnavailableError, Work
from chargekey_common.grpc.client import remote_error
from chargekey_common.jetstream import Bus
from chargekey_common.pages import token_of
from chargekey_common.process import cancel
from chargekey_common.published.envelope import PublishedEvent, retold
from chargekey_common.relay import Publication
from chargekey_common.testing.grpc import served

SECRET = "Ada-Lovelace-1815"


class Given(DomainEvent, frozen=True, kw_only=True):
    """The only event that names everything, and something that is nobody's business."""

    personal: ClassVar[tuple[str, ...]] = ("name",)

    user_id: str
    installation_id: str
    charger_id: str | None
    roles: tuple[str, ...]
    local: bool
    until: int | None
    name: str
    secret_hash: str


class Taken(DomainEvent, frozen=True, kw_only=True):
    """Names nothing."""


class Moved(DomainEvent, frozen=True, kw_only=True):
    """Names two of a kind."""

    from_installation_id: str
    installation_id: str


class Joined(DomainEvent, frozen=True, kw_only=True):
    """Names somebody, wherever he belongs."""

    user_id: str


EVENTS = (Given, Taken, Moved, Joined)


class _Told(PublishedEvent, frozen=True, kw_only=True):
    stream: ClassVar[str] = "gifts"
    about: ClassVar[tuple[str, str]] = ("permission", "permission_id")

    permission_id: str


class ToldGiven(_Told, frozen=True, kw_only=True):
    user_id: str
    installation_id: str
    charger_id: str | None = None
    roles: tuple[str, ...]
    local: bool = False
    until: int | None = None


class ToldTaken(_Told, frozen=True, kw_only=True):
    pass


class ToldMoved(_Told, frozen=True, kw_only=True):
    from_installation_id: str
    installation_id: str


class ToldJoined(_Told, frozen=True, kw_only=True):
    user_id: str


def publication(record: Record) -> Publication:
    as_: dict[type[DomainEvent], type[PublishedEvent]] = {
        Given: ToldGiven,
        Taken: ToldTaken,
        Moved: ToldMoved,
        Joined: ToldJoined,
    }
    return Publication(
        retold(record.event, as_[type(record.event)], permission_id=record.originator_id)
    )


class Sealed:
    """A seal that counts how often it is opened."""

    opened = 0

    def seal(self, _: str, plain: bytes, __: bytes) -> bytes:
        return plain[::-1]

    def unseal(self, _: str, sealed: bytes, __: bytes) -> bytes:
        self.opened += 1
        return sealed[::-1]


def given(**changes: Any) -> Given:
    fields: dict[str, Any] = {
        "user_id": "ada",
        "installation_id": "home",
        "charger_id": None,
        "roles": ("OWNER", "USER"),
        "local": False,
        "until": None,
        "name": SECRET,
        "secret_hash": SECRET,
    }
    return Given(**(fields | changes))


@pytest.fixture
def seal() -> Sealed:
    return Sealed()


@pytest.fixture
def store(tmp_path: Path, seal: Sealed) -> Iterator[EventStore]:
    opened = EventStore("gifts", tmp_path / "gifts.db", EVENTS, seal)
    yield opened
    opened.close()


def tell(store: EventStore, key: str, *events: DomainEvent, actor: str = "user:grace") -> None:
    def decide(work: Work) -> None:
        work.record(work.load(lambda _, event: event, key), *events)

    store.execute("tell", type(None), Context(actor, f"command-{store.end()}"), decide)


def told(store: EventStore, obj: str, limit: int = 100, **more: int) -> list[tuple[str, str]]:
    found = Changes(store, publication).of(obj, limit, **more)
    return [(each.event, each.subject_id) for each in found]


def test_a_change_says_who_did_what_when_and_what_to(store: EventStore, seal: Sealed) -> None:
    """What is sealed is not even opened for it."""
    tell(store, "p1", given(charger_id="cp", until=17))
    [change] = Changes(store, publication).of("permission:p1", 10)
    assert not seal.opened
    assert (change.actor, change.cause, change.event, change.subject_id) == (
        "user:grace",
        "command-0",
        "ToldGiven",
        "p1",
    )
    assert change.position == store.position()
    assert change.at == store.records("p1")[0].at
    assert change.fields == {
        "user_id": "ada",
        "installation_id": "home",
        "charger_id": "cp",
        "roles": "OWNER, USER",
        "local": "false",
        "until": "17",
    }
    assert SECRET not in repr(change)


@pytest.mark.parametrize(
    "obj",
    ["permission:p1", "installation:home", "charger:cp", "user:ada", "user:ada/installation:home"],
)
def test_a_thing_s_changes_are_those_of_all_that_names_it_newest_first(
    store: EventStore, obj: str
) -> None:
    """An event that names nothing is about what the first of its aggregate named."""
    tell(store, "p1", given(charger_id="cp"))
    tell(store, "p2", given(installation_id="office", user_id="grace"))
    tell(store, "p1", Taken())
    assert told(store, obj) == [("ToldTaken", "p1"), ("ToldGiven", "p1")]
    assert told(store, "installation:nowhere") == []


def test_what_moved_is_told_on_both_sides_and_later_on_one(store: EventStore) -> None:
    """Whose it was sees nothing of what happens to it afterwards."""
    tell(store, "p1", given())
    tell(store, "p1", Moved(from_installation_id="home", installation_id="office"))
    tell(store, "p1", given(installation_id="office"))
    assert told(store, "installation:home") == [("ToldMoved", "p1"), ("ToldGiven", "p1")]
    assert told(store, "installation:office") == [("ToldGiven", "p1"), ("ToldMoved", "p1")]


def test_what_is_about_somebody_who_belongs_to_a_site_is_about_the_site(store: EventStore) -> None:
    """The first event about him, under his own id, said where that is."""
    tell(store, "ada", given())
    tell(store, "club", Joined(user_id="ada"))
    tell(store, "club", Joined(user_id="grace"))
    for obj in ("installation:home", "user:ada", "user:ada/installation:home"):
        assert told(store, obj)[0] == ("ToldJoined", "club")
    assert told(store, "user:grace") == [("ToldJoined", "club")]
    assert len(told(store, "installation:home")) == 2


def test_pages_go_on_where_the_one_before_ended_and_see_what_is_new(store: EventStore) -> None:
    changes = Changes(store, publication)
    assert not changes.of("user:ada", 10)
    for _ in range(5):
        tell(store, "p1", given())
    numbers = [each.number for each in changes.of("user:ada", 10)]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) == 5
    tell(store, "p1", given())
    assert [each.number for each in changes.of("user:ada", 2, before=numbers[1])] == numbers[2:4]
    assert changes.of("user:ada", 2, before=numbers[-1]) == []


def test_a_change_has_the_id_that_its_effects_have_as_their_cause(store: EventStore) -> None:
    tell(store, "p1", given())
    [change] = Changes(store, publication).of("user:ada", 1)
    assert change.id == store.records("p1")[0].event_id


def test_a_page_is_read_at_once(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = Changes(store, publication)
    for _ in range(5):
        tell(store, "p1", given())
    asked: list[list[int]] = []
    rows_of = store.rows_of

    def noted(numbers: Sequence[int]) -> Sequence[Notification]:
        asked.append(list(numbers))
        return rows_of(numbers)

    monkeypatch.setattr(store, "rows_of", noted)
    changes.of("user:ada", 3)
    assert asked == [[3, 4, 5]]


def test_of_an_aggregate_only_what_its_later_events_leave_out_is_kept(store: EventStore) -> None:
    """There are as many as there are users, cards and permissions."""
    changes = Changes(store, publication)
    tell(store, "home", Moved(from_installation_id="office", installation_id="home"))
    tell(store, "p1", given())
    tell(store, "p1", given(installation_id="office"))
    tell(store, "p2", Taken())
    changes.of("user:ada", 1)
    assert changes._first == {"p1": {"user": ["ada"], "installation": ["home"]}}  # noqa: SLF001 - nobody else can tell


async def test_the_log_is_read_before_anybody_asks_and_as_it_grows(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(store, "p1", given())
    read: asyncio.Queue[int] = asyncio.Queue()
    rows, loop = store.rows, asyncio.get_running_loop()

    def noted(after: int, limit: int) -> Sequence[Notification]:
        found = rows(after, limit)
        for row in found:
            loop.call_soon_threadsafe(read.put_nowait, row.id)
        return found

    monkeypatch.setattr(store, "rows", noted)
    running = asyncio.create_task(Changes(store, publication).run())
    async with asyncio.timeout(20):
        assert await read.get() == 1
        await asyncio.to_thread(tell, store, "p1", given())
        assert await read.get() == 2
    await cancel(running)


async def test_a_store_that_is_away_is_read_when_it_is_back(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "RETRY", 0.0)
    away, back = iter(range(2)), asyncio.Event()
    rows, loop = store.rows, asyncio.get_running_loop()

    def at_first_away(after: int, limit: int) -> Sequence[Notification]:
        for _ in away:
            raise StoreUnavailableError
        loop.call_soon_threadsafe(back.set)
        return rows(after, limit)

    monkeypatch.setattr(store, "rows", at_first_away)
    running = asyncio.create_task(Changes(store, publication).run())
    async with asyncio.timeout(20):
        await back.wait()
    await cancel(running)


# Over gRPC.


@pytest_asyncio.fixture
async def as_caller(
    store: EventStore, tmp_path: Path
) -> AsyncIterator[Callable[[Caller], AuditServiceStub]]:
    async def check(caller: Caller, action: str, obj: str) -> None:
        owns = (caller, action, obj) == ("user:ada", "audit.ListChanges", "installation:home")
        if caller != ADMINISTRATOR and not owns:
            raise PermissionDeniedError

    nowhere = Bus("nats://127.0.0.1:1")
    service = audit.service(store, publication, nowhere, Changes(store, publication))
    async with served(service, tmp_path, check) as channel:
        yield lambda caller: AuditServiceStub(channel(caller))


async def test_only_who_may_about_the_object_itself_is_told(
    store: EventStore, as_caller: Callable[[Caller], AuditServiceStub]
) -> None:
    """Owners of the object only: access is asked about the very object of the request."""
    for _ in range(3):
        tell(store, "p1", given())
    ada, grace = as_caller(Caller("user:ada")), as_caller(Caller("user:grace"))
    request, found = pb.ListChangesRequest(object="installation:home", page_size=2), []
    while True:
        answer = await ada.ListChanges(request)
        found += answer.changes
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert [each.position for each in found] == [str(store.position(n)) for n in (3, 2, 1)]
    assert dict(found[0].fields)["roles"] == "OWNER, USER"
    for caller, obj in ((ada, "user:ada"), (grace, "installation:home")):
        with pytest.raises(aio.AioRpcError) as denied:
            await caller.ListChanges(pb.ListChangesRequest(object=obj))
        assert denied.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    "obj",
    [
        "",
        "system",
        "installation:",
        "installation:../x",
        "user:a/installation:",
        "user:a/installation:b/c",
        "access_request:x",
        "installation:x\n",
    ],
)
async def test_an_object_that_is_none_is_refused_by_name(
    as_caller: Callable[[Caller], AuditServiceStub], obj: str
) -> None:
    request = pb.ListChangesRequest(object=obj)
    assert await refusal(as_caller, request) == "object_malformed"


async def test_a_page_that_is_none_is_refused_by_name(
    store: EventStore,
    as_caller: Callable[[Caller], AuditServiceStub],
) -> None:
    request = pb.ListChangesRequest(object="user:x", page_size=-1)
    assert await refusal(as_caller, request) == "page_size_malformed"
    end = store.position()
    strange = [replace(end, service="gift"), replace(end, generation="0" * 16), f"{end} "]
    for token in ("x", token_of("1"), *map(str, strange)):
        request = pb.ListChangesRequest(object="user:x", page_token=token)
        assert await refusal(as_caller, request) == "page_token_malformed"


async def test_a_page_begins_before_any_change_that_is_named_by_its_position(
    store: EventStore, as_caller: Callable[[Caller], AuditServiceStub]
) -> None:
    """Who puts lists of several services together goes on in the midst of a page."""
    for _ in range(3):
        tell(store, "p1", given())
    request = pb.ListChangesRequest(object="user:ada", page_token=str(store.position(3)))
    answer = await as_caller(ADMINISTRATOR).ListChanges(request)
    assert [each.position for each in answer.changes] == [str(store.position(n)) for n in (2, 1)]
    assert answer.next_page_token == ""


async def test_however_many_ask_during_the_first_read_one_thread_reads(
    store: EventStore,
    as_caller: Callable[[Caller], AuditServiceStub],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everything else that blocks goes on."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    tell(store, "p1", given())
    reading, go_on = threading.Event(), threading.Event()
    rows = store.rows

    def slow(after: int, limit: int) -> Sequence[Notification]:
        reading.set()
        assert go_on.wait(20)
        return rows(after, limit)

    monkeypatch.setattr(store, "rows", slow)
    stub, request = as_caller(ADMINISTRATOR), pb.ListChangesRequest(object="user:ada")
    asked = [asyncio.ensure_future(stub.ListChanges(request)) for _ in range(40)]
    try:
        async with asyncio.timeout(20):
            assert await asyncio.to_thread(reading.wait, 20)
            assert await asyncio.to_thread(store.end) == 1
    finally:
        go_on.set()
    assert [len(answer.changes) for answer in await asyncio.gather(*asked)] == [1] * 40


async def refusal(
    as_caller: Callable[[Caller], AuditServiceStub], request: pb.ListChangesRequest
) -> str:
    with pytest.raises(aio.AioRpcError) as refused:
        await as_caller(ADMINISTRATOR).ListChanges(request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    return remote_error(refused.value).code
