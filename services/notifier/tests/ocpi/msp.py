"""An operator that speaks OCPI 2.2.1 by itself: real HTTP, both ways, strict about what it gets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from chargekey_common.http_server import HttpServer
from chargekey_common.testing.waiting import until

UPDATED = "2026-03-03T12:00:00Z"
ROLES = [
    {
        "role": "EMSP",
        "party_id": "VLT",
        "country_code": "NO",
        "business_details": {"name": "Volt"},
    }
]


def token(uid: str = "04A1B2C3", **changed: Any) -> dict[str, Any]:
    """Return a token as the operator tells of it."""
    return {
        "country_code": "NO",
        "party_id": "VLT",
        "uid": uid,
        "type": "RFID",
        "contract_id": "NO-VLT-C12345678-X",
        "issuer": "Volt",
        "valid": True,
        "whitelist": "ALLOWED",
        "last_updated": UPDATED,
        **changed,
    }


class Msp:
    """Answers with `token_a` until somebody registers, and with what it gave then after that."""

    def __init__(self, *, plain: bool = False) -> None:
        self.plain = plain
        self.versions: tuple[str, ...] = ("2.1.1", "2.2.1")
        self.modules = ("credentials", "tokens", "sessions")
        self.called_with = "token-a-of-volt"
        self.registered: dict[str, Any] = {}
        self.ended = False
        self.tokens: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []
        # Ahead of the one that leads to the next page.
        self.links_before = ""
        self.results: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.url = ""

    def header(self, secret: str) -> str:
        """Return how this operator writes a token."""
        written = secret if self.plain else base64.b64encode(secret.encode()).decode()
        return f"Token {written}"

    async def versions_(self, request: Request) -> JSONResponse:
        """§6.1."""
        return self._answer(
            request, [{"version": each, "url": f"{self.url}/{each}"} for each in self.versions]
        )

    async def details(self, request: Request) -> JSONResponse:
        """§6.2."""
        endpoints = [
            {"identifier": each, "role": role, "url": f"{self.url}/2.2.1/{each}"}
            for each in self.modules
            for role in ("RECEIVER", "SENDER")
        ]
        return self._answer(request, {"version": "2.2.1", "endpoints": endpoints})

    async def credentials(self, request: Request) -> JSONResponse:
        """§7.2."""
        if request.method == "DELETE":
            refused = self._answer(request, None)
            self.ended = refused.status_code == 200
            return refused
        answer = self._answer(request, self.mine("token-c-of-volt"))
        if answer.status_code == 200:
            self.registered = json.loads(await request.body())
            # We must be there by then, with what was sent.
            async with httpx2.AsyncClient() as client:
                versions = await client.get(
                    self.registered["url"],
                    headers={"authorization": self.header(self.registered["token"])},
                )
            assert versions.status_code == 200
            self.called_with = "token-c-of-volt"
        return answer

    async def token_list(self, request: Request) -> JSONResponse:
        """§12.2.2.1: two a page."""
        self.asked.append(dict(request.query_params))
        offset = int(request.query_params.get("offset", 0))
        answer = self._answer(request, self.tokens[offset : offset + 2])
        if offset + 2 < len(self.tokens):
            link = f'<{self.url}/2.2.1/tokens?offset={offset + 2}>; rel="next"'
            answer.headers["Link"] = self.links_before + link
        return answer

    async def result(self, request: Request) -> JSONResponse:
        """§13.2.2: what became of a command."""
        body = json.loads(await request.body())
        self.results.put_nowait((request.path_params["id"], body))
        return self._answer(request, None)

    def mine(self, secret: str) -> dict[str, Any]:
        """Return its side of a handshake."""
        return {"token": secret, "url": f"{self.url}/versions", "roles": ROLES}

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Answer while this is entered."""
        app = Starlette(
            routes=[
                Route("/versions", self.versions_),
                Route("/2.2.1", self.details),
                Route("/2.2.1/credentials", self.credentials, methods=["POST", "DELETE"]),
                Route("/2.2.1/tokens", self.token_list),
                Route("/results/{id}", self.result, methods=["POST"]),
            ]
        )
        server = HttpServer(app, "127.0.0.1:0")
        self.url = f"http://127.0.0.1:{server.port}"
        running = asyncio.create_task(server.run())
        try:
            await until(lambda: server.serving)
            yield
        finally:
            await server.stop()
            await running

    def _answer(self, request: Request, data: Any) -> JSONResponse:
        """Answer who calls as agreed: in this operator's own encoding and no other."""
        assert request.headers["x-request-id"]
        assert request.headers["x-correlation-id"]
        if request.headers["authorization"] != self.header(self.called_with):
            return JSONResponse({"status_code": 2000, "timestamp": UPDATED}, 401)
        body: dict[str, Any] = {"status_code": 1000, "timestamp": UPDATED}
        return JSONResponse(body if data is None else body | {"data": data})
