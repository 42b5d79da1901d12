"""`/profile/data`: all there is about somebody, to take along or to erase."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import chain
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from google.protobuf.json_format import MessageToDict

from chargekey.access.v1 import permissions_pb2
from chargekey.audit.v1 import audit_pb2
from chargekey.history.v1 import history_pb2
from chargekey.identity.v1 import privacy_pb2
from chargekey_common.pages import every
from chargekey_portal import visitors
from chargekey_portal.forms import Text
from chargekey_portal.mine import me
from chargekey_portal.refusals import ADDRESS_NOT_YOURS, Refusal, why_refused
from chargekey_portal.rendering import page, see
from chargekey_portal.visitors import SignedIn

router = APIRouter()


@router.get("/profile/data")
async def data(request: Request, _: SignedIn) -> Response:
    """Show what can be done."""
    return page(request, "profile/data")


@router.post("/profile/data")
async def export(visitor: SignedIn, command_id: Text = "") -> Response:
    """Answer everything as a file; codes are in it, so that it was asked for is recorded."""
    user_id, services = visitor.user_id, visitor.services
    asked = privacy_pb2.ExportUserRequest(command_id=command_id, user_id=user_id)
    about = audit_pb2.ListChangesRequest
    exported, permissions, sessions, refusals, *changes = await asyncio.gather(
        services.privacy.ExportUser(asked),
        every(
            services.permissions.ListPermissionsOfUser,
            permissions_pb2.ListPermissionsOfUserRequest(),
            "permissions",
        ),
        every(
            services.history.ListSessions,
            history_pb2.ListSessionsRequest(user_id=user_id),
            "sessions",
        ),
        every(
            services.history.ListRefusals,
            history_pb2.ListRefusalsRequest(user_id=user_id),
            "refusals",
        ),
        *(
            every(audit.ListChanges, about(object=f"user:{user_id}"), "changes")
            for audit in services.audits.values()
        ),
    )
    document = {
        "identity": msgspec.Raw(exported.document),
        "permissions": _written(permissions),
        "sessions": _written(sessions),
        "refusals": _written(refusals),
        "changes": _written(sorted(chain(*changes), key=lambda each: each.at)),
    }
    return Response(
        msgspec.json.format(msgspec.json.encode(document)),
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": 'attachment; filename="chargekey.json"',
        },
        media_type="application/json",
    )


@router.get("/profile/erase")
async def ask_to_erase(request: Request, _: SignedIn) -> Response:
    """Ask for his own address, as a sign that it is meant."""
    return _erase(request)


@router.post("/profile/erase")
async def erase(
    request: Request,
    visitor: SignedIn,
    command_id: Text = "",
    email: Text = "",
) -> Response:
    """Make everything personal of him unreadable; nobody is signed in from then on."""
    if email.strip().lower() != (await me(visitor)).email.lower():
        return _erase(request, ADDRESS_NOT_YOURS)
    asked = privacy_pb2.EraseUserRequest(command_id=command_id, user_id=visitor.user_id)
    refusal = await why_refused(visitor.services.privacy.EraseUser(asked))
    if refusal is not None:
        return _erase(request, refusal)
    visitors.end(request)
    return see("/sign-in", "erased")


def _erase(request: Request, refusal: Refusal | None = None) -> Response:
    return page(request, "profile/erasure", refusal=refusal)


def _written(messages: Iterable[Any]) -> list[dict[str, Any]]:
    return [MessageToDict(each, preserving_proto_field_name=True) for each in messages]
