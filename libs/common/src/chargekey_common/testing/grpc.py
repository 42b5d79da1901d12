"""A gRPC service served for one test, called as whoever the test says."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from grpc import aio
from jwt.algorithms import OKPAlgorithm

from chargekey_common import tokens
from chargekey_common.accounts import (
    ADMINISTRATOR,
    NOBODY,
    Caller,
    Signer,
    Verifier,
    is_issued,
    make_account,
)
from chargekey_common.grpc.client import Credential, channel
from chargekey_common.grpc.server import Check, Server, Service
from chargekey_common.tokens import KeySet


class Issuer:
    """Makes tokens for people and partners' programs as identity does."""

    def __init__(self, kid: str = "a-signing-key") -> None:
        self.kid = kid
        self.key = Ed25519PrivateKey.generate()

    def token(self, caller: Caller, *, kid: str | None = None, now: float | None = None) -> str:
        """Return a token for anybody, as of now unless another time is given."""
        return tokens.sign(
            self.key,
            self.kid if kid is None else kid,
            issuer=tokens.IDENTITY,
            subject=caller,
            now=time.time() if now is None else now,
        )

    def jwk(self) -> dict[str, object]:
        """Return the public key as it is told."""
        public = OKPAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {**public, "kid": self.kid}

    def keys(self) -> KeySet:
        """Return the keys as a service knows them."""

        async def fetch() -> str:
            return json.dumps({"keys": [self.jwk()]})

        return KeySet(fetch)


class _Issued:
    """A caller whose tokens are made for him, a fresh one for each call."""

    def __init__(self, issuer: Issuer, caller: Caller) -> None:
        self._issuer = issuer
        self._caller = caller

    def token(self) -> str:
        return self._issuer.token(self._caller)


@asynccontextmanager
async def served(
    service: Service, directory: Path, check: Check, *beside: Service
) -> AsyncIterator[Callable[[Caller], aio.Channel]]:
    """Serve on a free port; yield a maker of channels, which are closed afterwards.

    Everybody is let in: accounts by their own tokens, people and partners' programs by
    tokens of an issuer that stands for identity, NOBODY without any.
    """
    issuer = Issuer()
    keys, accounts = directory / "keys", directory / "accounts"
    make_account(ADMINISTRATOR, keys=keys, accounts=accounts)
    server = Server(service, Verifier(accounts, issuer.keys()), check, *beside)
    port = await server.start("127.0.0.1:0")
    await server.ready()
    opened: list[aio.Channel] = []

    def as_caller(caller: Caller = ADMINISTRATOR) -> aio.Channel:
        opened.append(channel(f"127.0.0.1:{port}", credential(caller)))
        return opened[-1]

    def credential(caller: Caller) -> Credential | None:
        if caller == NOBODY:
            return None
        if is_issued(caller):
            return _Issued(issuer, caller)
        return Signer.from_file(make_account(caller, keys=keys, accounts=accounts))

    try:
        yield as_caller
    finally:
        for each in opened:
            await each.close()
        await server.stop(grace=0)


def stubs(channel: aio.Channel, *stubs: Callable[[aio.Channel], object]) -> Any:  # noqa: ANN401 - any stubs' methods
    """Return one object with all methods of these generated stubs, for a package's services."""
    methods: dict[str, Any] = {}
    for stub in stubs:
        methods |= vars(stub(channel))
    return SimpleNamespace(**methods)
