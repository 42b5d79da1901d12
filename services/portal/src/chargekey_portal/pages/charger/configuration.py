"""`/chargers/ID/configuration`: what may be presented at a charger, and its own settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from grpc import aio

from chargekey.access.v1 import chargers_pb2
from chargekey.gateway.v1 import commands_pb2, decisions_pb2
from chargekey.identity.v1.identifications_pb2 import IdentificationType
from chargekey_portal import seen
from chargekey_portal.effects import Preview, preview
from chargekey_portal.forms import Text, Ticked
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import AtCharger, Spot
from chargekey_portal.visitors import SignedIn, Visitor
from chargekey_portal.words import IDENTIFICATION_TYPES

router = APIRouter()

_BELOW = "configuration/user/charging-authorization"
_PREFIX = "IDENTIFICATION_TYPE_"
_READ = "gateway.GetChargerSettings"


@router.get("/chargers/{charger_id}/configuration")
async def configuration(request: Request, spot: AtCharger) -> Response:
    """Lead on to its parts."""
    spot.require(_READ)
    return page(request, "charger/configuration_start", spot=spot)


@router.get(f"/chargers/{{charger_id}}/{_BELOW}")
async def charging_authorization(request: Request, spot: AtCharger) -> Response:
    """Show what may be presented there."""
    return _charging_authorization(request, spot)


@router.post(f"/chargers/{{charger_id}}/{_BELOW}")
async def set_types(
    request: Request,
    visitor: SignedIn,
    spot: AtCharger,
    command_id: Text = "",
    enabled: Annotated[Sequence[int], Form()] = (),
    instead_of: Text = "",
    look: Ticked = False,
) -> Response:
    """Let these types of identification be presented there, and no others.

    With `look` nothing is changed, and told what would come of it.
    """
    wanted = [
        IdentificationType.ValueType(each) for each in enabled if each in IDENTIFICATION_TYPES
    ]
    if look:
        names = [IdentificationType.Name(each).removeprefix(_PREFIX) for each in wanted]
        change = decisions_pb2.PreviewChangeRequest(
            installation_id=spot.installation.id,
            accepted_types=decisions_pb2.AcceptedTypes(charger_id=spot.charger.id, types=names),
        )
        effects = await preview(visitor, change)
        typed = chargers_pb2.IdentificationTypes(types=wanted)
        form = seen.kept(typed, instead_of)
        return _charging_authorization(request, spot, form=form, effects=effects)
    asked = chargers_pb2.SetIdentificationTypesRequest(
        command_id=command_id,
        charger_id=spot.charger.id,
        identification_types=wanted,
        instead_of=seen.read(chargers_pb2.IdentificationTypes, instead_of),
    )
    try:
        await visitor.services.chargers.SetIdentificationTypes(asked)
    except aio.AioRpcError as error:
        refusal = refusal_of(error)
        typed = chargers_pb2.IdentificationTypes(types=wanted)
        form = seen.again(_accepted(spot), typed, instead_of, refusal)
        return _charging_authorization(request, spot, refusal, form=form)
    return see(f"{spot.path}/{_BELOW}", "saved")


@router.get("/chargers/{charger_id}/configuration/charger")
async def own_settings(
    request: Request, visitor: SignedIn, spot: AtCharger, name: str = ""
) -> Response:
    """Show those of its own that bear on who may charge, or one by its name."""
    return await _own_settings(request, visitor, spot, name=name)


@router.post("/chargers/{charger_id}/configuration/charger")
async def change_own_setting(
    request: Request,
    visitor: SignedIn,
    spot: AtCharger,
    name: Text = "",
    value: Text = "",
) -> Response:
    """Change one of them."""
    asked = commands_pb2.ChangeChargerSettingRequest(
        charger_id=spot.charger.id, name=name, value=value
    )
    try:
        answer = await visitor.services.charger_commands.ChangeChargerSetting(asked)
    except aio.AioRpcError as error:
        return await _own_settings(request, visitor, spot, refusal_of(error), typed=(name, value))
    told = {"accepted": "charger_set", "reboot_required": "charger_set_after_boot"}
    if answer.outcome.outcome in told:
        return see(f"{spot.path}/configuration/charger", told[answer.outcome.outcome])
    return await _own_settings(request, visitor, spot, outcome=answer.outcome, typed=(name, value))


def _charging_authorization(
    request: Request,
    spot: Spot,
    refusal: Refusal | None = None,
    *,
    form: seen.Form[chargers_pb2.IdentificationTypes] | None = None,
    effects: Preview | None = None,
) -> Response:
    spot.require(_READ)
    return page(
        request,
        "charger/charging_authorization",
        refusal=refusal,
        spot=spot,
        effects=effects,
        form=form or seen.fresh(_accepted(spot)),
    )


def _accepted(spot: Spot) -> chargers_pb2.IdentificationTypes:
    return chargers_pb2.IdentificationTypes(types=spot.charger.identification_types)


async def _own_settings(
    request: Request,
    visitor: Visitor,
    spot: Spot,
    refusal: Refusal | None = None,
    *,
    outcome: commands_pb2.CommandOutcome | None = None,
    name: str = "",
    typed: tuple[str, str] = ("", ""),
) -> Response:
    """Show them as the charger tells them now; why not, where it does not."""
    spot.require(_READ)
    asked = commands_pb2.GetChargerSettingsRequest(
        charger_id=spot.charger.id, names=[name] if name else []
    )
    settings: Sequence[commands_pb2.ChargerSetting] = ()
    untold = None
    try:
        answer = await visitor.services.charger_commands.GetChargerSettings(asked)
        settings = answer.settings
    except aio.AioRpcError as error:
        untold = refusal_of(error)
    return page(
        request,
        "charger/own_settings",
        refusal=refusal or untold,
        outcome=outcome,
        spot=spot,
        settings=settings,
        name=name,
        typed=typed,
    )
