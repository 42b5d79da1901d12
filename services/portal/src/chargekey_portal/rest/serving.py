"""The addresses of REST: what the table says, the document about it, and a page that shows it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import Request, Response
from starlette.routing import BaseRoute, Route

from chargekey_portal.rendering import page
from chargekey_portal.rest import calls, openapi
from chargekey_portal.rest.endpoints import PREFIX, Endpoint, endpoints

Answering = Callable[[Request], Awaitable[Response]]


def routes() -> list[BaseRoute]:
    """Return all of them, ready to be asked."""
    by_address: dict[str, dict[str, Endpoint]] = {}
    for each in endpoints():
        by_address.setdefault(each.address, {})[each.route.method] = each
    openapi.encoded()  # once, and not for whoever comes first
    return [
        Route(f"{PREFIX}/openapi.json", _document),
        Route(f"{PREFIX}/docs", _docs),
        *(
            # One for all of an address's methods: a refusal of any other lists them all.
            Route(address, _answering(methods), methods=list(methods))
            for address, methods in by_address.items()
        ),
    ]


def _answering(methods: Mapping[str, Endpoint]) -> Answering:
    async def answering(request: Request) -> Response:
        asked = "GET" if request.method == "HEAD" else request.method
        return await calls.answer(methods[asked], request)

    return answering


async def _document(_: Request) -> Response:
    return Response(openapi.encoded(), media_type="application/json")


async def _docs(request: Request) -> Response:
    return page(request, "api")
