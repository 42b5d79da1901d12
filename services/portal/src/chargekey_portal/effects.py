"""What a change would do, told before it is done."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TypeAlias

import msgspec
from grpc import aio

from chargekey.gateway.v1 import decisions_pb2 as pb
from chargekey_portal import names
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.visitors import Visitor

# That are shown one by one.
SHOWN = 20


class Effects(msgspec.Struct, frozen=True):
    """Who could no longer, or newly, charge where, by names; an empty name is anybody else."""

    losses: Sequence[tuple[str, str]]
    losses_in_all: int
    gains: Sequence[tuple[str, str]]
    gains_in_all: int
    # Running sessions that would be stopped, by the policies of the site.
    stopped: int


Preview: TypeAlias = Effects | Refusal


async def preview(visitor: Visitor, change: pb.PreviewChangeRequest) -> Preview:
    """Return what would come of it, or why that cannot be told."""
    try:
        told = await visitor.services.previews.PreviewChange(change)
        site = change.installation_id
        losses, gains = list(islice(told.losses, SHOWN)), list(islice(told.gains, SHOWN))
        ids = [each.user_id for each in (*losses, *gains)]
        called = await names.names(visitor, site, ids)
        spots = (each.charger_id for each in (*losses, *gains))
        chargers = await names.chargers(visitor, site, spots)
    except aio.AioRpcError as error:
        return refusal_of(error)

    def named(effects: Sequence[pb.Effect]) -> Sequence[tuple[str, str]]:
        return [(called.get(each.user_id, ""), chargers[each.charger_id]) for each in effects]

    return Effects(
        named(losses),
        told.losses_in_all,
        named(gains),
        told.gains_in_all,
        len(told.stopped_session_ids),
    )
