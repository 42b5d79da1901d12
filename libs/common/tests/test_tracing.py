"""Traces: off unless wanted, stored with what was done, and linked where it is read."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest
from nats.aio.client import Client
from opentelemetry.context import Context as TraceContext
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, use_span

from chargekey_common import tracing
from chargekey_common.audit.comparison import Comparison
from chargekey_common.eventstore.store import Context, EventStore
from chargekey_common.follower import Follower, Message
from chargekey_common.process import cancel
from chargekey_common.relay import Relay, record_hash
from chargekey_common.telemetry import LAST_TRACES
from chargekey_common.testing.collector import Collector, collecting
from chargekey_common.testing.waiting import until
from chargekey_common.trace_sampling import LinkedSampler

from .agreement import agree, events, running, stream
from .shelves import Shelves, publication

OpenStore = Callable[..., EventStore]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Collect what this process tells."""
    with collecting() as running_one:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running_one.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        end = tracing.begin("shelves", "1")
        yield running_one
        end(LAST_TRACES)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_traces_are_told_where_the_environment_names_a_collector(
    environment: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert tracing.wanted() is wanted


def test_a_protocol_that_is_not_spoken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(tracing.ProtocolUnknownError, match="http/protobuf"):
        tracing.begin("shelves", "1")


def test_without_a_trace_a_record_is_stored_byte_for_byte_as_before_there_were_any(
    open_store: OpenStore,
) -> None:
    """Its hash tells whether the stream's message is of this record: those of old stay valid."""
    shelves = Shelves(open_store())
    shelves.label(Context("me", "c"), shelf_id="s", label="x")
    [(_, record, row)] = shelves.store.read(0, 1)
    assert not record.trace
    assert row.state == (b'{"at":%d,"cause":"c","actor":"me","event":{"label":"x"}}' % record.at)


async def test_what_a_request_records_carries_its_trace_to_who_publishes_and_who_reads(
    collector: Collector, nats_client: Client, open_store: OpenStore
) -> None:
    shelves = Shelves(open_store())
    span = tracing.request("label a shelf")
    with use_span(span, end_on_exit=True):
        carried = tracing.current()
        await asyncio.to_thread(shelves.label, Context("me", "c"), shelf_id="s", label="x")
    shelves.label(Context("me", "d"), shelf_id="s", label="nobody traces this one")
    [(_, first, row), (_, second, _)] = shelves.store.read(0, 2)
    assert (first.trace, second.trace) == (carried, "")

    async with running(Relay(nats_client, shelves.store, publication)):
        await agree(nats_client, shelves.store)
        messages = await events(nats_client)
        assert [message.headers.get("traceparent") for message in messages] == [carried, None]
        assert messages[0].headers["Chargekey-Record"] == record_hash(row)

        comparison = Comparison(shelves.store, publication)
        told = await stream(nats_client)
        comparison.take([Message(each.subject, each.seq, each.data, each.headers) for each in told])
        assert comparison.finish() == 0, "the audit makes the same header"

        async def handle(_: object) -> None:
            pass

        follower = Follower(nats_client, "SHELVES", handle)
        following = asyncio.create_task(follower.run())
        await follower.caught_up.wait()
        with use_span(later := tracing.request("label another"), end_on_exit=True):
            await asyncio.to_thread(shelves.label, Context("me", "e"), shelf_id="t", label="y")
        # Whoever exports may have lost another test's collector, and rests before it asks again.
        await until(lambda: collector.find("shelves", "read SHELVES"), within=80)
        await until(lambda: len(collector.find("shelves", "publish SHELVES")) == 2)
        await cancel(following)

    # Its private message and its event are read together, or one after the other.
    read = collector.find("shelves", "read SHELVES")
    assert len(read) <= 2
    assert {each.after for each in read} == {(f"{later.get_span_context().span_id:016x}",)}, (
        "live, and not read again"
    )
    published = collector.find("shelves", "publish SHELVES")
    assert [each.after for each in published] == [
        (f"{span.get_span_context().span_id:016x}",),
        (f"{later.get_span_context().span_id:016x}",),
    ]
    assert {each.kind for each in published} == {"PRODUCER"}


def test_a_row_of_a_version_without_traces_is_read(open_store: OpenStore) -> None:
    shelves = Shelves(open_store())
    shelves.label(Context("me", "c"), shelf_id="s", label="x")
    [(_, record, row)] = shelves.store.read(0, 1)
    fields = msgspec.json.decode(row.state)
    assert "trace" not in fields
    assert shelves.store.record(row) == record


@pytest.mark.parametrize(
    ("other", "flags", "sampled"),
    [
        (ALWAYS_OFF, TraceFlags.SAMPLED, True),
        (ALWAYS_OFF, TraceFlags.DEFAULT, False),
        (ALWAYS_ON, TraceFlags.DEFAULT, True),
    ],
)
def test_what_follows_from_a_sampled_trace_is_sampled(
    other: Sampler, flags: int, sampled: bool
) -> None:
    cause = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(flags))
    decided = LinkedSampler(other).should_sample(
        TraceContext(), 3, "read", SpanKind.CONSUMER, links=[Link(cause)]
    )
    assert decided.decision.is_sampled() is sampled


def test_nothing_is_told_of_what_follows_from_nothing(collector: Collector) -> None:
    with tracing.after("read SHELVES", SpanKind.CONSUMER, ["", "", "no traceparent"]):
        assert not tracing.current()
    assert not collector.spans


async def test_what_an_exception_says_is_not_told(collector: Collector) -> None:
    def fail() -> None:
        with tracing.after("read", SpanKind.CONSUMER, [f"00-{'ab' * 16}-{'cd' * 8}-01"]):
            raise ValueError("#2468")  # noqa: EM101 - as many do

    with pytest.raises(ValueError, match="#2468"):
        fail()
    # As above: whoever exports may be resting.
    await until(lambda: collector.spans, within=80)
    assert collector.spans[0].failed
    assert b"#2468" not in collector.raw


LIVE = """
import time
from opentelemetry.trace import use_span
from chargekey_common import process, tracing
from chargekey_common.telemetry import observe
async def start(lifetime):
    print(time.monotonic(), flush=True)
    observe(lifetime, "example", "INFO")
    with use_span(tracing.request("work"), end_on_exit=True):
        pass
    lifetime.stop()
process.run(start)
"""


def test_a_collector_that_does_not_answer_holds_up_no_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ended = subprocess.run(
            [sys.executable, "-c", LIVE],
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint},
            stdout=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    assert ended.returncode == 0
    # By its own word, on the machine's clock: what it imports takes its time before.
    assert time.monotonic() - float(ended.stdout) < 4 * LAST_TRACES


def test_the_last_traces_are_told_at_the_end() -> None:
    patient = "from chargekey_common import telemetry; telemetry.LAST_TRACES = 60"
    with collecting() as collector:
        subprocess.run(
            [sys.executable, "-c", patient + LIVE],
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url},
            check=True,
            timeout=60,
        )
        [span] = collector.find("example", "work")
    assert (span.kind, span.failed) == ("SERVER", False)
