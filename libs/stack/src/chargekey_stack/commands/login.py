"""`chargekey login`, `logout`, `whoami`: who uses this system from here."""

from __future__ import annotations

from typing import Annotated

import typer

from chargekey.identity.v1 import sign_in_pb2 as pb
from chargekey_stack import login as logins
from chargekey_stack.answers import Answer, done
from chargekey_stack.client import Client
from chargekey_stack.command import command
from chargekey_stack.errors import NeitherOrBothError, NotSignedInError
from chargekey_stack.login import Login
from chargekey_stack.options import Email, LinkToken, carried

app = typer.Typer()


@command(app, "login", "chargekey login --email ada@example.com", whoever_calls=True)
async def login(
    client: Client,
    *,
    email: Email = None,
    token: Annotated[str, LinkToken.__metadata__[0]] = "",
) -> Answer:
    """Sign in: ask for a link by --email, then give what it carries by --token.

    Commands are yours from then on; --as administrator is the administrator's again.
    """
    if (email is None) == (not token):
        raise NeitherOrBothError
    if email is not None:
        await client.sign_in.RequestSignInLink(pb.RequestSignInLinkRequest(email=email))
        return done(
            f"If somebody has this address, a link is on its way; mails are in {client.data.mail}.",
            mail=str(client.data.mail),
        )
    answer = await client.sign_in.SignIn(pb.SignInRequest(token=carried(token)))
    logins.keep(
        client.data.login,
        Login(answer.user_id, answer.access_token, answer.refresh_token, answer.expires_at),
    )
    return done(f"You are the user {answer.user_id}.", user_id=answer.user_id)


@command(app, "logout", "chargekey logout", whoever_calls=True)
async def logout(client: Client) -> Answer:
    """Sign out; commands are the administrator's again."""
    signed_in = logins.read(client.data.login)
    if signed_in is None:
        raise NotSignedInError
    await client.sign_in.SignOut(pb.SignOutRequest(refresh_token=signed_in.refresh_token))
    client.data.login.unlink()
    return done("Signed out.")


@command(app, "whoami", "chargekey whoami", whoever_calls=True)
async def whoami(client: Client) -> Answer:
    """Say who signed in here; without anybody, commands are the administrator's."""
    signed_in = logins.read(client.data.login)
    if signed_in is None:
        return done("The administrator of this system.", user_id=None)
    return done(f"The user {signed_in.user_id}.", user_id=signed_in.user_id)
