"""`/administration`: acting as an administrator, for minutes at a time, and no longer."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.identity.v1 import sign_in_pb2
from chargekey_portal import administrators
from chargekey_portal.mine import me
from chargekey_portal.refusals import DENIED, RefusedError, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.visitors import SignedIn

router = APIRouter()


@router.get("/administration")
async def administration(request: Request, visitor: SignedIn) -> Response:
    """Show what there is to administer, or ask whether to begin; refused to who may not."""
    acting = administrators.acting(request)
    if acting is not None:
        return page(request, "administration/begun", administrator=acting)
    his = await me(visitor)
    request.session["administers"] = his.administrator
    if not his.administrator:
        raise RefusedError(DENIED)
    return page(request, "administration/begin", refusal=None)


@router.post("/administration/act")
async def act(request: Request, visitor: SignedIn) -> Response:
    """Begin; identity records it."""
    his = await me(visitor)
    try:
        answer = await visitor.services.sign_in.ActAsAdministrator(
            sign_in_pb2.ActAsAdministratorRequest()
        )
    except aio.AioRpcError as error:
        refusal = refusal_of(error)
        return page(request, "administration/begin", refusal=refusal)
    return see(administrators.begin(request, answer, his.time_zone))


@router.post("/administration/stop")
async def stop(request: Request, _: SignedIn) -> Response:
    """End it."""
    administrators.stop(request)
    return see("/administration", "acting_stopped")
