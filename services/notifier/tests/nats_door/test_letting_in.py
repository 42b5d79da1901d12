"""Who is let in at NATS, and until when."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import nats
import nkeys
import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError as NothingThereError
from structlog.testing import capture_logs

from chargekey_common.accounts import ADMINISTRATOR
from chargekey_common.errors import UnavailableError
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.store import Reaction
from chargekey_common.nats_server import NatsServer
from chargekey_common.positions import Position
from chargekey_common.published.identity import PartnerCredentialRevoked
from chargekey_notifier.feeds.store import Feeds
from chargekey_notifier.mails.outbox import Outbox
from chargekey_notifier.nats_door.callout import QUESTIONS, IssuerUnreadableError, issuer
from chargekey_notifier.nats_door.door import NatsDoor
from chargekey_notifier.reactions.on_partner_credential_revoked import (
    on_partner_credential_revoked,
)

from .conftest import (
    AT,
    VOLT,
    VOLTS,
    WATTS,
    Connect,
    Credential,
    Identity,
    documents,
    tell,
)


async def answer_of(server: NatsServer, **options: str) -> str:
    """Return what the server answers one who connects so; nats-py would leave its sockets open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    connect = {"verbose": True, "pedantic": False, "lang": "test", "version": "1", **options}
    writer.write(b"CONNECT " + msgspec.json.encode(connect) + b"\r\n")
    async with asyncio.timeout(20):
        while (line := await reader.readline()).startswith((b"INFO", b"PING")):
            pass
    writer.close()
    await writer.wait_closed()
    return line.decode().strip()


REFUSED = "-ERR 'Authorization Violation'"


STRANGERS: list[dict[str, str]] = [
    {},
    {"user": VOLTS.id, "pass": "wrong"},
    {"user": VOLTS.id, "pass": WATTS.secret},
    {"user": VOLTS.id, "pass": ""},
    {"user": VOLTS.id},
    {"user": "unknown", "pass": VOLTS.secret},
    {"auth_token": VOLTS.secret},
    {"user": "chargekey", "pass": "wrong"},
    {"user": "feeds", "pass": VOLTS.secret},
]


@pytest.mark.usefixtures("door")
async def test_only_a_credential_with_its_secret_is_let_in(
    nats_server: NatsServer, streams: Client
) -> None:
    """F13: nothing is made for anybody else, and nothing told of what he gave."""
    with capture_logs() as logs:
        for options in STRANGERS:
            assert await answer_of(nats_server, **options) == REFUSED, options
    given = {each for options in STRANGERS for each in options.values()}
    assert [each for each in given if each and each in str(logs)] == []
    assert await streams.jetstream().streams_info() == []


@pytest.mark.usefixtures("door")
async def test_a_program_is_let_in_before_its_feed_tells_anything(
    nats_server: NatsServer, streams: Client
) -> None:
    assert await answer_of(nats_server, user=VOLTS.id, **{"pass": VOLTS.secret}) == "+OK"
    assert await consumers(streams, VOLT) == [VOLTS.id]


async def test_nobody_is_let_in_while_identity_is_away(
    nats_server: NatsServer, door: NatsDoor, identity: Identity, streams: Client
) -> None:
    def away() -> None:
        raise UnavailableError

    assert door.open.is_set()
    identity.before = away
    assert await answer_of(nats_server, user=VOLTS.id, **{"pass": VOLTS.secret}) == REFUSED
    assert await consumers(streams, VOLT) == []


@pytest.mark.usefixtures("door")
async def test_what_is_no_question_hinders_no_answer(
    nats_server: NatsServer, nats_client: Client
) -> None:
    for nonsense in (b"", b"a.b", b"a.b.c", b"e30.e30.e30", b"e30.bnVsbA.e30"):
        await nats_client.publish(QUESTIONS, nonsense, reply="nobody")
    assert await answer_of(nats_server, user=VOLTS.id, **{"pass": VOLTS.secret}) == "+OK"


async def test_a_revoked_credential_pulls_nothing_more_by_the_connection_it_has(
    door: NatsDoor,
    feeds: Feeds,
    program: Connect,
    identity: Identity,
    streams: Client,
    tmp_path: Path,
) -> None:
    """F14: and what it waits for ends; its partner's other credential goes on."""
    another = Credential("volts-other-program", "other-secret", VOLT)
    identity.known[another.id] = another
    outbox = Outbox(tmp_path / "notifier.db")
    on = on_partner_credential_revoked(door, outbox)
    handled = Handled(on.name("notifier"), Position("identity", "00000000000000a1", 7))
    reaction = Reaction(handled, "an-event", AT, ADMINISTRATOR)
    async with program(VOLTS) as volt, program(another) as other:
        tell(feeds, VOLT)
        assert await volt.pulled(3) == documents(feeds)
        # nats-py would wait on after it was told so.
        inbox = volt.client.new_inbox()
        answers = await volt.client.subscribe(inbox)
        pull = msgspec.json.encode({"batch": 1, "expires": 60 * 10**9})
        place = f"{VOLT}.{VOLTS.id}"
        await volt.client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{place}", pull, reply=inbox)
        js = streams.jetstream()
        while not (await js.consumer_info(VOLT, VOLTS.id)).num_waiting:
            await asyncio.sleep(0)
        del identity.known[VOLTS.id]
        for _ in range(2):  # also when it is told again
            await on.react(
                PartnerCredentialRevoked(partner_id=VOLT, credential_id=VOLTS.id), reaction
            )
        tell(feeds, VOLT, ids=range(4, 6))
        ended = await answers.next_msg(timeout=20)
        assert ended.headers is not None
        assert ended.headers["Status"] == "409"
        with pytest.raises(nats.errors.Error):
            await volt.pulled(1, within=1)
        assert await other.pulled(5) == documents(feeds)
    assert outbox.handled(handled.reaction) == handled.position
    outbox.close()


async def test_a_credential_revoked_while_it_is_let_in_gets_nothing(
    nats_server: NatsServer, door: NatsDoor, identity: Identity, streams: Client
) -> None:
    """F14: the revocation was told, and nothing found to remove, before it was made."""
    assert door.open.is_set()

    def revoked_after_the_first_answer() -> None:
        if identity.asked > 1:
            identity.known.clear()

    identity.before = revoked_after_the_first_answer
    assert await answer_of(nats_server, user=VOLTS.id, **{"pass": VOLTS.secret}) == REFUSED
    assert await consumers(streams, VOLT) == []


@pytest.mark.parametrize(
    "seed",
    [
        b"",
        b"not a seed",
        b"SAAA",
        nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_USER),
    ],
)
def test_what_signs_for_partners_is_an_accounts_seed(seed: bytes, tmp_path: Path) -> None:
    file = tmp_path / "issuer"
    file.write_bytes(seed)
    with pytest.raises(IssuerUnreadableError):
        issuer(file)


def test_a_seeds_file_may_end_with_a_line(tmp_path: Path) -> None:
    file = tmp_path / "issuer"
    file.write_bytes(nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_ACCOUNT) + b"\n")
    assert issuer(file).public_key.startswith(b"A")


async def consumers(streams: Client, partner_id: str) -> list[str]:
    try:
        return [each.name for each in await streams.jetstream().consumers_info(partner_id)]
    except NothingThereError:
        return []
