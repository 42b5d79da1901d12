"""Authorize by gRPC: one call a question against a near-empty handler; streams and batches."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial

import uvloop

from benchmarks import grpc_servers
from benchmarks.figures import Figure, at_least, compared, in_turn
from benchmarks.grpc_servers import POPULATION, running
from benchmarks.http2 import Calls
from chargekey.gateway.v1 import gateway_pb2 as pb
from chargekey_common.accounts import Caller
from chargekey_common.testing.grpc import Issuer

NUMBER = 4_000
UNDER_WAY = 64
BATCH = 250
STREAMS = (1, 4)
_SERVICE = "chargekey.gateway.v1.GatewayService"
_CALLER = Caller("partner:asks-much")


def figures() -> Iterator[Figure]:
    """Measure rates in closed loops with 64 questions under way, on one connection."""
    issuer = Issuer()
    metadata = {"authorization": f"Bearer {issuer.token(_CALLER)}"}
    questions = _questions()
    single = [each.SerializeToString() for each in questions]
    with (
        running(grpc_servers.allowing) as access,
        running(grpc_servers.product, access, issuer.jwk()) as product,
        running(grpc_servers.empty, _answered(product, metadata, single[0])) as empty,
    ):
        unary = partial(_unary, product, metadata, single)
        yield compared(
            "Authorize by gRPC, a call a question",
            in_turn(unary, partial(_unary, empty, metadata, single)),
            unit="1/s",
            against="near-empty grpc.aio handler",
            goal=at_least(0.92),
        )
        for number in STREAMS:
            yield compared(
                f"Authorize by gRPC, {number} stream{'' if number == 1 else 's'}",
                in_turn(partial(_streams, product, metadata, questions, number), unary),
                unit="1/s",
                against="a call a question",
                goal=at_least(3),
            )
        yield compared(
            f"Authorize by gRPC, batches of {BATCH}",
            in_turn(partial(_batch, product, metadata, questions), unary),
            unit="1/s",
            against="a call a question",
        )


def _questions() -> Sequence[pb.AuthorizeRequest]:
    """Return questions about people who may charge at the charger, in no order."""
    chance = random.Random(9)
    asked = [chance.randrange(POPULATION.identifications) for _ in range(NUMBER)]
    return [
        pb.AuthorizeRequest(
            charger_id=POPULATION.charger_id(POPULATION.charger_of(each)),
            code=POPULATION.card(each),
        )
        for each in asked
    ]


def _answered(port: int, metadata: Mapping[str, str], question: bytes) -> bytes:
    """Return what the gateway answers, for the near-empty handler to answer the same."""
    heard: list[bytes] = []

    def good(answer: bytes) -> bool:
        heard.append(answer)
        return _accepted(answer)

    _asked(port, "Authorize", metadata, good, lambda calls: calls.rate([question], 1, 1))
    return heard[0]


def _unary(port: int, metadata: Mapping[str, str], questions: Sequence[bytes]) -> float:
    return _asked(
        port,
        "Authorize",
        metadata,
        _accepted,
        lambda calls: calls.rate(questions, len(questions), UNDER_WAY),
    )


def _streams(
    port: int, metadata: Mapping[str, str], questions: Sequence[pb.AuthorizeRequest], number: int
) -> float:
    """Share the questions that are under way among so many streams, a connection each."""
    asked = [pb.AuthorizeStreamRequest(question=each).SerializeToString() for each in questions]
    return _asked(
        port,
        "AuthorizeStream",
        metadata,
        _accepted_in_stream,
        lambda calls: calls.chat(asked, 2 * len(asked) // number, UNDER_WAY // number),
        connections=number,
    )


def _batch(
    port: int, metadata: Mapping[str, str], questions: Sequence[pb.AuthorizeRequest]
) -> float:
    asked = [
        pb.AuthorizeBatchRequest(questions=questions[at : at + BATCH]).SerializeToString()
        for at in range(0, len(questions), BATCH)
    ]
    return BATCH * _asked(
        port,
        "AuthorizeBatch",
        metadata,
        _all_accepted,
        lambda calls: calls.rate(asked, 2 * len(asked), 2),
    )


def _asked(
    port: int,
    method: str,
    metadata: Mapping[str, str],
    good: Callable[[bytes], bool],
    ask: Callable[[Calls], Awaitable[float]],
    connections: int = 1,
) -> float:
    """Return what connections of its own measure together."""

    async def measured() -> float:
        opened = [Calls(f"/{_SERVICE}/{method}", metadata, good) for _ in range(connections)]
        for calls in opened:
            await calls.connect("127.0.0.1", port)
        try:
            return sum(await asyncio.gather(*map(ask, opened)))
        finally:
            for calls in opened:
                calls.close()

    return uvloop.run(measured())


def _accepted(answer: bytes) -> bool:
    # The first field, `status`; decoding it would take the generator as long as the server.
    return answer.startswith(b"\x08\x01")


def _accepted_in_stream(answer: bytes) -> bool:
    return b"\x08\x01" in answer[:8]


def _all_accepted(answer: bytes) -> bool:
    outcomes = pb.AuthorizeBatchResponse.FromString(answer).outcomes
    accepted = pb.AUTHORIZATION_STATUS_ACCEPTED
    return len(outcomes) == BATCH and all(each.decision.status == accepted for each in outcomes)
