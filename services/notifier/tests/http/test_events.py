"""A feed over HTTP: pages behind a cursor, streams, and who may read which (F15, F16)."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from chargekey_common import tokens
from chargekey_common.accounts import Caller
from chargekey_common.published.feed import AuthorisationRequiredSet, sequence_of
from chargekey_common.testing.grpc import Issuer
from chargekey_common.testing.waiting import until
from chargekey_notifier.feeds.store import EVENTS, Entry, Feeds, Telling
from chargekey_notifier.http import events as door_of_events

from .door import ADA, AT, VOLT, WATT, Door, first

REQUIRED = Telling(
    VOLT, "a", AT, AuthorisationRequiredSet(installation_id="home", authorisation_required=True)
)
NONE = '{"events":[],"next":""}'
MALFORMED = [
    ("after=1", "cursor_malformed"),
    ("after=-0000000000000000001", "cursor_malformed"),
    ("after=99999999999999999999", "cursor_malformed"),
    ("after=%D9%A1%D9%A1", "cursor_malformed"),
    ("after=%00", "cursor_malformed"),
    ("after=%ff", "cursor_malformed"),
    ("limit=0", "limit_malformed"),
    ("limit=1001", "limit_malformed"),
    ("limit=-1", "limit_malformed"),
    ("limit=", "limit_malformed"),
    ("limit=1e3", "limit_malformed"),
    ("limit=" + "9" * 5000, "limit_malformed"),
    ("after=&after=", "parameter_unknown"),
    ("access_token=secret", "parameter_unknown"),
    ("before=x", "parameter_unknown"),
    ("partner=", "partner_not_named"),
    ("partner=../volt", "partner_not_named"),
    ("partner=" + "x" * 65, "partner_not_named"),
    ("partner=volt%0a", "partner_not_named"),
]


async def test_pages_follow_a_cursor_from_the_oldest_to_the_end(door: Door) -> None:
    """F15."""
    assert (await door.get("/v1/events")).text == NONE
    await door.tell(*"abcde")
    cursor, found = "", []
    for count in (2, 2, 1, 0):
        page = await door.get(f"/v1/events?after={cursor}&limit=2")
        assert page.headers["content-type"] == "application/json"
        assert page.headers["cache-control"] == "no-store"
        found += page.json()["events"]
        assert len(page.json()["events"]) == count
        cursor = page.json()["next"]
    assert [each["id"] for each in found] == [*"abcde"]
    assert cursor == sequence_of(5) == found[-1]["sequence"]


async def test_a_page_holds_the_documents_own_bytes(door: Door) -> None:
    await door.tell(*"ab")
    page = await door.get("/v1/events")
    one, two = door.documents()
    assert page.content == b'{"events":[%b,%b],"next":"%020d"}' % (one, two, 2)


async def test_a_stream_tells_what_there_is_and_what_comes(door: Door) -> None:
    await door.tell(*"ab")
    async with door.stream() as events:
        [a, b] = await first(events, 2)
        assert [a.data, b.data] == door.documents()
        assert (b.id, b.event) == (sequence_of(2), "AuthorisationRequiredSet")
        for each in "cd":
            await door.tell(each)
            [found] = await first(events, 1)
            assert found.data == door.documents()[-1]


async def test_a_stream_is_woken_by_what_is_told_and_does_not_wait_to_look(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_of_events, "LOOKED_AGAIN", 3600.0)
    async with door.stream() as events:
        for each in "abc":
            await door.tell(each)
            await first(events, 1)


@pytest.mark.parametrize("told_at", [1, 2])
async def test_what_is_told_while_a_stream_looks_is_not_slept_through(
    door: Door, monkeypatch: pytest.MonkeyPatch, told_at: int
) -> None:
    """Told after it has read, and before it waits."""
    monkeypatch.setattr(door_of_events, "LOOKED_AGAIN", 3600.0)
    read, looks = door.feeds.read, []

    def read_and_tell(partner_id: str, *, after: int, limit: int) -> Sequence[Entry]:
        found = read(partner_id, after=after, limit=limit)
        looks.append(found)
        if len(looks) == told_at:
            with door.feeds.telling() as (_, tellings):
                tellings.append(REQUIRED)
        return found

    monkeypatch.setattr(door.feeds, "read", read_and_tell)
    async with door.stream() as events:
        await first(events, 1)


async def test_a_stream_finds_what_another_replica_wrote(
    replicas: tuple[Door, Feeds], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_of_events, "LOOKED_AGAIN", 0.05)
    door, others = replicas
    async with door.stream() as events:

        def told() -> None:
            with others.telling() as (_, tellings):
                tellings.append(REQUIRED)

        await asyncio.to_thread(told)
        [found] = await first(events, 1)
        assert found.id == sequence_of(1)


async def test_a_stream_goes_on_behind_the_last_event_id_or_the_cursor(door: Door) -> None:
    """WHATWG HTML §9.2.4: the header tells what came last; the address is the first one's."""
    await door.tell(*"abc")
    async with door.stream(f"/v1/events/stream?after={sequence_of(2)}") as events:
        assert [each.id for each in await first(events, 1)] == [sequence_of(3)]
    async with door.stream("/v1/events/stream?after=", Last_Event_ID=sequence_of(1)) as events:
        assert [each.id for each in await first(events, 2)] == [sequence_of(2), sequence_of(3)]


