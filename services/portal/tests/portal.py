"""The portal as a browser meets it: over a socket, whole answers."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import itsdangerous
import msgspec

from chargekey_common.accounts import Signer, make_account, service_account
from chargekey_common.http_server import HttpServer
from chargekey_portal.app import portal
from chargekey_portal.guard import Guard
from chargekey_portal.services import Services
from chargekey_portal.settings import PortalSettings

OCPP_URL = "ws://127.0.0.1:8887/ocpp"
PUBLIC_URL = "http://Portal.Test:8000"


class Answer(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: str

    def json(self) -> dict[str, object]:
        assert self.headers["content-type"] in ("application/json", "application/problem+json")
        return msgspec.json.decode(self.body, type=dict[str, object])


class Portal(msgspec.Struct, frozen=True):
    port: int
    session_secret: bytes = b""

    async def get(
        self, path: str, *, method: str = "GET", host: str | None = "localhost"
    ) -> Answer:
        """Send one request, and read all that is answered."""
        return await self.ask(method, path, {} if host is None else {"Host": host})

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Answer:
        """The same with these headers, and a body where there is one."""
        version = "1.1" if "Host" in headers else "1.0"
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        if body:
            head += f"Content-Length: {len(body)}\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            head = f"{method} {path} HTTP/{version}\r\n{head}Connection: close\r\n\r\n"
            writer.write(head.encode() + body)
            answered, _, text = (await reader.read()).decode().partition("\r\n\r\n")
        finally:
            writer.close()
        first, *lines = answered.split("\r\n")
        told = dict(_header(line) for line in lines)
        assert len(told) == len(lines), "a header stands there twice"
        return Answer(int(first.split()[1]), told, text)

    def cookie(self, **session: object) -> dict[str, str]:
        """Return the headers of a browser that has this session."""
        signer = itsdangerous.TimestampSigner(self.session_secret.hex())
        signed = signer.sign(b64encode(json.dumps(session).encode())).decode()
        return {"Host": "localhost", "Cookie": f"chargekey={signed}"}

    def signed_in(self, **more: object) -> dict[str, str]:
        """Return the headers of a browser in which somebody is signed in for a while yet."""
        return self.cookie(
            **{
                "user_id": "ada",
                "access_token": "access",
                "refresh_token": "refresh",
                "expires_at": time.time_ns() + 3600 * 10**9,
                "form_secret": "form-secret",
            }
            | more
        )


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name.lower(), value if name == "location" else value.lower()


@asynccontextmanager
async def serving(
    addresses: Mapping[str, str], directory: Path, **settings: object
) -> AsyncIterator[Portal]:
    """Serve on a free port for the length of the block, over services at these addresses."""
    secret = directory / "session_secret"
    secret.write_bytes(secrets.token_bytes(32))
    account = make_account(
        service_account("portal"), keys=directory / "keys", accounts=directory / "accounts"
    )
    told = PortalSettings(
        http_address="127.0.0.1:0",
        public_url=PUBLIC_URL,
        session_secret_file=secret,
        account_key_file=account,
        ocpp_url=OCPP_URL,
        **{f"{name}_address": address for name, address in addresses.items()},
        **settings,
    )
    services = Services(addresses, Signer.from_file(account))
    http = HttpServer(
        Guard(portal(told, services), told.hosts),
        told.http_address,
        trusted_proxies=told.trusted_proxies,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(http.run())
        yield Portal(http.port, secret.read_bytes())
        await http.stop()
    await services.close()
