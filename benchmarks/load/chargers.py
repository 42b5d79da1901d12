"""Chargers as load, as many as wanted: raw sockets and epoll, so that servers are what is slow.

What is said is put together beforehand. Of an answer to Authorize only the length is looked
at, which another verdict does not have; whatever is as long as nothing known is read in full.
"""

from __future__ import annotations

import select
import socket as sockets
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Self

import msgspec

from benchmarks.load.people import PEOPLE, authorization, cards

# As long as those of real chargers: UUIDs.
_ID = "0b5a8a34-6f0c-4d3e-9a57-0c7e1d2f{:04x}"
GROUP = "G-ABCDEFGHIJKLMNOPQR"
_ANSWER = f'[3,"{_ID.format(0)}",{{"idTagInfo":{{"status":"Accepted","parentIdTag":"{GROUP}"}}}}]'
# Of a frame that says that somebody may charge, as the gateway writes it.
ANSWER_SIZE = 2 + len(_ANSWER)
_READ = 4096
_WITHIN = 60.0  # seconds for all to connect, and for whatever is outstanding
_AT_ONCE = 64  # connections begun between two looks at those that are there
_MASK = 0x5AA53CC3
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


def _frame(opcode: int, payload: bytes) -> bytes:
    """Return a frame as clients send it: masked."""
    size = len(payload)
    words = -(-size // 4)
    mask = _MASK.to_bytes(4)
    padded = int.from_bytes(payload.ljust(words * 4, b"\0")) ^ int.from_bytes(mask * words)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2)
    return bytes((0x80 | opcode,)) + length + mask + padded.to_bytes(words * 4)[:size]


_BOOT = _frame(
    _TEXT,
    b'[2,"boot","BootNotification",'
    b'{"chargePointVendor":"Figures","chargePointModel":"One","firmwareVersion":"1.0"}]',
)


def _taps(charger: int) -> Sequence[bytes]:
    """Return an Authorize for each card of those who may charge there."""
    return [
        _frame(_TEXT, f'[2,"{_ID.format(number)}","Authorize",{{"idTag":"{card}"}}]'.encode())
        for number, card in enumerate(cards(charger))
    ]


class Taps(msgspec.Struct, frozen=True):
    """So many were answered in so many seconds; `busy` is the share in which the load had work."""

    number: int
    seconds: float
    busy: float


class _Line:
    """A charger's connection; what it has `heard` is not a whole frame yet."""

    __slots__ = ("heard", "is_in", "number", "socket", "upgraded")

    def __init__(self, number: int) -> None:
        self.number = number
        self.socket = sockets.socket()
        self.socket.settimeout(0)
        self.socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        self.heard = b""
        self.upgraded = False
        self.is_in = False