async def test_events_asked_for_as_a_stream_are_one(door: Door) -> None:
    await door.tell("a")
    async with door.stream("/v1/events", Accept="text/event-stream") as events:
        await first(events, 1)


async def test_a_long_feed_is_streamed_whole_and_in_order(door: Door) -> None:
    await door.tell(*(f"e{number}" for number in range(1, 351)))
    async with door.stream() as events:
        found = await first(events, 350)
    assert [each.id for each in found] == [sequence_of(number) for number in range(1, 351)]


async def test_a_stream_ends_with_its_token(door: Door) -> None:
    await door.tell("a")
    almost_over = time.time() - tokens.LIFETIME + 1.5
    async with door.stream(now=almost_over) as events:
        async with asyncio.timeout(20):
            assert [each.id async for each in events] == [sequence_of(1)]


async def test_a_silent_stream_shows_that_it_lives(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_of_events, "LOOKED_AGAIN", 0.01)
    monkeypatch.setattr(door_of_events, "HEARTBEAT", 0.05)
    url = f"{door.url}/v1/events/stream"
    async with door.client.stream("GET", url, headers=door.bearer()) as response:
        lines = response.aiter_lines()
        async with asyncio.timeout(20):
            assert [await anext(lines) for _ in range(6)] == ["retry: 1000", "", ":", "", ":", ""]


