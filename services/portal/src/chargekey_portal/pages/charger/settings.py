"""`/chargers/ID/settings`: what must be presented there, its reader, its place, its password."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from grpc import aio

from chargekey.access.v1 import chargers_pb2 as pb
from chargekey.access.v1 import installations_pb2
from chargekey.gateway.v1 import decisions_pb2
from chargekey_portal import seen
from chargekey_portal.effects import Preview, preview
from chargekey_portal.forms import Number, Text, Ticked
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import AtCharger, Spot
from chargekey_portal.visitors import SignedIn

router = APIRouter()

INHERIT = pb.AUTHORISATION_OVERRIDE_INHERIT
REQUIRED = pb.AUTHORISATION_OVERRIDE_REQUIRED
NOT_REQUIRED = pb.AUTHORISATION_OVERRIDE_NOT_REQUIRED
_PREFIX = "AUTHORISATION_OVERRIDE_"
# Of installations to move to, as many as are listed at once.
_CHOICES = 1000


@router.get("/chargers/{charger_id}/settings")
async def settings(request: Request, spot: AtCharger) -> Response:
    """Show them."""
    return _settings(request, spot)


@router.post("/chargers/{charger_id}/settings/authorisation")
async def set_authorisation(
    request: Request,
    visitor: SignedIn,
    spot: AtCharger,
    command_id: Text = "",
    authorisation_required: Ticked = False,
    as_installation: Ticked = False,
    was_required: Ticked = False,
    was_as_installation: Ticked = False,
    instead_of: Number = 0,
    look: Ticked = False,
) -> Response:
    """Let it deviate from the installation, or do as the installation does again.

    Of the two boxes the one that was changed counts: who leaves "as the installation" as it
    was and unticks "authorisation required" lets the charger deviate. With `look` nothing is
    changed, and told what would come of it.
    """
    unchanged = authorisation_required == was_required
    if as_installation and (unchanged or not was_as_installation):
        override = INHERIT
    else:
        override = REQUIRED if authorisation_required else NOT_REQUIRED
    if look:
        change = decisions_pb2.PreviewChangeRequest(
            installation_id=spot.installation.id,
            authorisation_override=decisions_pb2.AuthorisationOverride(
                charger_id=spot.charger.id,
                override=pb.AuthorisationOverride.Name(override).removeprefix(_PREFIX),
            ),
        )
        return _settings(
            request,
            spot,
            override=override,
            instead_of=instead_of,
            effects=await preview(visitor, change),
        )
    asked = pb.SetAuthorisationOverrideRequest(
        command_id=command_id,
        charger_id=spot.charger.id,
        authorisation_override=override,
        instead_of=pb.AuthorisationOverride.ValueType(instead_of),
    )
    try:
        await visitor.services.chargers.SetAuthorisationOverride(asked)
    except aio.AioRpcError as error:
        refusal = refusal_of(error)
        return _settings(request, spot, refusal, override=override, instead_of=instead_of)
    return see(f"{spot.path}/settings", "saved")


@router.post("/chargers/{charger_id}/settings/reader")
async def set_reader(
    request: Request,
    visitor: SignedIn,
    spot: AtCharger,
    command_id: Text = "",
    reversed_: Annotated[bool, Form(alias="reversed")] = False,
    truncated: Ticked = False,
    prefix: Text = "",
    instead_of: Text = "",
) -> Response:
    """Note how its card reader deviates."""
    quirks = pb.ReaderQuirks(reversed=reversed_, truncated=truncated, prefix=prefix)
    asked = pb.SetReaderQuirksRequest(
        command_id=command_id,
        charger_id=spot.charger.id,
        reader_quirks=quirks,
        instead_of=seen.read(pb.ReaderQuirks, instead_of),
    )
    try:
        await visitor.services.chargers.SetReaderQuirks(asked)
    except aio.AioRpcError as error:
        refusal = refusal_of(error)
        reader = seen.again(spot.charger.reader_quirks, quirks, instead_of, refusal)
        return _settings(request, spot, refusal, reader=reader)
    return see(f"{spot.path}/settings", "saved")


@router.get("/chargers/{charger_id}/move")
async def ask_where(request: Request, visitor: SignedIn, spot: AtCharger) -> Response:
    """Ask where it comes to, and say what that takes away."""
    spot.require("access.MoveCharger")
    return page(request, "charger/move", **await _choices(visitor, spot))


@router.post("/chargers/{charger_id}/move")
async def move(
    request: Request,
    visitor: SignedIn,
    spot: AtCharger,
    command_id: Text = "",
    installation_id: Text = "",
) -> Response:
    """Move it."""
    asked = pb.MoveChargerRequest(
        command_id=command_id, charger_id=spot.charger.id, installation_id=installation_id
    )
    try:
        await visitor.services.chargers.MoveCharger(asked)
    except aio.AioRpcError as error:
        refusal = refusal_of(error)
        words = await _choices(visitor, spot, refusal, installation_id)
        return page(request, "charger/move", **words)
    return see(spot.path, "charger_moved")


@router.get("/chargers/{charger_id}/password")
async def ask_to_replace(request: Request, spot: AtCharger) -> Response:
    """Say what another password means."""
    spot.require("access.ReplaceChargerPassword")
    return _password(request, spot)


@router.post("/chargers/{charger_id}/password")
async def replace(
    request: Request, visitor: SignedIn, spot: AtCharger, command_id: Text = ""
) -> Response:
    """Give it another one, and show it this once."""
    asked = pb.ReplaceChargerPasswordRequest(command_id=command_id, charger_id=spot.charger.id)
    try:
        replaced = await visitor.services.chargers.ReplaceChargerPassword(asked)
    except aio.AioRpcError as error:
        return _password(request, spot, refusal_of(error))
    return _password(request, spot, password=replaced.password)


def _settings(
    request: Request,
    spot: Spot,
    refusal: Refusal | None = None,
    *,
    override: pb.AuthorisationOverride.ValueType | None = None,
    instead_of: int = 0,
    reader: seen.Form[pb.ReaderQuirks] | None = None,
    effects: Preview | None = None,
) -> Response:
    """Show them; those given as somebody wants them, where that is not done."""
    spot.require("access.SetAuthorisationOverride")
    charger, installation = spot.charger, spot.installation
    managed_by = installation.managed_by if installation.HasField("managed_by") else None
    now = charger.authorisation_override
    chosen = now if override is None else override
    changed = refusal is not None and refusal.code == seen.CHANGED and reader is None
    required = charger.authorisation_required
    return page(
        request,
        "charger/settings",
        refusal=refusal,
        spot=spot,
        effects=effects,
        # While an operator is connected that does not allow it, no charger deviates.
        fixed=managed_by is not None and not managed_by.overrides_allowed,
        was_as_installation=charger.authorisation_override == INHERIT,
        as_installation=chosen == INHERIT,
        required=required if override in {None, INHERIT} else override == REQUIRED,
        # Somebody else has set it meanwhile; who is told so, replaces that.
        override_changed=changed,
        instead_of=now if changed or override is None else instead_of,
        reader=reader or seen.fresh(charger.reader_quirks),
    )


async def _choices(
    visitor: SignedIn, spot: Spot, refusal: Refusal | None = None, chosen: str = ""
) -> Mapping[str, Any]:
    asked = installations_pb2.ListInstallationsRequest(page_size=_CHOICES)
    listed = (await visitor.services.installations.ListInstallations(asked)).installations
    others = [each for each in listed if each.id != spot.installation.id]
    return {"spot": spot, "installations": others, "refusal": refusal, "chosen": chosen}


def _password(
    request: Request, spot: Spot, refusal: Refusal | None = None, *, password: str = ""
) -> Response:
    return page(
        request,
        "charger/new_password",
        refusal=refusal,
        spot=spot,
        password=password,
        ocpp_url=request.app.state.settings.ocpp_url,
    )