class Chargers:
    """Chargers of a population that boot and tap, or connections that are greeted and echoed."""

    def __init__(self, port: int, number: int, *, speak: bool = True) -> None:
        """Have `number` of them, which `speak` OCPP or just send as many bytes."""
        self._port = port
        self._speak = speak
        self._epoll = select.epoll()
        self._lines = {line.socket.fileno(): line for line in map(_Line, range(number))}
        self._answered = 0
        self.failed = 0
        self._taps = {fd: cycle(_taps(line.number)) for fd, line in self._lines.items()}

    def __enter__(self) -> Self:
        """Return them, not connected yet."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Have all of them go."""
        for line in self._lines.values():
            line.socket.close()
        self._epoll.close()

    def connect(self) -> float:
        """Connect all at once; return after how many seconds the last is in or has `failed`.

        One that is in has booted, with its boot answered; or is greeted.
        """
        requests = {
            fd: _upgrade(self._port, line.number) if self._speak else b""
            for fd, line in self._lines.items()
        }
        to_begin = iter(tuple(self._lines))
        connecting: set[int] = set()
        began = time.perf_counter()
        everybody = len(self._lines)
        settled = 0
        while settled < everybody and time.perf_counter() < began + _WITHIN:
            for _, fd in zip(range(_AT_ONCE), to_begin, strict=False):
                self._lines[fd].socket.connect_ex(("127.0.0.1", self._port))
                self._epoll.register(fd, select.EPOLLOUT)
                connecting.add(fd)
            for fd, _ in self._epoll.poll(0.001):
                if fd in connecting:
                    connecting.remove(fd)
                    self._epoll.modify(fd, select.EPOLLIN)
                    if self._lines[fd].socket.getsockopt(sockets.SOL_SOCKET, sockets.SO_ERROR):
                        self._gone(fd)
                    elif self._speak:
                        self._lines[fd].socket.send(requests[fd])
                else:
                    self._hear(fd)
            settled = self.failed + self._in
        took = time.perf_counter() - began
        self.failed += everybody - settled
        return took

    _in = 0

    def listen(self, seconds: float) -> None:
        """Say nothing but what is asked for."""
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            for fd, _ in self._epoll.poll(left):
                self._hear(fd)

    def tap(self, seconds: float) -> Taps:
        """Have each tap again as soon as it is answered.

        This never sleeps: a server would pay for waking it, the more the longer it takes itself.
        """
        lines = self._for_taps()
        poll, clock = self._epoll.poll, time.perf_counter
        for _, send, following in lines.values():
            send(following())
        answered = 0
        idle = 0.0
        began = now = clock()
        until = began + seconds
        while now < until:
            ready = poll(0)
            before, now = now, clock()
            if not ready:
                idle += now - before
                continue
            for fd, _ in ready:
                read, send, following = lines[fd]
                data = read(_READ)
                if len(data) != ANSWER_SIZE and not self._answers(fd, data):
                    continue
                answered += 1
                send(following())
            now = clock()
        took = now - began
        self._wait_for(len(lines))
        return Taps(answered, took, 1 - idle / took)

    def tap_at(self, rate: float, seconds: float) -> Sequence[float]:
        """Have them tap by turns, `rate` in a second, whatever the answers take.

        Return how many seconds each took from when it was due, in order.
        """
        lines = self._for_taps()
        poll, clock = self._epoll.poll, time.perf_counter
        turns = cycle(lines.items())
        due: dict[int, float] = {}
        took: list[float] = []
        until = clock() + seconds
        following = clock()
        while True:
            now = clock()
            if now >= until and (not due or now > until + _WITHIN):
                break
            while following <= now and following < until and len(due) < len(lines):
                fd, (_, send, tap) = next(turns)
                if fd not in due:  # else the charger waits, and asks once it knows
                    send(tap())
                    due[fd] = following
                    following += 1 / rate
            for fd, _ in poll(0):
                data = lines[fd][0](_READ)
                if len(data) == ANSWER_SIZE or self._answers(fd, data):
                    took.append(clock() - due.pop(fd))
        return sorted(took)

    def _for_taps(
        self,
    ) -> dict[int, tuple[Callable[[int], bytes], Callable[[bytes], int], Callable[[], bytes]]]:
        return {
            fd: (line.socket.recv, line.socket.send, self._taps[fd].__next__)
            for fd, line in self._lines.items()
        }

    def _wait_for(self, outstanding: int) -> None:
        until = time.perf_counter() + _WITHIN
        while outstanding and time.perf_counter() < until:
            for fd, _ in self._epoll.poll(1.0):
                data = self._lines[fd].socket.recv(_READ)
                if len(data) == ANSWER_SIZE or self._answers(fd, data):
                    outstanding -= 1

    def _answers(self, fd: int, data: bytes) -> bool:
        """Take what is not as long as an answer; whether somebody may charge by it."""
        before = self._answered
        self._take(fd, data)
        return self._answered > before

    def _hear(self, fd: int) -> None:
        try:
            data = self._lines[fd].socket.recv(_READ)
        except OSError:
            data = b""
        self._take(fd, data)

    def _take(self, fd: int, data: bytes) -> None:
        line = self._lines[fd]
        if not data:
            self._gone(fd)
        elif not self._speak:
            self._enter(line)
        elif line.upgraded:
            self._take_frames(fd, line, line.heard + data)
        else:
            head, whole, rest = (line.heard + data).partition(b"\r\n\r\n")
            if not whole:
                line.heard = head
            elif b" 101 " in head:
                line.upgraded = True
                line.socket.send(_BOOT)
                self._take_frames(fd, line, rest)
            else:
                self._gone(fd)

    def _take_frames(self, fd: int, line: _Line, heard: bytes) -> None:
        for opcode, payload, rest in _frames(heard):
            heard = rest
            if opcode == _PING:
                line.socket.send(_frame(_PONG, payload))
            elif opcode == _CLOSE:
                self._gone(fd)
                return
            elif payload.startswith(b"[2"):
                line.socket.send(_frame(_TEXT, _answer(payload)))
            elif payload.startswith(b'[3,"boot"'):
                self._enter(line)
            elif b'"Accepted"' in payload:
                self._answered += 1
            else:
                message = f"somebody may not charge: {payload!r}"
                raise AssertionError(message)
        line.heard = heard

    def _enter(self, line: _Line) -> None:
        if not line.is_in:
            line.is_in = True
            self._in += 1

    def _gone(self, fd: int) -> None:
        line = self._lines.pop(fd)
        self._epoll.unregister(fd)
        line.socket.close()
        self.failed += 1
        self._in -= line.is_in


def _answer(call: bytes) -> bytes:
    """Return what a simple charger says: it takes settings, and knows of nothing else."""
    _, message_id, _, action, *_ = call.split(b'"')
    if action in {b"ChangeConfiguration", b"ClearCache"}:
        return b'[3,"%b",{"status":"Accepted"}]' % message_id
    return b'[4,"%b","NotImplemented","",{}]' % message_id


def _upgrade(port: int, charger: int) -> bytes:
    return (
        f"GET /ocpp/{PEOPLE.ocpp_identity(charger)} HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{port}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Protocol: ocpp1.6\r\n"
        f"Authorization: {authorization(charger)}\r\n\r\n"
    ).encode()


def _frames(heard: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield opcode and payload of each whole frame, and what follows it."""
    while len(heard) >= 2:
        size, start = heard[1], 2
        if size == 126:
            size, start = int.from_bytes(heard[2:4]), 4
        if len(heard) < start + size:
            return
        opcode, payload, heard = heard[0] & 15, heard[start : start + size], heard[start + size :]
        yield opcode, payload, heard
