"""`chargekey installation`: sites."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import typer

from chargekey.access.v1 import installations_pb2 as pb
from chargekey.access.v1 import owners_pb2
from chargekey.gateway.v1 import decisions_pb2
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.pages import every
from chargekey_stack.answers import Answer, Document, done, fields, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.errors import (
    DryRunImpossibleError,
    NothingToChangeError,
    SubjectMissingError,
)
from chargekey_stack.operators import silent_operator
from chargekey_stack.options import Email, OptionalUser, Search, given
from chargekey_stack.options import InstallationArgument as Id
from chargekey_stack.preview import DryRun, preview
from chargekey_stack.words import AUTHENTICATIONS, ON_OPERATOR_TIMEOUT, ON_VIEW_BEHIND, RUNNING

app = group("installation", "Sites: the top unit, with a time zone and who must show something.")

YesNo = Literal["yes", "no"]


@command(app, "create", "chargekey installation create --name Home --time-zone Europe/Oslo")
async def create(
    client: Client,
    *,
    name: Annotated[str, typer.Option("--name", help="What people call it.")],
    time_zone: Annotated[str, typer.Option("--time-zone", help="As in Europe/Oslo.")],
) -> Answer:
    """Create an installation; who wants to charge there must be known, until set otherwise."""
    created = await client.installations.CreateInstallation(
        pb.CreateInstallationRequest(name=name, time_zone=time_zone)
    )
    return done(
        f"Created the installation {created.installation_id}.",
        id=created.installation_id,
        position=created.position,
    )


@command(app, "rename", "chargekey installation rename 3f0c... --name 'Home, lower garage'")
async def rename(
    client: Client,
    *,
    installation: Id,
    name: Annotated[str, typer.Option("--name", help="What people are to call it.")],
) -> Answer:
    """Call an installation something else."""
    renamed = await client.installations.RenameInstallation(
        pb.RenameInstallationRequest(installation_id=installation, name=name)
    )
    return done("Renamed.", position=renamed.position)


@command(
    app,
    "address",
    "chargekey installation address 3f0c... --address 'Storgata 1' --postal-code 0155"
    " --city Oslo --country NOR --latitude 59.913868 --longitude 10.752245",
)
async def address(
    client: Client,
    *,
    installation: Id,
    address: Annotated[str, typer.Option("--address", help="Street and number.")],
    city: Annotated[str, typer.Option("--city", help="City or town.")],
    country: Annotated[str, typer.Option("--country", help="Three letters, as in NOR.")],
    latitude: Annotated[str, typer.Option("--latitude", help="Decimal degrees north.")],
    longitude: Annotated[str, typer.Option("--longitude", help="Decimal degrees east.")],
    postal_code: Annotated[str, typer.Option("--postal-code", help="Where there is one.")] = "",
) -> Answer:
    """Say where an installation is: what OCPI tells its operator needs an address."""
    placed = await client.installations.SetInstallationAddress(
        pb.SetInstallationAddressRequest(
            installation_id=installation,
            address=pb.Address(
                address=address,
                postal_code=postal_code,
                city=city,
                country=country,
                latitude=latitude,
                longitude=longitude,
            ),
        )
    )
    return done("The installation is there.", position=placed.position)


@command(app, "set", "chargekey installation set 3f0c... --authorisation-required no")
async def set_(
    client: Client,
    *,
    installation: Id,
    authorisation_required: Annotated[
        YesNo | None,
        typer.Option("--authorisation-required", help="Whether something must be presented."),
    ] = None,
    authentication: Annotated[
        Literal["native", "external"] | None,
        typer.Option(
            "--authentication", help="Who decides: the permissions, or the connected operator."
        ),
    ] = None,
    dry_run: DryRun = False,
) -> Answer:
    """Open an installation to everybody, or restrict it; say who decides. Sessions go on."""
    if authorisation_required is None and authentication is None:
        raise NothingToChangeError
    if dry_run:
        if authentication is not None:
            raise DryRunImpossibleError
        there = pb.GetInstallationRequest(installation_id=installation)
        await client.installations.GetInstallation(there)
        change = decisions_pb2.PreviewChangeRequest(
            installation_id=installation, authorisation_required=authorisation_required == "yes"
        )
        return await preview(client, change)
    position = ""
    now: list[str] = []
    if authentication is not None:
        typed = await client.installations.SetAuthenticationType(
            pb.SetAuthenticationTypeRequest(
                installation_id=installation,
                authentication_type=AUTHENTICATIONS.number(authentication),
            )
        )
        position = typed.position
        now.append(authentication)
    if authorisation_required is not None:
        required = await client.installations.SetAuthorisationRequired(
            pb.SetAuthorisationRequiredRequest(
                installation_id=installation, authorisation_required=authorisation_required == "yes"
            )
        )
        position = required.position
        now.append("restricted" if authorisation_required == "yes" else "open")
    return msgspec.structs.replace(
        done(f"The installation is {' and '.join(now)}.", position=position),
        more=await silent_operator(client, installation) if authentication == "external" else "",
    )


@command(app, "policies", "chargekey installation policies 3f0c... --on-block finish")
async def policies(
    client: Client,
    *,
    installation: Id,
    on_block: Annotated[
        Literal["stop", "finish"] | None,
        typer.Option("--on-block", help="What becomes of a blocked user's running session."),
    ] = None,
    on_revoke: Annotated[
        Literal["stop", "finish"] | None,
        typer.Option("--on-revoke", help="The same, where a permission was taken away or ended."),
    ] = None,
    on_operator_timeout: Annotated[
        Literal["deny", "last-known"] | None,
        typer.Option("--on-operator-timeout", help="What counts when the operator is silent."),
    ] = None,
    offline_unknown_ids: Annotated[
        YesNo | None,
        typer.Option(
            "--offline-unknown-ids", help="Whether chargers offline let the unknown charge."
        ),
    ] = None,
    offline_pins: Annotated[
        YesNo | None,
        typer.Option("--offline-pins", help="Whether chargers keep PINs for when offline."),
    ] = None,
    master_pass: Annotated[
        YesNo | None,
        typer.Option(
            "--master-pass", help="Whether owners who may not charge stop sessions by a card."
        ),
    ] = None,
    view_bound_minutes: Annotated[
        int | None,
        typer.Option(
            "--view-bound-minutes",
            min=1,
            max=10_080,
            help="How long gateways may hear of no changes and still let people charge.",
        ),
    ] = None,
    on_view_behind: Annotated[
        Literal["deny", "last-known"] | None,
        typer.Option("--on-view-behind", help="What counts when that is over."),
    ] = None,
    pin_length: Annotated[
        int | None,
        typer.Option("--pin-length", min=4, max=8, help="The fewest digits of a new PIN."),
    ] = None,
) -> Answer:
    """Show an installation's policies, with those that are given changed, in one step."""
    request = pb.GetInstallationRequest(installation_id=installation)
    found = (await client.installations.GetInstallation(request)).installation
    if not found.HasField("policies"):
        raise PermissionDeniedError  # as told to who holds one of its chargers alone
    wanted = found.policies
    before = pb.Policies()
    before.CopyFrom(wanted)
    for name, words, word in (
        ("on_block", RUNNING, on_block),
        ("on_revoke", RUNNING, on_revoke),
        ("on_operator_timeout", ON_OPERATOR_TIMEOUT, on_operator_timeout),
        ("on_view_behind", ON_VIEW_BEHIND, on_view_behind),
    ):
        if word is not None:
            setattr(wanted, name, words.number(word))
    for name, answer in (
        ("offline_unknown_ids", offline_unknown_ids),
        ("offline_pins", offline_pins),
        ("master_pass", master_pass),
    ):
        if answer is not None:
            setattr(wanted, name, answer == "yes")
    if view_bound_minutes is not None:
        wanted.view_bound_minutes = view_bound_minutes
    if pin_length is not None:
        wanted.pin_length = pin_length
    shown = _policies(wanted)
    if wanted == before:
        return fields(shown)
    changed = await client.installations.SetPolicies(
        pb.SetPoliciesRequest(installation_id=installation, policies=wanted, instead_of=before)
    )
    return fields({**shown, "position": changed.position})


