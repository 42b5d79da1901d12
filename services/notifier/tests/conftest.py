"""A notifier among real neighbours: NATS, SMTP, identity and access over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from nats.aio.client import Client

from chargekey_common.nats_server import NatsServer
from chargekey_common.process import Lifetime
from chargekey_common.reactions import Reactions
from chargekey_notifier.mails.choices import Choices
from chargekey_notifier.mails.outbox import Outbox
from chargekey_notifier.mails.post import Post
from chargekey_notifier.mails.sending import Sender
from chargekey_notifier.mails.unsubscribing import Unsubscribing
from chargekey_notifier.mails.writing import Writer
from chargekey_notifier.reactions.mailing import MAILS
from chargekey_notifier.reactions.on_user_erased import on_user_erased

from .neighbours import IdentityStream, Neighbours
from .smtp import Mailbox

SECRET = b"a secret of thirty-two bytes, ok"

Running = Callable[[], AbstractAsyncContextManager[Outbox]]


@pytest_asyncio.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    mailbox = Mailbox()
    await mailbox.open()
    yield mailbox
    await mailbox.close()


@pytest_asyncio.fixture
async def neighbours(tmp_path: Path) -> AsyncIterator[Neighbours]:
    async with AsyncExitStack() as until:
        neighbours = Neighbours()
        await neighbours.serve(tmp_path, until)
        yield neighbours


@pytest_asyncio.fixture
async def stream(nats_client: Client) -> IdentityStream:
    stream = IdentityStream(nats_client)
    await stream.make()
    return stream


@pytest.fixture
def sender(mailbox: Mailbox, neighbours: Neighbours) -> Callable[[Outbox], Sender]:
    def of(outbox: Outbox) -> Sender:
        writer = Writer(
            identity=neighbours.identity_channel,
            access=neighbours.access_channel,
            choices=Choices(outbox, SECRET),
            unsubscribing=Unsubscribing(SECRET, "https://partners.test"),
            administrator="admin@chargekey.test",
            administrator_language="en",
            portal_url="https://charge.test",
        )
        return Sender(outbox, writer, Post(mailbox.address, "chargekey@chargekey.test"))

    return of


@pytest.fixture
def running(tmp_path: Path, nats_server: NatsServer, sender: Callable[[Outbox], Sender]) -> Running:
    """Return what runs a whole notifier on the test's one outbox, while it is entered."""

    @asynccontextmanager
    async def run() -> AsyncIterator[Outbox]:
        lifetime = Lifetime()
        outbox = Outbox(tmp_path / "notifier.db")
        lifetime.closing.callback(outbox.close)
        reactions = Reactions(
            "notifier",
            nats_server.bus,
            outbox,
            *(each(outbox) for each in MAILS),
            on_user_erased(Choices(outbox, SECRET)),
        )
        lifetime.own(sender(outbox).run(), "sender")
        lifetime.own(reactions.run(), "reactions")
        try:
            yield outbox
        finally:
            assert await lifetime.close()

    return run
