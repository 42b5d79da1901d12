"""`/installations/ID/settings`: General, Authentication, Security."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.access.v1 import installations_pb2 as pb
from chargekey_portal.forms import Number, Text, Ticked
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import AtSite, Site
from chargekey_portal.visitors import SignedIn

SETTINGS = "/installations/{installation_id}/settings"
AUTHENTICATION = SETTINGS + "/authentication"
SECURITY = SETTINGS + "/security"

router = APIRouter()


@router.get(SETTINGS)
async def general(request: Request, site: AtSite) -> Response:
    """Show what it is called and where it is."""
    return _page(request, site, "installation/settings")


@router.post(SETTINGS + "/name")
async def rename(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    command_id: Text = "",
    name: Text = "",
) -> Response:
    """Call it something else."""
    asked = pb.RenameInstallationRequest(
        command_id=command_id, installation_id=site.installation.id, name=name
    )
    try:
        await visitor.services.installations.RenameInstallation(asked)
    except aio.AioRpcError as error:
        return _page(request, site, "installation/settings", refusal_of(error))
    return see(f"{site.path}/settings", "saved")


@router.post(SETTINGS + "/address")
async def set_address(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    command_id: Text = "",
    address: Text = "",
    postal_code: Text = "",
    city: Text = "",
    country: Text = "",
    latitude: Text = "",
    longitude: Text = "",
) -> Response:
    """Say where it is."""
    typed = pb.Address(
        address=address,
        postal_code=postal_code,
        city=city,
        country=country,
        latitude=latitude,
        longitude=longitude,
    )
    asked = pb.SetInstallationAddressRequest(
        command_id=command_id, installation_id=site.installation.id, address=typed
    )
    try:
        await visitor.services.installations.SetInstallationAddress(asked)
    except aio.AioRpcError as error:
        site.installation.address.CopyFrom(typed)
        return _page(request, site, "installation/settings", refusal_of(error))
    return see(f"{site.path}/settings", "saved")


@router.get(AUTHENTICATION)
async def authentication(request: Request, site: AtSite) -> Response:
    """Show who decides, and whether something must be presented."""
    return _page(request, site, "installation/settings_authentication")


@router.post(AUTHENTICATION)
async def set_authentication(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    command_id: Text = "",
    authentication_type: Number = 0,
    authorisation_required: Ticked = False,
) -> Response:
    """Say who decides, and whether something must be presented: of both, what is another."""
    now, installations = site.installation, visitor.services.installations
    try:
        if authentication_type not in (0, now.authentication_type):
            await installations.SetAuthenticationType(
                pb.SetAuthenticationTypeRequest(
                    command_id=f"{command_id}-type" if command_id else "",
                    installation_id=now.id,
                    authentication_type=pb.AuthenticationType.ValueType(authentication_type),
                )
            )
        if authorisation_required != now.authorisation_required:
            await installations.SetAuthorisationRequired(
                pb.SetAuthorisationRequiredRequest(
                    command_id=command_id,
                    installation_id=now.id,
                    authorisation_required=authorisation_required,
                )
            )
    except aio.AioRpcError as error:
        return _page(request, site, "installation/settings_authentication", refusal_of(error))
    return see(f"{site.path}/settings/authentication", "saved")


@router.post(AUTHENTICATION + "/overrides-allowed")
async def set_overrides_allowed(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    command_id: Text = "",
    overrides_allowed: Ticked = False,
) -> Response:
    """Let chargers of a managed site deviate from it, which its operator says."""
    asked = pb.SetOverridesAllowedRequest(
        command_id=command_id,
        installation_id=site.installation.id,
        overrides_allowed=overrides_allowed,
    )
    try:
        await visitor.services.installations.SetOverridesAllowed(asked)
    except aio.AioRpcError as error:
        return _page(request, site, "installation/settings_authentication", refusal_of(error))
    return see(f"{site.path}/settings/authentication", "saved")


@router.get(AUTHENTICATION + "/disconnect")
async def ask_to_disconnect(request: Request, site: AtSite) -> Response:
    """Tell what it means that nobody manages the site any more."""
    return _page(request, site, "installation/settings_disconnect")


@router.post(AUTHENTICATION + "/disconnect")
async def disconnect(
    request: Request, visitor: SignedIn, site: AtSite, command_id: Text = ""
) -> Response:
    """End it: native and restricted from then on."""
    asked = pb.DisconnectOperatorRequest(
        command_id=command_id, installation_id=site.installation.id
    )
    try:
        await visitor.services.installations.DisconnectOperator(asked)
    except aio.AioRpcError as error:
        return _page(request, site, "installation/settings_disconnect", refusal_of(error))
    return see(f"{site.path}/settings/authentication", "operator_disconnected")


@router.get(SECURITY)
async def security(request: Request, site: AtSite) -> Response:
    """Show what counts when somebody is blocked, something is away, or a PIN is made."""
    return _page(request, site, "installation/settings_security")


@router.post(SECURITY)
async def set_policies(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    command_id: Text = "",
    on_block: Number = 0,
    on_revoke: Number = 0,
    on_operator_timeout: Number = 0,
    offline_unknown_ids: Ticked = False,
    offline_pins: Ticked = False,
    master_pass: Ticked = False,
    pin_length: Number = 0,
    view_bound_minutes: Number = 0,
    on_view_behind: Number = 0,
) -> Response:
    """Set them all in one step."""
    typed = pb.Policies(
        on_block=pb.RunningSessions.ValueType(on_block),
        on_revoke=pb.RunningSessions.ValueType(on_revoke),
        on_operator_timeout=pb.OnOperatorTimeout.ValueType(on_operator_timeout),
        offline_unknown_ids=offline_unknown_ids,
        offline_pins=offline_pins,
        master_pass=master_pass,
        pin_length=pin_length,
        view_bound_minutes=view_bound_minutes,
        on_view_behind=pb.OnViewBehind.ValueType(on_view_behind),
    )
    asked = pb.SetPoliciesRequest(
        command_id=command_id, installation_id=site.installation.id, policies=typed
    )
    try:
        await visitor.services.installations.SetPolicies(asked)
    except aio.AioRpcError as error:
        site.installation.policies.CopyFrom(typed)
        return _page(request, site, "installation/settings_security", refusal_of(error))
    return see(f"{site.path}/settings/security", "saved")


def _page(request: Request, site: Site, template: str, refusal: Refusal | None = None) -> Response:
    return page(request, template, site=site, refusal=refusal)