@command(app, "show", "chargekey installation show 3f0c...")
async def show(client: Client, *, installation: Id) -> Answer:
    """Show an installation, and whom to ask where an operator manages it."""
    found = await client.installations.GetInstallation(
        pb.GetInstallationRequest(installation_id=installation)
    )
    return fields(_document(found.installation))


@command(app, "list", "chargekey installation list")
async def list_(client: Client, *, search: Search = "") -> Answer:
    """List the installations you have anything to do with."""
    request = pb.ListInstallationsRequest(search=search)
    found = await every(client.installations.ListInstallations, request, "installations")
    return table("installations", [_document(each) for each in found], _COLUMNS)


@command(app, "transfer", "chargekey installation transfer 3f0c... --user 71aa...")
async def transfer(
    client: Client, *, installation: Id, user: OptionalUser = None, email: Email = None
) -> Answer:
    """Offer your ownership to somebody; it is his when he accepts."""
    if (user is None) == (email is None):
        raise SubjectMissingError
    offered = await client.owners.OfferOwnership(
        owners_pb2.OfferOwnershipRequest(
            installation_id=installation, **given(user_id=user, email=email)
        )
    )
    return done("Offered; it changes hands when it is accepted.", position=offered.position)


@command(app, "accept", "chargekey installation accept 3f0c...")
async def accept(client: Client, *, installation: Id) -> Answer:
    """Accept the ownership that you are offered."""
    accepted = await client.owners.AcceptOwnership(
        owners_pb2.AcceptOwnershipRequest(installation_id=installation)
    )
    return done("The installation is yours.", position=accepted.position)


