"""Who is signed in on this machine, besides its administrator.

`login.json` in the data directory holds the tokens of one person: an access token good
for minutes and the refresh token for the next one.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from chargekey.identity.v1 import sign_in_pb2 as pb
from chargekey.identity.v1.sign_in_pb2_grpc import SignInServiceStub
from chargekey_common import whole_files
from chargekey_common.certificates import Certificates
from chargekey_common.grpc.client import channel
from chargekey_stack.errors import LoginDamagedError

# Nanoseconds that an access token must be good for yet.
MARGIN = 30 * 10**9


class Login(msgspec.Struct, frozen=True):
    """A person's tokens; `expires_at` of the access token, nanoseconds since the epoch."""

    user_id: str
    access_token: str
    refresh_token: str
    expires_at: int

    def __repr__(self) -> str:
        return f"Login(user_id={self.user_id!r})"


class Token(msgspec.Struct, frozen=True):
    """A credential of one token."""

    text: str

    def token(self) -> str:
        """Return it."""
        return self.text

    def __repr__(self) -> str:
        return "Token()"


def read(file: Path) -> Login | None:
    """Return who is signed in, if anybody; raises LoginDamagedError."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Login)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        raise LoginDamagedError(str(file)) from None


def keep(file: Path, login: Login) -> None:
    """Remember who is signed in, in place of anybody before; nobody else can read it."""
    whole_files.write(file, msgspec.json.encode(login))


async def fresh(
    file: Path, login: Login, identity: str, certificates: Certificates | None
) -> Login:
    """Return the login with an access token that is good for now, asked of `identity` as need be.

    Raises AioRpcError where the sign-in has ended.
    """
    if login.expires_at - time.time_ns() > MARGIN:
        return login
    as_nobody = channel(identity, None, certificates)
    try:
        request = pb.RefreshSignInRequest(refresh_token=login.refresh_token)
        answer = await SignInServiceStub(as_nobody).RefreshSignIn(request)
    finally:
        await as_nobody.close()
    renewed = Login(answer.user_id, answer.access_token, answer.refresh_token, answer.expires_at)
    keep(file, renewed)
    return renewed
