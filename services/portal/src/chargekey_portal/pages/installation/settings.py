"""`/installations/ID/settings`: General, Authentication, Security."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.access.v1 import installations_pb2 as pb
from chargekey_portal import seen
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
    return _general(request, site)


@router.post(SETTINGS + "/name")
async def rename(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    command_id: Text = "",
    name: Text = "",
    instead_of: Text = "",
) -> Response:
    """Call it something else."""
    asked = pb.RenameInstallationRequest(
        command_id=command_id,
        installation_id=site.installation.id,
        name=name,
        instead_of=seen.read(pb.RenameInstallationRequest, instead_of).name,
    )
    try:
        await visitor.services.installations.RenameInstallation(asked)
    except aio.AioRpcError as error:
        refusal = refusal_of(error)
        typed = pb.RenameInstallationRequest(name=name)
        called = seen.again(_named(site), typed, instead_of, refusal)
        return _general(request, site, refusal, name=called)
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
    instead_of: Text = "",
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
        command_id=command_id,
        installation_id=site.installation.id,
        address=typed,
        instead_of=seen.read(pb.Address, instead_of),
    )
    try:
        await visitor.services.installations.SetInstallationAddress(asked)
    except aio.AioRpcError as error:
        refusal = refusal_of(error)
        place = seen.again(site.installation.address, typed, instead_of, refusal)
        return _general(request, site, refusal, place=place)
    return see(f"{site.path}/settings", "saved")


@router.get(AUTHENTICATION)
async def authentication(request: Request, site: AtSite) -> Response:
    """Show who decides, and whether something must be presented."""
    return page(request, "installation/settings_authentication", site=site, refusal=None)


@router.post(AUTHENTICATION)
async def set_authentication(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    command_id: Text = "",
    authentication_type: Number = 0,
    authorisation_required: Ticked = False,
    was_authentication_type: Number = 0,
    was_required: Ticked = False,
) -> Response:
    """Say who decides, and whether something must be presented: of both, what was changed here.

    Not what is another by now: somebody else has changed that.
    """
    now, installations = site.installation, visitor.services.installations
    try:
        if authentication_type not in (0, was_authentication_type):
            await installations.SetAuthenticationType(
                pb.SetAuthenticationTypeRequest(
                    command_id=f"{command_id}-type" if command_id else "",
                    installation_id=now.id,
                    authentication_type=pb.AuthenticationType.ValueType(authentication_type),
                )
            )
            # Done, whatever comes of the other: so it is shown.
            now.authentication_type = pb.AuthenticationType.ValueType(authentication_type)
        if authorisation_required != was_required:
            await installations.SetAuthorisationRequired(
                pb.SetAuthorisationRequiredRequest(
                    command_id=command_id,
                    installation_id=now.id,
                    authorisation_required=authorisation_required,
                )
            )
    except aio.AioRpcError as error:
        return _refused(request, site, "installation/settings_authentication", error)
    return see(f"{site.path}/settings/authentication", "saved")


@router.post(AUTHENTICATION + "/overrides-allowed")
async def set_overrides_allowed(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    command_id: Text = "",
    overrides_allowed: Ticked = False,
    was_allowed: Ticked = False,
) -> Response:
    """Let chargers of a managed site deviate from it, which its operator says."""
    if overrides_allowed == was_allowed:
        return see(f"{site.path}/settings/authentication", "saved")
    asked = pb.SetOverridesAllowedRequest(
        command_id=command_id,
        installation_id=site.installation.id,
        overrides_allowed=overrides_allowed,
    )
    try:
        await visitor.services.installations.SetOverridesAllowed(asked)
    except aio.AioRpcError as error:
        return _refused(request, site, "installation/settings_authentication", error)
    return see(f"{site.path}/settings/authentication", "saved")


@router.get(AUTHENTICATION + "/disconnect")
async def ask_to_disconnect(request: Request, site: AtSite) -> Response:
    """Tell what it means that nobody manages the site any more."""
    site.require("access.DisconnectOperator")
    return page(request, "installation/settings_disconnect", site=site, refusal=None)


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
        return _refused(request, site, "installation/settings_disconnect", error)
    # Who managed it has no page of it any more.
    gone = "access.SetOverridesAllowed" in site.may
    there = "/installations" if gone else f"{site.path}/settings/authentication"
    return see(there, "operator_disconnected")


@router.get(SECURITY)
async def security(request: Request, site: AtSite) -> Response:
    """Show what counts when somebody is blocked, something is away, or a PIN is made."""
    return _security(request, site, seen.fresh(site.installation.policies))


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
    instead_of: Text = "",
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
        command_id=command_id,
        installation_id=site.installation.id,
        policies=typed,
        instead_of=seen.read(pb.Policies, instead_of),
    )
    try:
        await visitor.services.installations.SetPolicies(asked)
    except aio.AioRpcError as error:
        refusal = refusal_of(error)
        form = seen.again(site.installation.policies, typed, instead_of, refusal)
        return _security(request, site, form, refusal)
    return see(f"{site.path}/settings/security", "saved")


def _general(
    request: Request,
    site: Site,
    refusal: Refusal | None = None,
    *,
    name: seen.Form[pb.RenameInstallationRequest] | None = None,
    place: seen.Form[pb.Address] | None = None,
) -> Response:
    """Show both forms; the one given as it was typed."""
    return page(
        request,
        "installation/settings",
        site=site,
        refusal=refusal,
        name=name or seen.fresh(_named(site)),
        place=place or seen.fresh(site.installation.address),
    )


def _named(site: Site) -> pb.RenameInstallationRequest:
    """Return what the form of the name was made from."""
    return pb.RenameInstallationRequest(name=site.installation.name)


def _security(
    request: Request, site: Site, form: seen.Form[pb.Policies], refusal: Refusal | None = None
) -> Response:
    return page(request, "installation/settings_security", site=site, form=form, refusal=refusal)


def _refused(request: Request, site: Site, template: str, error: aio.AioRpcError) -> Response:
    return page(request, template, site=site, refusal=refusal_of(error))