@command(app, "withdraw", "chargekey installation withdraw 3f0c...")
async def withdraw(client: Client, *, installation: Id) -> Answer:
    """Take an offer of ownership back, or turn it down."""
    withdrawn = await client.owners.WithdrawOwnershipOffer(
        owners_pb2.WithdrawOwnershipOfferRequest(installation_id=installation)
    )
    return done("Withdrawn.", position=withdrawn.position)


_COLUMNS = ("id", "name", "time_zone", "authorisation_required", "authentication", "managed_by")


def _document(installation: pb.Installation) -> Document:
    managed = installation.managed_by if installation.HasField("managed_by") else None
    return {
        "id": installation.id,
        "name": installation.name,
        "time_zone": installation.time_zone,
        "authorisation_required": installation.authorisation_required,
        "authentication": AUTHENTICATIONS.word(installation.authentication_type),
        "managed_by": managed and managed.name,
        "contact": managed and managed.contact,
        "overrides_allowed": managed and managed.overrides_allowed,
        # Told where the policies are.
        "open_chargers": installation.open_chargers if installation.HasField("policies") else None,
        "ownership_offered_to": installation.ownership_offered_to or None,
        "address": _place(installation.address) if installation.HasField("address") else None,
    }


def _place(address: pb.Address) -> str:
    town = f"{address.postal_code} {address.city}".strip()
    where = f"{address.latitude} {address.longitude}"
    return f"{address.address}, {town}, {address.country} ({where})"


def _policies(policies: pb.Policies) -> Document:
    return {
        "on_block": RUNNING.word(policies.on_block),
        "on_revoke": RUNNING.word(policies.on_revoke),
        "on_operator_timeout": ON_OPERATOR_TIMEOUT.word(policies.on_operator_timeout),
        "offline_unknown_ids": policies.offline_unknown_ids,
        "offline_pins": policies.offline_pins,
        "master_pass": policies.master_pass,
        "view_bound_minutes": policies.view_bound_minutes,
        "on_view_behind": ON_VIEW_BEHIND.word(policies.on_view_behind),
        "pin_length": policies.pin_length,
    }
