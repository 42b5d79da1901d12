"""Calls by gRPC as cheap as they can be made: frames of HTTP/2 written and counted, not understood.

A client of the library takes as long for a call as a server does, and would be what is measured.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import cast

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_INITIAL_WINDOW_SIZE = 4
_LARGEST_WINDOW = 2**31 - 1
_DEFAULT_WINDOW = 65_535
_LARGEST_FRAME = 16_384
_FRAME = 9
_MESSAGE = 5
# RFC 7541: `:method: POST` and `:scheme: http` of the static table, behind which ours begins.
_POST, _HTTP, _FIRST_OWN = 0x83, 0x86, 62
_LITERAL_INDEXED = 0x40


class RefusedError(Exception):
    """A call did not end with the one good answer that it is to have."""


class Calls(asyncio.Protocol):
    """One connection, on which as many calls, or messages of one call, are under way as wanted.

    `good` says of an answer's bytes whether that is what was to be answered.
    """

    def __init__(
        self, path: str, metadata: Mapping[str, str], good: Callable[[bytes], bool]
    ) -> None:
        self._path = path
        self._metadata = metadata
        self._good = good
        self._transport: asyncio.Transport
        self._received = bytearray()
        self._bodies: dict[int, bytearray] = {}
        self._stream = -1
        self._again = b""
        self._payloads: Iterator[bytes] = iter(())
        self._left = 0
        self._chat = 0
        self._done: asyncio.Future[None]

    async def connect(self, host: str, port: int) -> None:
        """Connect, before anything else."""
        loop = asyncio.get_running_loop()
        self._done = loop.create_future()
        await loop.create_connection(lambda: self, host, port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello, and that any number of bytes may come."""
        self._transport = cast("asyncio.Transport", transport)
        settings = struct.pack(">HI", _INITIAL_WINDOW_SIZE, _LARGEST_WINDOW)
        more = struct.pack(">I", _LARGEST_WINDOW - _DEFAULT_WINDOW)
        self._transport.write(
            _PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW_UPDATE, 0, 0, more)
        )

    async def rate(self, requests: Sequence[bytes], number: int, under_way: int) -> float:
        """Make `number` calls with these requests by turns; return how many end a second."""
        self._begin(requests, number)
        began = perf_counter()
        self._transport.write(b"".join(self._call() for _ in range(under_way)))
        await self._done
        return number / (perf_counter() - began)

    async def chat(self, requests: Sequence[bytes], number: int, under_way: int) -> float:
        """Ask `number` of these by turns in one call; return how many are answered a second."""
        self._begin(requests, number)
        began = perf_counter()
        self._stream += 2
        self._chat = self._stream
        self._bodies[self._chat] = bytearray()
        opened = _frame(_HEADERS, _END_HEADERS, self._chat, self._headers())
        asked = (self._data(next(self._payloads), self._chat, 0) for _ in range(under_way))
        self._transport.write(opened + b"".join(asked))
        await self._done
        took = perf_counter() - began
        self._transport.write(_frame(_DATA, _END_STREAM, self._chat, b""))
        self._chat = 0
        return number / took

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Fail whoever waits."""
        self._fail("the connection is lost", error)

    def data_received(self, data: bytes) -> None:
        """Count answers, and ask on."""
        received = self._received
        received += data
        at, end = 0, len(received)
        out: list[bytes] = []
        while end - at >= _FRAME:
            length = int.from_bytes(received[at : at + 3], "big")
            if end - at < _FRAME + length:
                break
            kind, flags = received[at + 3], received[at + 4]
            stream = int.from_bytes(received[at + 5 : at + _FRAME], "big")
            at += _FRAME + length
            out += self._frame(kind, flags, stream, received[at - length : at])
        del received[:at]
        if out:
            self._transport.write(b"".join(out))

    def _frame(self, kind: int, flags: int, stream: int, payload: bytearray) -> Iterable[bytes]:
        """Return what is said next."""
        if kind == _DATA and stream in self._bodies:
            body = self._bodies[stream]
            body += payload
            return self._heard(body) if stream == self._chat else ()
        if kind == _HEADERS and flags & _END_STREAM and stream in self._bodies:
            return self._ended(stream)
        if kind in {_RST_STREAM, _GOAWAY}:
            self._fail(f"frame {kind}: {bytes(payload)!r}")
        elif kind in {_SETTINGS, _PING} and not flags & _ACK:
            return (_frame(kind, _ACK, 0, bytes(payload) if kind == _PING else b""),)
        return ()

    def _begin(self, requests: Sequence[bytes], number: int) -> None:
        self._left = number
        self._payloads = (requests[each % len(requests)] for each in range(number))
        self._done = asyncio.get_running_loop().create_future()

    def _call(self) -> bytes:
        payload = next(self._payloads, None)
        if payload is None:
            return b""
        self._stream += 2
        self._bodies[self._stream] = bytearray()
        opened = _frame(_HEADERS, _END_HEADERS, self._stream, self._headers())
        return opened + self._data(payload, self._stream, _END_STREAM)

    def _data(self, payload: bytes, stream: int, flags: int) -> bytes:
        message = struct.pack(">BI", 0, len(payload)) + payload
        if len(message) <= _LARGEST_FRAME:
            return _frame(_DATA, flags, stream, message)
        parts = [message[at : at + _LARGEST_FRAME] for at in range(0, len(message), _LARGEST_FRAME)]
        *first, last = parts
        return b"".join(_frame(_DATA, 0, stream, each) for each in first) + _frame(
            _DATA, flags, stream, last
        )

    def _headers(self) -> bytes:
        """Return a call's headers: at first in words, then by their numbers, as clients do."""
        if self._again:
            return self._again
        named = {":path": self._path, ":authority": "localhost", "te": "trailers"}
        named |= {"content-type": "application/grpc", "grpc-timeout": "30S", **self._metadata}
        last = _FIRST_OWN + len(named) - 1
        known = bytes([_POST, _HTTP])
        self._again = known + bytes(0x80 | last - number for number in range(len(named)))
        return known + b"".join(
            bytes([_LITERAL_INDEXED]) + _text(name) + _text(value) for name, value in named.items()
        )

    def _heard(self, body: bytearray) -> Iterator[bytes]:
        """Take whole messages of the one call; yield what is asked next."""
        while len(body) >= _MESSAGE:
            length = _MESSAGE + int.from_bytes(body[1:_MESSAGE], "big")
            if len(body) < length:
                return
            self._count(bytes(body[_MESSAGE:length]))
            del body[:length]
            payload = next(self._payloads, None)
            if payload is not None:
                yield self._data(payload, self._chat, 0)

    def _ended(self, stream: int) -> Iterator[bytes]:
        body = self._bodies.pop(stream)
        if stream == self._chat:
            self._fail("the call with many questions ended")
        else:
            self._count(bytes(body[_MESSAGE:]))
            yield self._call()

    def _count(self, answer: bytes) -> None:
        if not self._good(answer):
            self._fail(f"this was answered: {answer!r}")
        self._left -= 1
        if not self._left and not self._done.done():
            self._done.set_result(None)

    def _fail(self, what: str, error: Exception | None = None) -> None:
        if not self._done.done():
            refused = RefusedError(what)
            refused.__cause__ = error
            self._done.set_exception(refused)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


def _text(text: str) -> bytes:
    data = text.encode()
    if len(data) < 0x7F:
        return bytes([len(data)]) + data
    # RFC 7541, 5.1: an integer of 7 bits and what is left, 7 bits a byte.
    left, length = len(data) - 0x7F, bytearray([0x7F])
    while left >= 0x80:
        length.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes(length) + bytes([left]) + data
