from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from chargekey_stack.errors import PortTakenError
from chargekey_stack.ports import HOST, Ports


async def test_a_process_serves_on_a_reserved_port_again_and_again() -> None:
    with contextlib.closing(Ports()) as ports:
        port = ports.reserve()
        for _ in range(2):
            accepted = asyncio.Event()

            def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                accepted.set()  # noqa: B023 - this round's
                writer.close()

            server = await asyncio.start_server(accept, HOST, port, reuse_port=True)
            _, writer = await asyncio.open_connection(HOST, port)
            async with asyncio.timeout(30):
                await accepted.wait()
            writer.close()
            server.close()
            await server.wait_closed()


def test_a_port_that_somebody_listens_on_is_refused_even_if_he_would_share() -> None:
    with socket.socket() as taken, contextlib.closing(Ports()) as ports:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind((HOST, 0))
        taken.listen()
        with pytest.raises(PortTakenError):
            ports.reserve(taken.getsockname()[1])


def test_a_port_that_another_system_has_reserved_is_refused() -> None:
    with contextlib.closing(Ports()) as theirs, contextlib.closing(Ports()) as ours:
        port = theirs.reserve()
        with pytest.raises(PortTakenError):
            ours.reserve(port)


def test_reserved_ports_differ_and_are_free_again_afterwards() -> None:
    with contextlib.closing(Ports()) as ports:
        reserved = [ports.reserve() for _ in range(20)]
        assert len(set(reserved)) == 20
    with contextlib.closing(Ports()) as ports:
        assert ports.reserve(reserved[0]) == reserved[0]
