"""Lets partners in at NATS: its server asks us about everybody whom it does not know itself.

A client gives a credential's id as its user and the secret as its password, which identity
verifies. What it may do is in the answer: pull from its own consumer, acknowledge what it
pulled, and be answered in an inbox of its own. Its account holds nothing.
"""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from pathlib import Path
from typing import Any

import grpc
import msgspec
import nkeys
import structlog
from grpc import aio
from nats.aio.client import Client
from nats.aio.msg import Msg
from prometheus_client import Counter

from chargekey.identity.v1 import credentials_pb2 as pb
from chargekey.identity.v1 import credentials_pb2_grpc
from chargekey_common.errors import CannotRunError
from chargekey_common.grpc.client import AWAY
from chargekey_common.nats_server import ASKING_TIMEOUT
from chargekey_notifier.nats_door.streams import PASSING, Streams, inbox_prefix

QUESTIONS = "$SYS.REQ.USER.AUTH"
ACCOUNT = "PARTNERS"
# Questions that are thought about at once; further ones wait.
AT_ONCE = 32
# Seconds that identity and the streams may take together, so that the server hears of it.
DEADLINE = ASKING_TIMEOUT * 0.8

_ANSWERS = Counter("nats_sign_ins_total", "Partners' connections to NATS, asked about.", ["result"])

log = structlog.get_logger()


class IssuerUnreadableError(CannotRunError):
    """What signs for partners is no seed of an account."""

    def __init__(self) -> None:
        super().__init__(
            "The file that CHARGEKEY_NOTIFIER_NATS_ISSUER_FILE names holds no seed of an account;"
            " make one with `nk -gen account`, and give the server its public key."
        )


class RefusedError(Exception):
    """The client is not let in; the argument says why, for the counter."""


class _ServerId(msgspec.Struct):
    id: str


class _Connecting(msgspec.Struct):
    user: str = ""
    password: str = msgspec.field(default="", name="pass")

    def __repr__(self) -> str:
        return "_Connecting()"


class _Asked(msgspec.Struct):
    server_id: _ServerId
    user_nkey: str
    connect_opts: _Connecting


class _Question(msgspec.Struct):
    """The claims of the server's request; what it tells besides is not looked at."""

    nats: _Asked


_QUESTION = msgspec.json.Decoder(_Question)


def issuer(file: Path) -> nkeys.KeyPair:
    """Return what signs for partners; raises IssuerUnreadableError and OSError."""
    seed = file.read_bytes().strip()
    try:
        prefix, _ = nkeys.decode_seed(seed)
    except (nkeys.NkeysError, ValueError) as error:
        raise IssuerUnreadableError from error
    if prefix != nkeys.PREFIX_BYTE_ACCOUNT:
        raise IssuerUnreadableError
    return nkeys.from_seed(seed)


class Callout:
    """Answers in our services' account; any number of replicas share the questions."""

    def __init__(
        self,
        client: Client,
        identity: aio.Channel,
        streams: Streams,
        signer: nkeys.KeyPair,
        answering: asyncio.Event,
    ) -> None:
        self._client = client
        self._credentials = credentials_pb2_grpc.CredentialServiceStub(identity)
        self._streams = streams
        self._signer = signer
        self._answering = answering

    async def run(self) -> None:
        """Answer until cancelled; `answering` is set from when the server asks here."""
        questions = await self._client.subscribe(QUESTIONS, queue="notifier")
        await self._client.flush()
        self._answering.set()
        room = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as answering:
            async for question in questions.messages:
                await room.acquire()
                answer = answering.create_task(self._answer(question))
                answer.add_done_callback(lambda _: room.release())

    async def _answer(self, question: Msg) -> None:
        try:
            asked = _QUESTION.decode(_payload(question.data)).nats
        except (ValueError, msgspec.MsgspecError):
            log.warning("nats_question_unreadable")
            return
        try:
            async with asyncio.timeout(DEADLINE):
                result = {"jwt": await self._let_in(asked)}
            _ANSWERS.labels("let_in").inc()
        except (RefusedError, TimeoutError, *PASSING) as error:
            why = str(error) if isinstance(error, RefusedError) else "unavailable"
            _ANSWERS.labels(why).inc()
            # Not whom: what stands for a user may be anything, a secret in the wrong place too.
            log.info("partner_refused_by_nats", reason=why)
            result = {"error": why}
        claims = {
            "aud": asked.server_id.id,
            "sub": asked.user_nkey,
            "nats": {**result, "type": "authorization_response", "version": 2},
        }
        await self._client.publish(question.reply, self._signed(claims))

    async def _let_in(self, asked: _Asked) -> str:
        """Return the claims of a user; raises RefusedError."""
        credential_id = asked.connect_opts.user
        partner_id = await self._verified(asked.connect_opts)
        if await self._streams.consumer(partner_id, credential_id):
            # It may have been revoked meanwhile, and its consumer removed before it was made.
            try:
                await self._verified(asked.connect_opts)
            except RefusedError:
                await self._streams.forget_consumer(partner_id, credential_id)
                raise
        return self._signed(
            {
                "aud": ACCOUNT,
                "sub": asked.user_nkey,
                "name": credential_id,
                "nats": {
                    **_permissions(partner_id, credential_id),
                    **dict.fromkeys(("subs", "data", "payload"), -1),
                    "type": "user",
                    "version": 2,
                },
            }
        ).decode()

    async def _verified(self, connecting: _Connecting) -> str:
        """Return whose credential it is; raises RefusedError."""
        request = pb.ExchangePartnerCredentialRequest(
            credential_id=connecting.user, secret=connecting.password
        )
        try:
            exchanged = await self._credentials.ExchangePartnerCredential(
                request, timeout=DEADLINE, wait_for_ready=True
            )
        except aio.AioRpcError as error:
            if error.code() in AWAY:
                why = "unavailable"
            elif error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                why = "too_many_attempts"
            else:
                why = "refused"
            raise RefusedError(why) from error
        partner_id: str = exchanged.partner_id
        return partner_id

    def _signed(self, claims: dict[str, Any]) -> bytes:
        """Return the claims as a JWT, in NATS's second version of them."""
        issued = {
            "jti": uuid.uuid4().hex,
            "iat": int(time.time()),
            "iss": self._signer.public_key.decode(),
        }
        head = _part(msgspec.json.encode({"typ": "JWT", "alg": "ed25519-nkey"}))
        text = head + b"." + _part(msgspec.json.encode(issued | claims))
        return text + b"." + _part(self._signer.sign(text))


def _permissions(partner_id: str, credential_id: str) -> dict[str, Any]:
    place = f"{partner_id}.{credential_id}"
    return {
        "pub": {
            "allow": [
                f"$JS.API.CONSUMER.MSG.NEXT.{place}",
                f"$JS.ACK.{place}.>",
            ]
        },
        "sub": {"allow": [f"{inbox_prefix(credential_id)}.>"]},
    }


def _part(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _payload(token: bytes) -> bytes:
    """Return a JWT's claims; raises ValueError. Only servers ask here, so nothing is verified."""
    _, payload, _ = token.split(b".")
    return base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4))
