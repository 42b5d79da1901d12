"""Host names that others have chosen: looked up apart from everybody else, and not kept for ever.

A look-up blocks, for as long as the name servers of whoever owns the name please. In the
event loop's own few threads one operator's would keep those of everybody else waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

KEPT = 60.0  # seconds; the system's resolver does not say for how long an answer holds
AT_ONCE = 64  # a thread each, and as many as there are names at most
EACH = 8  # of these for one asker, whose further names wait


class Names:
    """Looks up names, each by one thread at a time; belongs to one event loop.

    A look-up that nobody waits for any more goes on: the next question finds its answer.
    What was found is kept for `KEPT` seconds, what was not found is not.
    """

    def __init__(
        self,
        look_up: Callable[..., Sequence[Any]] = socket.getaddrinfo,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask `look_up`, which may block; `clock` tells seconds that only ever grow."""
        self._look_up = look_up
        self._clock = clock
        self._found: dict[str, tuple[float, Sequence[IpAddress]]] = {}
        # By name: the first who asked, and what will be answered.
        self._under_way: dict[str, tuple[str, asyncio.Future[Sequence[IpAddress]]]] = {}

    def __len__(self) -> int:
        """Count the names that are kept."""
        return len(self._found)

    async def addresses(self, host: str, asker: str) -> Sequence[IpAddress]:
        """Return where the name leads, the best first; nothing where that cannot be said.

        `asker` is who has chosen the name: one who chooses slow ones keeps only himself
        waiting. Waits without a limit: give it one.
        """
        while True:
            kept_until, found = self._found.get(host, (0.0, ()))
            if self._clock() < kept_until:
                return found
            his = [answer for whose, answer in self._under_way.values() if whose == asker]
            if host in self._under_way or len(his) < EACH:
                break
            await asyncio.wait(his, return_when=asyncio.FIRST_COMPLETED)
        if host not in self._under_way:
            if len(self._under_way) >= AT_ONCE:
                return ()
            self._under_way[host] = asker, self._asked(host)
        _, answer = self._under_way[host]
        return await asyncio.shield(answer)  # others wait for it, too

    def _asked(self, host: str) -> asyncio.Future[Sequence[IpAddress]]:
        answer: asyncio.Future[Sequence[IpAddress]] = asyncio.get_running_loop().create_future()
        # No executor: the process would wait for its threads when it ends, and nobody
        # can make a thread leave the resolver.
        asking = threading.Thread(
            target=self._ask, args=(host, answer), name="host-name", daemon=True
        )
        asking.start()
        return answer

    def _ask(self, host: str, answer: asyncio.Future[Sequence[IpAddress]]) -> None:
        found: Sequence[IpAddress] = ()
        with contextlib.suppress(OSError, ValueError):
            entries = self._look_up(host, None, type=socket.SOCK_STREAM)
            found = tuple(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in entries))
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            answer.get_loop().call_soon_threadsafe(self._answered, host, answer, found)

    def _answered(
        self,
        host: str,
        answer: asyncio.Future[Sequence[IpAddress]],
        found: Sequence[IpAddress],
    ) -> None:
        del self._under_way[host]
        now = self._clock()
        for name in [name for name, (until, _) in self._found.items() if until <= now]:
            del self._found[name]
        if found:
            self._found[host] = now + KEPT, found
        answer.set_result(found)
