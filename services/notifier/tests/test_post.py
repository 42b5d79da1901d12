"""How a letter gets to a server that asks for TLS, and who one is."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from chargekey_common.testing.authority import BOTH, Authority
from chargekey_notifier.mails.letters import Letter
from chargekey_notifier.mails.post import Post, SmtpTls
from chargekey_notifier.settings import NotifierSettings

LETTER = Letter("Subject", "Text", "<p>Text</p>")
USER, PASSWORD = "chargekey", "correct horse"


class Server:
    """Takes letters, and knows whether each came by TLS and from whom."""

    def __init__(self) -> None:
        self.taken: list[tuple[bool, object]] = []

    async def handle_DATA(self, smtp: SMTP, session: Session, _: Envelope) -> str:
        user = session.auth_data.login.decode() if session.auth_data else None
        assert smtp.transport is not None
        self.taken.append((smtp.transport.get_extra_info("sslcontext") is not None, user))
        return "250 OK"

    @asynccontextmanager
    async def listening(
        self, context: ssl.SSLContext | None, tls: SmtpTls, **options: Any
    ) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        starting = {"tls_context": context, "require_starttls": True} if tls == "required" else {}
        listening = await loop.create_server(
            lambda: SMTP(self, hostname="localhost", loop=loop, **starting, **options),
            "127.0.0.1",
            0,
            ssl=context if tls == "implicit" else None,
        )
        async with listening:
            yield f"localhost:{listening.sockets[0].getsockname()[1]}"


def known(_: SMTP, __: Session, ___: Envelope, ____: str, told: LoginPassword) -> AuthResult:
    right = (told.login, told.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False, auth_data=told)


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server speaks with whose authority this machine believes."""
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.sign("smtp", san="localhost", usages=BOTH)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    return file


async def test_a_letter_goes_by_tls_to_a_server_that_is_told_who_sends_it(
    context: ssl.SSLContext, password_file: Path
) -> None:
    server = Server()
    login: Mapping[str, Any] = {"authenticator": known, "auth_required": True}
    async with server.listening(context, "required", **login) as address:
        post = Post(address, "us@here.test", tls="required", user=USER, password_file=password_file)
        await post.send(LETTER, to="anna@there.test", key="1")
        await asyncio.to_thread(password_file.write_text, "another")  # as a Secret is replaced
        with pytest.raises(aiosmtplib.SMTPAuthenticationError):
            await post.send(LETTER, to="anna@there.test", key="2")
    assert server.taken == [(True, USER)]


async def test_a_letter_goes_to_a_server_that_speaks_nothing_but_tls(
    context: ssl.SSLContext,
) -> None:
    server = Server()
    async with server.listening(context, "implicit") as address:
        await Post(address, "us@here.test", tls="implicit").send(
            LETTER, to="anna@there.test", key="1"
        )
    assert server.taken == [(True, None)]


async def test_where_tls_is_required_nothing_is_said_to_a_server_without_it() -> None:
    server = Server()
    async with server.listening(None, "offered") as address:
        with pytest.raises(aiosmtplib.SMTPException):
            await Post(address, "us@here.test", tls="required").send(
                LETTER, to="anna@there.test", key="1"
            )
        await Post(address, "us@here.test").send(LETTER, to="anna@there.test", key="1")
    assert server.taken == [(False, None)]


@pytest.mark.parametrize(
    "login",
    [
        {"smtp_user": USER},
        {"smtp_password_file": "password"},
        {"smtp_user": USER, "smtp_password_file": "password"},
    ],
    ids=["no password", "no user", "in the clear"],
)
def test_half_a_login_is_refused_and_one_that_anybody_could_listen_to(
    login: Mapping[str, str],
) -> None:
    with pytest.raises(ValueError, match="an SMTP login"):
        NotifierSettings(**SETTINGS, **login)  # type: ignore[arg-type] # as from the environment
    settings = {"smtp_user": USER, "smtp_password_file": "password", "smtp_tls": "required"}
    assert NotifierSettings(**SETTINGS, **settings).smtp_tls == "required"  # type: ignore[arg-type] # as above


SETTINGS = {
    "data": "data",
    "nats_url": "nats://bus",
    "accounts": "accounts",
    "account_key_file": "key",
    "identity_address": "identity:1",
    "access_address": "access:1",
    "gateway_address": "gateway:1",
    "smtp_address": "smtp:587",
    "sender_address": "us@here.test",
    "administrator_address": "us@here.test",
    "portal_url": "https://here.test",
    "http_address": "127.0.0.1:0",
    "public_url": "https://here.test",
    "partners_nats_url": "tls://here.test",
    "nats_issuer_file": "issuer",
    "secret_file": "secret",
}
