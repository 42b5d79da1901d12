"""Posting feeds to webhooks: each in its own order, at its own pace, until it has taken all."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import ParamSpec, TypeVar

import httpx2
import msgspec
import structlog
from prometheus_client import Counter, Gauge

from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.outgoing import Outgoing, Said, UnsafeAddressError
from chargekey_common.process import cancel, set_within
from chargekey_notifier.errors import WebhookUnknownError
from chargekey_notifier.feeds.store import Entry, Feeds
from chargekey_notifier.webhooks.endpoint import FAILING, GONE, Endpoint
from chargekey_notifier.webhooks.retrying import asked_for, next_attempt
from chargekey_notifier.webhooks.signing import signed
from chargekey_notifier.webhooks.store import Attempt, Webhooks

DEADLINE = 15.0  # seconds for a whole request
LOOK = 2.0  # seconds between looks for what other replicas have done
BATCH = 100  # events read at once
LONGEST_ANSWER = 4096  # bytes; what it says beside its status is nobody's business
FIRST_WAIT = 0.5  # seconds for a database that is away, doubled each time
LONGEST_WAIT = 10.0
DELIVERED = "delivered"
_TAKEN = range(200, 300)
_GONE_STATUS = 410
# RFC 9110 §10.2.3 and RFC 6585 §4: those that may say for how long.
_ASK_TO_WAIT = (429, 503)
_SECOND = 10**9

_ATTEMPTS = Counter("webhook_attempts_total", "Events posted to webhooks.", ["result"])
_DISABLED = Counter("webhooks_disabled_total", "Webhooks that were given up.", ["because"])
_LAG = Gauge("webhook_lag_events", "Events that enabled webhooks have still to take.")

P = ParamSpec("P")
Result = TypeVar("Result")

log = structlog.get_logger()


class _Line:
    """One webhook's own place in what is going on."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.webhook_id = endpoint.id
        self.partner_id = endpoint.partner_id
        self.revision = endpoint.revision
        self.woken = asyncio.Event()
        # Waits for the next attempt: more events change nothing.
        self.resting = False


