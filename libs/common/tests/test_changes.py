"""What was done about a thing: everything, newest first, in pages, and nothing personal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import grpc
import pytest
import pytest_asyncio
from grpc import aio

from chargekey.audit.v1 import audit_pb2 as pb
from chargekey.audit.v1.audit_pb2_grpc import AuditServiceStub
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.audit import service as audit
from chargekey_common.audit.changes import Changes
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.eventstore.records import DomainEvent, Record
from chargekey_common.eventstore.store import Context, EventStore, Work
from chargekey_common.grpc.client import remote_error
from chargekey_common.pages import token_of
from chargekey_common.published.envelope import PublishedEvent, retold
from chargekey_common.relay import Publication
from chargekey_common.settings import ServiceSettings
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


# Over gRPC.


@pytest_asyncio.fixture
async def as_caller(
    store: EventStore, tmp_path: Path
) -> AsyncIterator[Callable[[Caller], AuditServiceStub]]:
    async def check(caller: Caller, action: str, obj: str) -> None:
        owns = (caller, action, obj) == ("user:ada", "audit.ListChanges", "installation:home")
        if caller != ADMINISTRATOR and not owns:
            raise PermissionDeniedError

    settings = ServiceSettings(
        data=tmp_path,
        nats_url="nats://127.0.0.1:1",
        accounts=tmp_path / "accounts",
        account_key_file=tmp_path / "unused",
    )
    async with served(audit.service(store, publication, settings), tmp_path, check) as channel:
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
    as_caller: Callable[[Caller], AuditServiceStub],
) -> None:
    request = pb.ListChangesRequest(object="user:x", page_size=-1)
    assert await refusal(as_caller, request) == "page_size_malformed"
    for token in ("x", token_of("-1"), token_of("1 "), token_of("9" * 19)):
        request = pb.ListChangesRequest(object="user:x", page_token=token)
        assert await refusal(as_caller, request) == "page_token_malformed"


async def refusal(
    as_caller: Callable[[Caller], AuditServiceStub], request: pb.ListChangesRequest
) -> str:
    with pytest.raises(aio.AioRpcError) as refused:
        await as_caller(ADMINISTRATOR).ListChanges(request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    return remote_error(refused.value).code
