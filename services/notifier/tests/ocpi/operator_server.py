"""An operator's OCPI server, as far as it takes what is pushed: real HTTP, and what came."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from chargekey_common.http_server import HttpServer
from chargekey_notifier.ocpi.messages import Module
from chargekey_notifier.ocpi.peers import Credential, Registration

from .given import THEM

TOKEN = "what-they-are-called-with"


class Pushed(msgspec.Struct, frozen=True):
    """What came: the path behind the module's own."""

    method: str
    path: str
    body: Any


class OperatorServer:
    """Takes everything, but for what it is told to answer otherwise."""

    def __init__(self) -> None:
        self.pushed: list[Pushed] = []
        # How to answer next, by method: HTTP's status and OCPI's.
        self.answers: dict[str, list[tuple[int, int]]] = {}
        # Cleared, nothing is answered.
        self.alive = asyncio.Event()
        self.alive.set()
        self.url = ""

    def said(self, module: str) -> list[Pushed]:
        """Return what came for a module."""
        return [each for each in self.pushed if each.path.startswith(f"/{module}")]

    def registration(self, *modules: str) -> Registration:
        """Return what a handshake with it comes to."""
        return Registration(
            credential=Credential(TOKEN),
            versions_url=f"{self.url}/versions",
            roles=(THEM,),
            modules=tuple(
                Module(identifier=each, role="RECEIVER", url=f"{self.url}/{each}/")
                for each in modules
            ),
        )

    async def answer(self, request: Request) -> JSONResponse:
        """Take what is pushed."""
        encoded = base64.b64encode(TOKEN.encode()).decode()
        assert request.headers["authorization"] == f"Token {encoded}"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["ocpi-to-party-id"] == THEM.party_id
        await self.alive.wait()
        answers = self.answers.get(request.method, [])
        http, status = answers.pop(0) if answers else (200, 1000)
        body = json.loads(await request.body())
        self.pushed.append(Pushed(request.method, request.url.path, body))
        envelope = {"status_code": status, "timestamp": "2026-03-03T12:00:00Z"}
        return JSONResponse(envelope, http)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Answer while this is entered."""
        route = Route("/{path:path}", self.answer, methods=["GET", "PATCH", "POST", "PUT"])
        server = HttpServer(Starlette(routes=[route]), "127.0.0.1:0")
        self.url = f"http://127.0.0.1:{server.port}"
        running = asyncio.create_task(server.run())
        try:
            yield
        finally:
            self.alive.set()
            await server.stop()
            await running