class WebhookSender:
    """Sends to every enabled webhook, each by a task of its own with one connection at most.

    So what an endpoint costs is bounded, by how many a partner may have, and a slow or dead
    one delays nobody. One replica runs it; for some seconds a lost leader may run beside it,
    and events come twice then.
    """

    def __init__(
        self,
        webhooks: Webhooks,
        feeds: Feeds,
        outgoing: Outgoing,
        *,
        clock: Callable[[], int] = time.time_ns,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`clock` tells nanoseconds since the epoch, `chance` a number from 0 to 1."""
        self._webhooks = webhooks
        self._feeds = feeds
        self._outgoing = outgoing
        self._clock = clock
        self._chance = chance
        self._lines: dict[str, tuple[_Line, asyncio.Task[None]]] = {}
        self._numbers: Mapping[str, int] = {}
        self._commanded = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        webhooks.on_commanded(self._hear_command)
        feeds.on_told(self._hear_telling)

    def _hear_command(self) -> None:
        self._loop.call_soon_threadsafe(self._commanded.set)

    def _hear_telling(self, partners: AbstractSet[str]) -> None:
        self._loop.call_soon_threadsafe(self._wake, partners)

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._commanded.clear()
                    await self._look(tasks)
                    await set_within(self._commanded, LOOK)
        finally:
            self._lines.clear()

    async def _look(self, tasks: asyncio.TaskGroup) -> None:
        """Begin with those that are enabled by now, and end with those that are not."""
        enabled = {each.id: each for each in await _until_there(self._webhooks.enabled)}
        for webhook_id, (_, task) in list(self._lines.items()):
            if webhook_id not in enabled or task.done():
                await cancel(task)
                del self._lines[webhook_id]
        for webhook_id, endpoint in enabled.items():
            if webhook_id not in self._lines:
                line = _Line(endpoint)
                task = tasks.create_task(self._deliver(line))
                # It may have been enabled again just then.
                task.add_done_callback(lambda _: self._commanded.set())
                self._lines[webhook_id] = line, task
            else:
                line, _ = self._lines[webhook_id]
                if line.revision != endpoint.revision:
                    line.revision = endpoint.revision
                    line.woken.set()
        numbers = await _until_there(self._feeds.numbers)
        self._wake({each for each, number in numbers.items() if self._numbers.get(each) != number})
        self._numbers = numbers
        _LAG.set(
            sum(
                max(numbers.get(each.partner_id, 0) - each.delivered, 0)
                for each in enabled.values()
            )
        )

    def _wake(self, partners: AbstractSet[str]) -> None:
        """Tell whose feed has grown."""
        for line, _ in self._lines.values():
            if line.partner_id in partners and not line.resting:
                line.woken.set()

    async def _deliver(self, line: _Line) -> None:
        """Send what there is and what comes; ends where the webhook is disabled or removed."""
        while True:
            line.woken.clear()
            try:
                endpoint = await _until_there(self._webhooks.endpoint, line.webhook_id)
            except WebhookUnknownError:
                return
            if endpoint.disabled_because is not None:
                return
            rest = (endpoint.next_attempt_at or 0) - self._clock()
            if rest > 0:
                line.resting = True
                await set_within(line.woken, rest / _SECOND)
                line.resting = False
            elif not await self._send(endpoint):
                await line.woken.wait()

    async def _send(self, endpoint: Endpoint) -> bool:
        """Send some of what comes next, until one is not taken; False where there is nothing."""
        entries = await _until_there(
            self._feeds.read, endpoint.partner_id, after=endpoint.delivered, limit=BATCH
        )
        for entry in entries:
            if endpoint.wants(entry.event):
                moved = await self._send_one(endpoint, entry)
                if moved is None:
                    return True
                endpoint = moved
        if entries and endpoint.delivered < entries[-1].number:  # not wanted
            await _until_there(self._webhooks.delivered, endpoint, entries[-1].number)
        return bool(entries)

    async def _send_one(self, endpoint: Endpoint, entry: Entry) -> Endpoint | None:
        """Send one event; return the webhook behind it, None where the next may not follow."""
        at, begun = self._clock(), time.monotonic()
        said, result = await self._post(endpoint, entry, at)
        attempt = Attempt(
            sequence=entry.number,
            event_id=entry.id,
            event=entry.event,
            at=at,
            took_ms=int((time.monotonic() - begun) * 1000),
            result=result,
        )
        _ATTEMPTS.labels(_kind(result)).inc()
        if result != DELIVERED:
            await self._not_taken(endpoint, attempt, said)
            return None
        # A crash just here sends it again, under the same id.
        if not await _until_there(self._webhooks.delivered, endpoint, entry.number, attempt):
            return None
        return msgspec.structs.replace(
            endpoint, delivered=entry.number, failures=0, failing_since=None
        )

    async def _post(self, endpoint: Endpoint, entry: Entry, at: int) -> tuple[Said | None, str]:
        """Return what the endpoint said, if anything, and what that comes to."""
        secrets = self._webhooks.secrets(endpoint)
        if not secrets:
            return None, "secret_unreadable"
        try:
            async with asyncio.timeout(DEADLINE):
                request = signed(endpoint.url, entry, secrets, now=at)
                said = await self._outgoing.send(
                    request, asker=endpoint.partner_id, longest=LONGEST_ANSWER
                )
        except (TimeoutError, httpx2.TimeoutException):
            return None, "timeout"
        except UnsafeAddressError:
            return None, "unsafe_address"
        except (httpx2.HTTPError, httpx2.InvalidURL):
            return None, "connection"
        return said, DELIVERED if said.status in _TAKEN else f"http_{said.status}"

    async def _not_taken(self, endpoint: Endpoint, attempt: Attempt, said: Said | None) -> None:
        """Let it be tried again later, or give it up."""
        now = self._clock()
        since = attempt.at if endpoint.failing_since is None else endpoint.failing_since
        asked = said.retry_after if said is not None and said.status in _ASK_TO_WAIT else None
        again = next_attempt(
            endpoint.failures + 1,
            failing_since=since,
            now=now,
            chance=self._chance(),
            not_before=asked_for(asked, now=now),
        )
        gone = said is not None and said.status == _GONE_STATUS
        if again is not None and not gone:
            await _until_there(
                self._webhooks.failed, endpoint, attempt, since=since, next_attempt_at=again
            )
            return
        because = GONE if gone else FAILING
        if await _until_there(self._webhooks.disable, endpoint, attempt, because, since=since):
            _DISABLED.labels(because).inc()
            log.warning("webhook_disabled", webhook=endpoint.id, because=because)


def _kind(result: str) -> str:
    """Return a result for the metric: others choose statuses, and there are many."""
    return f"{result[:6]}xx" if result.startswith("http_") else result


async def _until_there(call: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Ask a database, again and again while it is away: what was sent is not sent for that."""
    wait = FIRST_WAIT
    while True:
        try:
            return await asyncio.to_thread(call, *args, **kwargs)
        except DatabaseUnavailableError as error:
            log.warning("webhooks_database_away", again_in=wait, error=str(error))
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)