async def test_a_client_that_does_not_read_is_cut_off_and_counted_no_longer(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than sockets buffer; one page of it at a time is in memory."""
    monkeypatch.setattr(door_of_events, "SLOW", 0.0)
    for start in range(0, 20_000, 5000):
        await door.tell(*(f"e{number}" for number in range(start, start + 5000)))
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", door.http.port))
    reader, writer = await asyncio.open_connection(sock=narrow, limit=64)
    token = door.bearer(now=time.time() - tokens.LIFETIME + 5)["Authorization"]
    request = f"GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n"
    writer.write(request.encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    await until(lambda: not door.events._streams)  # noqa: SLF001 - nobody else is told
    writer.close()


async def test_a_stream_whose_client_has_gone_is_counted_no_longer(door: Door) -> None:
    async with door.stream():
        assert door.events._streams  # noqa: SLF001 - nobody else is told
    await until(lambda: not door.events._streams)  # noqa: SLF001 - nobody else is told


async def test_a_partner_has_so_many_streams_and_another_its_own(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_of_events, "MOST_STREAMS", 2)
    async with AsyncExitStack() as streams:
        for _ in range(2):
            await streams.enter_async_context(door.stream())
        refused = await door.get("/v1/events/stream")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert (await door.get("/v1/events")).status_code == 200
        url = f"{door.url}/v1/events/stream"
        watt = door.bearer(f"partner:{WATT}")
        async with door.client.stream("GET", url, headers=watt) as response:
            assert response.status_code == 200


async def test_streams_end_before_the_server_does(door: Door) -> None:
    async with door.stream() as events:
        door.events.stop()
        async with asyncio.timeout(20):
            assert [each async for each in events] == []
    assert (await door.get("/v1/events/stream")).status_code == 503


async def test_a_caller_asks_so_often_in_a_minute(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door.events._rates, "_most", 2)  # noqa: SLF001 - 600 are many
    assert [(await door.get("/v1/events")).status_code for _ in range(3)] == [200, 200, 429]
    refused = await door.get("/v1/events")
    assert refused.json()["code"] == "too_many_requests"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert (await door.get("/v1/events", f"partner:{WATT}")).status_code == 200


async def test_a_partner_reads_its_own_feed_and_no_other(door: Door) -> None:
    """F16."""
    await door.tell("a")
    await door.tell("secret", partner=WATT)
    for path in ("/v1/events", "/v1/events/stream"):
        refused = await door.get(f"{path}?partner={WATT}")
        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    page = await door.get(f"/v1/events?partner={VOLT}")
    assert [each["id"] for each in page.json()["events"]] == ["a"]
    page = await door.get("/v1/events", f"partner:{WATT}")
    assert [each["id"] for each in page.json()["events"]] == ["secret"]


async def test_a_member_names_the_partner(door: Door) -> None:
    await door.tell("a")
    page = await door.get(f"/v1/events?partner={VOLT}", ADA)
    assert len(page.json()["events"]) == 1
    assert (await door.get("/v1/events", ADA)).json()["code"] == "partner_not_named"
    assert (await door.get(f"/v1/events?partner={WATT}", ADA)).status_code == 403
    assert (await door.get(f"/v1/events?partner={VOLT}", "user:eve")).status_code == 403


async def test_nobody_is_let_in_without_a_token_that_is_good(door: Door) -> None:
    """RFC 6750 §3: the scheme is named, and what is wrong with what was sent."""
    stranger = Issuer().token(Caller(f"partner:{VOLT}"))
    over = door.issuer.token(Caller(f"partner:{VOLT}"), now=time.time() - 3600)
    invalid = 'Bearer error="invalid_token"'
    for sent, challenge in (
        (None, "Bearer"),
        ("Basic dm9sdDpzZWNyZXQ=", "Bearer"),
        ("Bearer", invalid),
        ("Bearer nonsense", invalid),
        (f"Bearer {stranger}", invalid),
        (f"Bearer {over}", invalid),
    ):
        headers = {} if sent is None else {"Authorization": sent}
        refused = await door.client.get(f"{door.url}/v1/events/stream", headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == challenge
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["code"] == "unauthenticated"
        assert "/v1/token" in refused.json()["detail"]


async def test_what_cannot_be_asked_is_refused_by_name(door: Door) -> None:
    for query, code in MALFORMED:
        for path in ("/v1/events", "/v1/events/stream"):
            refused = await door.get(f"{path}?{query}")
            assert refused.status_code == 400, query
            assert refused.headers["content-type"] == "application/problem+json"
            told = refused.json()
            assert (told["code"], told["status"], told["title"]) == (code, 400, "Bad Request")
            assert "secret" not in refused.text
            assert "9999" not in refused.text


async def test_a_cursor_whose_successor_is_kept_no_longer_is_gone(door: Door) -> None:
    """Reading on over a gap would lose events without a word."""
    await door.tell(*"abcd")
    with door.feeds.database.writing() as connection:
        gone = EVENTS.update().where(EVENTS.c.number <= 2)
        connection.execute(gone.values(document=None))
    for path in ("/v1/events", "/v1/events/stream"):
        refused = await door.get(f"{path}?after={sequence_of(1)}")
        assert (refused.status_code, refused.json()["code"]) == (410, "cursor_expired")
    for cursor, left in ((sequence_of(2), 2), ("", 2), (sequence_of(3), 1), (sequence_of(4), 0)):
        page = await door.get(f"/v1/events?after={cursor}")
        assert len(page.json()["events"]) == left
    with door.feeds.database.writing() as connection:
        connection.execute(EVENTS.update().values(document=None))
    assert (await door.get(f"/v1/events?after={sequence_of(3)}")).status_code == 410
    assert (await door.get(f"/v1/events?after={sequence_of(4)}")).json()["events"] == []


async def test_a_cursor_that_the_feed_has_not_come_to_is_no_end_of_it(door: Door) -> None:
    """Whoever waits behind it, since a backup was restored, would miss what comes."""
    for _ in range(2):
        refused = await door.get(f"/v1/events?after={sequence_of(3)}")
        assert (refused.status_code, refused.json()["code"]) == (410, "cursor_ahead")
        await door.tell(*"ab")


async def test_where_the_rules_cannot_be_asked_nothing_is_told(door: Door) -> None:
    refused = await door.get("/v1/events?partner=away")
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert refused.headers["retry-after"] == "1"


async def test_a_database_that_is_away_is_said_so(door: Door) -> None:
    with door.feeds.database.writing() as connection:
        EVENTS.drop(connection)
    refused = await door.get("/v1/events")
    assert (refused.status_code, refused.json()["code"]) == (503, "notifier_unavailable")


async def test_events_can_only_be_read_and_by_no_page_of_others(door: Door) -> None:
    elsewhere = {"Origin": "https://elsewhere.example"}
    answers = [await door.get("/v1/events", **elsewhere)]
    for path in ("/v1/events", "/v1/events/stream"):
        for method in ("HEAD", "POST", "OPTIONS", "DELETE"):
            headers = door.bearer() | elsewhere
            answers.append(await door.client.request(method, door.url + path, headers=headers))
    assert [each.status_code for each in answers] == [200, *[405] * 8]
    for each in answers:
        assert not [name for name in each.headers if name.startswith("access-control-")]


async def test_what_is_at_no_address_is_answered_as_a_problem(door: Door) -> None:
    """F16: with a code, and where an address is not for the method with those that it is for."""
    for method, path, status, code in (
        ("GET", "/", 404, "address_unknown"),
        ("GET", "/v2/events?access_token=s3cret", 404, "address_unknown"),
        ("DELETE", "/v1/events", 405, "method_not_allowed"),
        ("GET", "/v1/token", 405, "method_not_allowed"),
    ):
        refused = await door.client.request(method, door.url + path)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["cache-control"] == "no-store"
        assert ("allow" in refused.headers) == (status == 405)
        assert "s3cret" not in refused.text
