"""R17: after every command, a search through everything that was written anywhere."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FunctionType, ModuleType

import pytest
import structlog
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from chargekey.identity.v1 import identifications_pb2, users_pb2
from chargekey_common.follower import Follower, Message
from chargekey_common.positions import Position
from chargekey_common.published.envelope import POSITION_HEADER
from chargekey_common.relay import Relay
from chargekey_identity.published import publication

from .conftest import Identity, Served

PINS = ("#86421357", "#97531864")
CARD = "04E1D2C3B4A596"
NAMES = ("Ragnhild", "Solbakken", "Torgunn", "Vesterhavet")
SECRETS = (*(pin[1:] for pin in PINS), CARD, CARD.lower(), *NAMES)


class Stream:
    """Everything the stream ever held, with a way to wait for a position."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._grown = asyncio.Condition()

    async def handle(self, batch: Sequence[Message]) -> None:
        async with self._grown:
            self.messages.extend(batch)
            self._grown.notify_all()

    async def wait_for(self, text: str) -> None:
        position = Position.parse(text)
        async with asyncio.timeout(20), self._grown:
            await self._grown.wait_for(
                lambda: any(
                    Position.parse(message.headers[POSITION_HEADER]).includes(position)
                    and ".key." not in message.subject
                    for message in self.messages
                )
            )


@pytest.fixture
def logged() -> Iterator[Sequence[object]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


async def every_command(running: Served) -> tuple[str, str, str]:
    """Do everything once, refusals included; return two identifications and the last position."""
    stub = running.administrator
    user = await stub.AddLocalUser(
        users_pb2.AddLocalUserRequest(
            installation_id="home", first_name=NAMES[0], last_name=NAMES[1], blocked=True
        )
    )
    key = user.user_id
    await stub.UnblockUser(users_pb2.UnblockUserRequest(user_id=key))
    await stub.BlockUser(users_pb2.BlockUserRequest(user_id=key))
    await stub.RenameUser(
        users_pb2.RenameUserRequest(user_id=key, first_name=NAMES[2], last_name=NAMES[3])
    )
    pin, card = [
        (
            await stub.AddIdentification(
                identifications_pb2.AddIdentificationRequest(user_id=key, type=kind, code=code)
            )
        ).identification_id
        for kind, code in (
            (identifications_pb2.IDENTIFICATION_TYPE_PIN, PINS[0]),
            (identifications_pb2.IDENTIFICATION_TYPE_RFID, CARD),
        )
    ]
    for kind, code in (
        (identifications_pb2.IDENTIFICATION_TYPE_PIN, PINS[0]),
        (identifications_pb2.IDENTIFICATION_TYPE_PIN, PINS[0][1:]),
        (identifications_pb2.IDENTIFICATION_TYPE_RFID, CARD),
        (identifications_pb2.IDENTIFICATION_TYPE_RFID, CARD + "FF"),
    ):
        with pytest.raises(Exception) as refused:  # noqa: PT011 - whatever it says is searched
            await stub.AddIdentification(
                identifications_pb2.AddIdentificationRequest(user_id=key, type=kind, code=code)
            )
        assert not any(secret in repr(refused.value) for secret in SECRETS)
    await stub.ChangeIdentification(
        identifications_pb2.ChangeIdentificationRequest(
            identification_id=pin,
            code=PINS[1],
            status=identifications_pb2.IDENTIFICATION_STATUS_INACTIVE,
            valid_until="2099-12-31",
        )
    )
    shown = await stub.RevealCode(identifications_pb2.RevealCodeRequest(identification_id=pin))
    assert shown.code == PINS[1]
    removed = await stub.RemoveIdentification(
        identifications_pb2.RemoveIdentificationRequest(identification_id=card)
    )
    await stub.ListUsers(users_pb2.ListUsersRequest(installation_id="home"))
    await stub.ListIdentifications(identifications_pb2.ListIdentificationsRequest(user_id=key))
    return pin, card, removed.position


async def test_no_name_and_no_code_is_in_any_file_receipt_message_log_line_or_list(
    running: Served,
    identity: Identity,
    nats_client: Client,
    tmp_path: Path,
    logged: Sequence[object],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """R17; the files include the write-ahead logs and all that the nats-server keeps."""
    stream = Stream()
    tasks = [
        asyncio.create_task(Relay(nats_client, identity.store, publication).run()),
        asyncio.create_task(Follower(nats_client, "IDENTITY", stream.handle).run()),
    ]
    pin, card, position = await every_command(running)
    await stream.wait_for(position)

    files = contents(tmp_path)
    assert {"identity.db", "identity.db-wal", "identity-keys.db", "nats-server.log"} <= set(files)
    written = b"".join(files.values())
    assert b"identity.IdentificationAdded" in written
    assert b"IdentificationCodeChanged" in written
    messages = repr(stream.messages)
    assert "IdentificationCodeChanged" in messages
    captured = capfd.readouterr()
    lists = repr(running.directory.identifications(running.directory.holder_of(pin)))
    for secret in SECRETS:
        assert secret.encode() not in written
        assert secret not in messages
        assert secret not in repr(logged) + captured.out + captured.err
        assert secret not in lists

    js = nats_client.jetstream()
    assert await js.get_last_msg("IDENTITY", f"identity.v1.key.{pin}")
    with pytest.raises(NotFoundError):
        await js.get_last_msg("IDENTITY", f"identity.v1.key.{card}")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_no_code_stays_in_the_memory_of_the_directory(running: Served) -> None:
    """R17."""
    await every_command(running)
    reachable: list[object] = [vars(running.directory)]
    seen = {id(vars(running.directory)["_store"])}
    while reachable:
        thing = reachable.pop()
        # What is code, or leads to all of it, this test's own secrets included, is no memory.
        if id(thing) in seen or isinstance(thing, type | FunctionType | ModuleType):
            continue
        seen.add(id(thing))
        assert not (isinstance(thing, str) and thing in (*PINS, CARD))
        reachable.extend(gc.get_referents(thing))
