"""`/installations/ID/activity`: who changed what, and when."""

from __future__ import annotations

import asyncio
from functools import partial

from fastapi import APIRouter, Request, Response

from chargekey.identity.v1.identifications_pb2 import IdentificationType
from chargekey_common.audit.together import changes
from chargekey_portal import activity as told
from chargekey_portal import names, words
from chargekey_portal.rendering import page, said
from chargekey_portal.sites import PAGE_SIZE, AtSite
from chargekey_portal.visitors import SignedIn, language

router = APIRouter()


@router.get("/installations/{installation_id}/activity")
async def activity(request: Request, visitor: SignedIn, site: AtSite, after: str = "") -> Response:
    """Tell what was done at the installation, the newest first."""
    here = site.installation
    found, next_page = await changes(
        visitor.services.audits, f"installation:{here.id}", most=PAGE_SIZE, before=after
    )
    people, chargers, partners, held = await asyncio.gather(
        names.known(visitor, here.id, told.users(found)),
        names.chargers(visitor, here.id, told.chargers(found)),
        names.partners(visitor, here.id, told.partners(found)),
        names.identifications(visitor, here.id, told.identifications(found)),
    )
    known = told.Known(
        installation_id=here.id,
        people=people,
        chargers=chargers,
        partners=partners,
        types={
            key: IdentificationType.Name(each.type).removeprefix("IDENTIFICATION_TYPE_")
            for key, each in held.items()
        },
    )
    day = words.filters(language(request))["day"]
    writing = told.Writing(partial(said, request), partial(day, zone=here.time_zone))
    sentences = [(each.change.at, told.sentence(each, known, writing)) for each in found]
    return page(
        request,
        "installation/activity",
        site=site,
        done=[(at, sentence) for at, sentence in sentences if sentence is not None],
        next_page=next_page,
    )
