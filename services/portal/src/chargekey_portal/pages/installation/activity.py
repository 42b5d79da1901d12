"""`/installations/ID/activity`: who changed what, and when."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from chargekey_common.audit.together import Kept, changes
from chargekey_portal.names import names
from chargekey_portal.rendering import page
from chargekey_portal.sites import PAGE_SIZE, AtSite
from chargekey_portal.visitors import SignedIn

router = APIRouter()

_USER = "user:"


@router.get("/installations/{installation_id}/activity")
async def activity(request: Request, visitor: SignedIn, site: AtSite, after: str = "") -> Response:
    """List what was done at the installation, the newest first."""
    about = f"installation:{site.installation.id}"
    found, next_page = await changes(visitor.services.audits, about, most=PAGE_SIZE, before=after)
    people = {name.removeprefix(_USER) for name in map(_actor, found) if name.startswith(_USER)}
    people |= {each.change.fields["user_id"] for each in found if "user_id" in each.change.fields}
    return page(
        request,
        "installation/activity",
        site=site,
        changes=[(each.change, _actor(each)) for each in found],
        names=await names(visitor, site.installation.id, people),
        next_page=next_page,
    )


def _actor(kept: Kept) -> str:
    """Return who did it, or whoever set off the reaction that did."""
    return kept.by or kept.change.actor
