"""What a charger answers is shown in its own words, by every command that asks one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from grpc import aio

from chargekey.access.v1 import chargers_pb2
from chargekey.gateway.v1 import commands_pb2 as pb
from chargekey.gateway.v1 import commands_pb2_grpc
from chargekey_stack.answers import Answer
from chargekey_stack.client import connected
from chargekey_stack.commands import charger_commands as commands
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.errors import CommandRefusedError

from .announced import announced

Command = Callable[..., Awaitable[Answer]]
HERE: dict[str, Any] = {"charger": "CP-1"}
COMMANDS: list[tuple[Command, dict[str, Any]]] = [
    (commands.start, HERE),
    (commands.stop, {"session": "9b2e"}),
    (commands.reset, HERE),
    (commands.unlock, HERE),
    (commands.availability, {**HERE, "state": "off"}),
    (commands.trigger, {**HERE, "message": "Heartbeat"}),
    (commands.clear_cache, HERE),
    (commands.settings_set, {**HERE, "name": "A", "value": "1"}),
]
# The answer to one is settings or a payload; and two tell the charger nothing.
OTHERS = {"settings show", "send", "end-session", "disconnect"}
each_command = pytest.mark.parametrize(
    ("command", "given"), COMMANDS, ids=lambda each: getattr(each, "__name__", "")
)


class Gateway:
    """Answers every command alike."""

    def __init__(self, outcome: str, status: str) -> None:
        self._outcome = pb.CommandOutcome(outcome=outcome, status=status)

    def __getattr__(self, method: str) -> Any:
        async def answer(_: Any) -> Any:
            return getattr(pb, f"{method}Response")(outcome=self._outcome)

        return answer


def client(outcome: str, status: str) -> Any:
    async def charger(_: str) -> chargers_pb2.Charger:
        return chargers_pb2.Charger(id="garage")

    return SimpleNamespace(charger=charger, charger_commands=Gateway(outcome, status))


def test_there_is_no_other_command_that_asks_a_charger() -> None:
    named = {each.name for each in commands.app.registered_commands}
    named |= {f"settings {each.name}" for each in commands.settings.registered_commands}
    tried = {command.__name__.replace("_", "-") for command, _ in COMMANDS}
    assert {each.replace(" ", "-") for each in named - OTHERS} == tried


@each_command
async def test_what_it_does_is_told_with_its_word(command: Command, given: dict[str, Any]) -> None:
    for outcome in ("accepted", "reboot_required"):
        answer = await command(client(outcome, "Word"), **given)
        assert answer.document == {"outcome": outcome, "status": "Word"}


@each_command
@pytest.mark.parametrize("outcome", ["rejected", "not_supported", "refused"])
async def test_what_it_does_not_do_is_an_error_that_ends_in_its_word(
    command: Command, given: dict[str, Any], outcome: str
) -> None:
    asked = client(outcome, "UnlockFailed")
    if command is commands.clear_cache and outcome == "rejected":  # so says who has none
        assert (await command(asked, **given)).document["status"] == "UnlockFailed"
        return
    with pytest.raises(CommandRefusedError, match=r"It answered: UnlockFailed$"):
        await command(asked, **given)


@each_command
async def test_what_it_answers_without_a_word_is_told_by_what_it_comes_to(
    command: Command, given: dict[str, Any]
) -> None:
    with pytest.raises(CommandRefusedError, match=r"It answered: malformed$"):
        await command(client("malformed", ""), **given)


@pytest.mark.parametrize(
    ("outcome", "status", "said"),
    [
        ("refused", "NotSupported", ": refused, NotSupported."),
        ("rejected", "Faulted", ": rejected."),
    ],
)
async def test_any_other_action_shows_what_was_answered_whatever_it_was(
    outcome: str, status: str, said: str
) -> None:
    answer = await commands.send(
        client(outcome, status), charger="CP-1", action="Reset", payload="{}"
    )
    assert answer.document == {"outcome": outcome, "status": status, "answer": {}}
    assert answer.sentence == f"CP-1{said}"


class PatientGateway(commands_pb2_grpc.ChargerCommandServiceServicer):
    """Remembers for how long it was asked."""

    seconds = 0.0

    async def ClearCache(
        self, _: pb.ClearCacheRequest, context: aio.ServicerContext[Any, Any]
    ) -> pb.ClearCacheResponse:
        self.seconds = context.time_remaining()
        return pb.ClearCacheResponse()


async def test_a_charger_is_waited_for_until_the_gateway_says_that_it_is_silent(
    tmp_path: Path,
) -> None:
    """Else whoever asked one that is slow hears of a part of the system that is none."""
    gateway, server = PatientGateway(), aio.server()
    commands_pb2_grpc.add_ChargerCommandServiceServicer_to_server(gateway, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    data = DataDirectory(tmp_path)
    await server.start()
    try:
        with announced(data, address):
            async with connected(data) as client:
                await client.charger_commands.ClearCache(pb.ClearCacheRequest())
    finally:
        await server.stop(None)
    assert gateway.seconds > 28
