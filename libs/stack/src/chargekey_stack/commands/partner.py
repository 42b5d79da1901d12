"""`chargekey partner`: organisations with members, and the sites they manage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from chargekey.access.v1 import decision_endpoints_pb2, installations_pb2
from chargekey.access.v1 import partners_pb2 as pb
from chargekey.identity.v1 import credentials_pb2
from chargekey.notifier.v1 import feeds_pb2
from chargekey_common.pages import every
from chargekey_stack.answers import Answer, Document, done, fields, instant, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.commands.permission import document as permission_document
from chargekey_stack.errors import FileUnreadableError, NothingToChangeError, SubjectMissingError
from chargekey_stack.operators import silent_operator
from chargekey_stack.options import (
    Email,
    InstallationArgument,
    OptionalUser,
    PartnerArgument,
    User,
    given,
)
from chargekey_stack.words import AUTHENTICATIONS, DECISION_ENDPOINTS, PARTNERS

app = group("partner", "Service partners and payment operators, and the sites they manage.")
member = group("member", "Who is in a partner, and so holds what it holds.")
credentials = group("credentials", "What a partner's own programs call with.")
decision_endpoint = group(
    "decision-endpoint", "Where a payment operator answers who may charge at its sites."
)
app.add_typer(member)
app.add_typer(decision_endpoint)
app.add_typer(credentials)

CredentialArgument = Annotated[
    str, typer.Argument(metavar="CREDENTIAL", help="The credential's id.")
]
Key = Annotated[str, typer.Argument(metavar="KEY", help="The lookup key, as in K7Q2.")]


@command(
    app,
    "create",
    "chargekey partner create --name 'Volt AS' --kind payment-operator --contact help@volt.example",
)
async def create(
    client: Client,
    *,
    name: Annotated[str, typer.Option("--name", help="What it is called.")],
    kind: Annotated[
        Literal["service-partner", "payment-operator"],
        typer.Option("--kind", help="Whether it looks after chargers, or manages sites."),
    ],
    contact: Annotated[str, typer.Option("--contact", help="How people reach it.")],
    logo_url: Annotated[str, typer.Option("--logo-url", help="An https address.")] = "",
) -> Answer:
    """Create a partner; owners find it by the lookup key."""
    created = await client.partners.CreatePartner(
        pb.CreatePartnerRequest(
            name=name, kind=PARTNERS.number(kind), contact=contact, logo_url=logo_url
        )
    )
    return done(
        f"Created the partner {created.partner_id} with the lookup key {created.lookup_key}.",
        id=created.partner_id,
        lookup_key=created.lookup_key,
        position=created.position,
    )


@command(app, "change", "chargekey partner change 2c9e... --contact +4722000000")
async def change(
    client: Client,
    *,
    partner: PartnerArgument,
    name: Annotated[str | None, typer.Option("--name", help="What it is called.")] = None,
    contact: Annotated[str | None, typer.Option("--contact", help="How people reach it.")] = None,
    logo_url: Annotated[
        str | None, typer.Option("--logo-url", help="An https address; '' for none.")
    ] = None,
) -> Answer:
    """Change what is given and leave the rest."""
    if name is contact is logo_url is None:
        raise NothingToChangeError
    changed = await client.partners.ChangePartner(
        pb.ChangePartnerRequest(partner_id=partner, name=name, contact=contact, logo_url=logo_url)
    )
    return done("Changed.", position=changed.position)


@command(app, "rotate-key", "chargekey partner rotate-key 2c9e...")
async def rotate_key(client: Client, *, partner: PartnerArgument) -> Answer:
    """Give a partner another lookup key; the old one finds nothing from then on."""
    rotated = await client.partners.RotateLookupKey(pb.RotateLookupKeyRequest(partner_id=partner))
    return done(
        f"The lookup key is {rotated.lookup_key}.",
        lookup_key=rotated.lookup_key,
        position=rotated.position,
    )


@command(app, "search", "chargekey partner search K7Q2")
async def search(client: Client, *, key: Key) -> Answer:
    """Find a partner by its lookup key; it is given nothing by that."""
    found = await client.partners.SearchPartner(pb.SearchPartnerRequest(lookup_key=key))
    return fields(
        {
            "id": found.partner_id,
            "name": found.name,
            "kind": PARTNERS.word(found.kind),
            "logo_url": found.logo_url or None,
        }
    )


@command(app, "show", "chargekey partner show 2c9e...")
async def show(client: Client, *, partner: PartnerArgument) -> Answer:
    """Show a partner that you are in."""
    found = await client.partners.GetPartner(pb.GetPartnerRequest(partner_id=partner))
    return fields(_document(found.partner))


@command(app, "list", "chargekey partner list")
async def list_(client: Client) -> Answer:
    """List the partners you are in; all of them for the administrator."""
    found = await every(client.partners.ListPartners, pb.ListPartnersRequest(), "partners")
    return table("partners", [_document(each) for each in found])


@command(app, "permissions", "chargekey partner permissions 2c9e...")
async def permissions(client: Client, *, partner: PartnerArgument) -> Answer:
    """List what a partner holds, and where."""
    request = pb.ListPartnerPermissionsRequest(partner_id=partner)
    found = await every(client.partners.ListPartnerPermissions, request, "permissions")
    return table("permissions", [permission_document(each) for each in found])


@command(app, "connect", "chargekey partner connect 3f0c... K7Q2 --authentication external")
async def connect(
    client: Client,
    *,
    installation: InstallationArgument,
    key: Key,
    authentication: Annotated[
        Literal["native", "external"],
        typer.Option("--authentication", help="Who decides: the permissions, or the operator."),
    ] = "native",
    allow_overrides: Annotated[
        bool,
        typer.Option("--allow-overrides", help="Chargers may deviate from the installation."),
    ] = False,
) -> Answer:
    """Let a payment operator manage an installation; it edits access there from then on."""
    connected = await client.installations.ConnectOperator(
        installations_pb2.ConnectOperatorRequest(
            installation_id=installation,
            lookup_key=key,
            authentication_type=AUTHENTICATIONS.number(authentication),
            overrides_allowed=allow_overrides,
        )
    )
    return msgspec.structs.replace(
        done("Connected.", permission_id=connected.permission_id, position=connected.position),
        more=await silent_operator(client, installation) if authentication == "external" else "",
    )


@command(app, "disconnect", "chargekey partner disconnect 3f0c...")
async def disconnect(client: Client, *, installation: InstallationArgument) -> Answer:
    """End it: the installation is native and restricted from then on."""
    disconnected = await client.installations.DisconnectOperator(
        installations_pb2.DisconnectOperatorRequest(installation_id=installation)
    )
    return done(
        "Disconnected; the installation is native and restricted.", position=disconnected.position
    )


@command(app, "overrides", "chargekey partner overrides 3f0c... --allowed yes")
async def overrides(
    client: Client,
    *,
    installation: InstallationArgument,
    allowed: Annotated[
        Literal["yes", "no"],
        typer.Option("--allowed", help="Whether chargers may deviate from the installation."),
    ],
) -> Answer:
    """As the operator of an installation, allow or suspend the deviations of its chargers."""
    changed = await client.installations.SetOverridesAllowed(
        installations_pb2.SetOverridesAllowedRequest(
            installation_id=installation, overrides_allowed=allowed == "yes"
        )
    )
    return done("Noted.", position=changed.position)


@command(member, "add", "chargekey partner member add 2c9e... --email kari@volt.example")
async def member_add(
    client: Client,
    *,
    partner: PartnerArgument,
    user: OptionalUser = None,
    email: Email = None,
    manages: Annotated[
        bool, typer.Option("--manages", help="He may change the partner and its members.")
    ] = False,
) -> Answer:
    """Add a member, or change whether he manages."""
    if (user is None) == (email is None):
        raise SubjectMissingError
    added = await client.partners.AddPartnerMember(
        pb.AddPartnerMemberRequest(
            partner_id=partner, manages=manages, **given(user_id=user, email=email)
        )
    )
    return done(f"Added the user {added.user_id}.", user_id=added.user_id, position=added.position)


@command(member, "remove", "chargekey partner member remove 2c9e... --user 71aa...")
async def member_remove(client: Client, *, partner: PartnerArgument, user: User) -> Answer:
    """Remove a member, or leave."""
    removed = await client.partners.RemovePartnerMember(
        pb.RemovePartnerMemberRequest(partner_id=partner, user_id=user)
    )
    return done("Removed.", position=removed.position)


@command(member, "list", "chargekey partner member list 2c9e...")
async def member_list(client: Client, *, partner: PartnerArgument) -> Answer:
    """List a partner's members."""
    request = pb.ListPartnerMembersRequest(partner_id=partner)
    found = await every(client.partners.ListPartnerMembers, request, "members")
    return table("members", [{"user_id": each.user_id, "manages": each.manages} for each in found])


@command(credentials, "issue", "chargekey partner credentials issue 2c9e... --label 'billing'")
async def credentials_issue(
    client: Client,
    *,
    partner: PartnerArgument,
    label: Annotated[str, typer.Option("--label", help="What it is for.")],
) -> Answer:
    """Make a credential for a partner's programs; its secret is shown this once."""
    issued = await client.credentials.IssuePartnerCredential(
        credentials_pb2.IssuePartnerCredentialRequest(partner_id=partner, label=label)
    )
    return done(
        f"Issued {issued.credential_id} with the secret {issued.secret}",
        id=issued.credential_id,
        secret=issued.secret,
        position=issued.position,
    )


@command(credentials, "list", "chargekey partner credentials list 2c9e...")
async def credentials_list(client: Client, *, partner: PartnerArgument) -> Answer:
    """List a partner's credentials, without their secrets."""
    request = credentials_pb2.ListPartnerCredentialsRequest(partner_id=partner)
    found = await every(client.credentials.ListPartnerCredentials, request, "credentials")
    return table(
        "credentials",
        [
            {"id": each.id, "label": each.label, "issued_at": instant(each.issued_at)}
            for each in found
        ],
    )


@command(credentials, "nats", "chargekey partner credentials nats 2c9e... 77b0...")
async def credentials_nats(
    client: Client,
    *,
    partner: PartnerArgument,
    credential: CredentialArgument,
) -> Answer:
    """Show what a NATS client pulls the partner's feed with, beside the secret."""
    feed = await client.feeds.GetFeed(feeds_pb2.GetFeedRequest(partner_id=partner))
    return fields(
        {
            "url": feed.nats_url,
            "user": credential,
            "stream": feed.nats_stream,
            "consumer": credential,
            "inbox_prefix": feed.nats_inbox_prefix + credential,
        }
    )


@command(credentials, "revoke", "chargekey partner credentials revoke 77b0...")
async def credentials_revoke(
    client: Client,
    *,
    credential: CredentialArgument,
) -> Answer:
    """Make a credential useless; tokens it was exchanged for end with their minutes.

    A NATS client that has signed in with it pulls nothing more.
    """
    revoked = await client.credentials.RevokePartnerCredential(
        credentials_pb2.RevokePartnerCredentialRequest(credential_id=credential)
    )
    return done("Revoked.", position=revoked.position)


@command(
    decision_endpoint,
    "set",
    "chargekey partner decision-endpoint set 2c9e... --kind webhook --url https://volt.example/decide",
)
async def decision_endpoint_set(
    client: Client,
    *,
    partner: PartnerArgument,
    kind: Annotated[
        Literal["ocpi", "ocpi-plain", "webhook"],
        typer.Option(
            "--kind",
            help="OCPI 2.2.1's real-time authorization (`ocpi-plain`: the token not in base64), "
            "or a signed webhook.",
        ),
    ],
    url: Annotated[
        str,
        typer.Option("--url", help="An https address; for ocpi that of the tokens module."),
    ],
    secret_file: Annotated[
        Path | None,
        typer.Option("--secret-file", help="For ocpi: the file with the token to call with."),
    ] = None,
) -> Answer:
    """Let an operator be asked there, from now on and in place of before.

    A webhook's secret is made and shown this once; it signs as Standard Webhooks says.
    """
    try:
        secret = "" if secret_file is None else secret_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FileUnreadableError(getattr(error, "strerror", None) or "") from None
    answer = await client.decision_endpoints.SetDecisionEndpoint(
        decision_endpoints_pb2.SetDecisionEndpointRequest(
            partner_id=partner, kind=DECISION_ENDPOINTS.number(kind), url=url, secret=secret
        )
    )
    made = answer.secret or None
    return done(
        "Set." if made is None else f"Set, with the secret {made}",
        secret=made,
        position=answer.position,
    )


@command(decision_endpoint, "show", "chargekey partner decision-endpoint show 2c9e...")
async def decision_endpoint_show(client: Client, *, partner: PartnerArgument) -> Answer:
    """Show where an operator is asked, without what it is called with."""
    found = await client.decision_endpoints.DescribeDecisionEndpoint(
        decision_endpoints_pb2.DescribeDecisionEndpointRequest(partner_id=partner)
    )
    parties = found.parties if found.HasField("parties") else None
    return fields(
        {
            "kind": DECISION_ENDPOINTS.word(found.kind),
            "url": found.url,
            "from_party": parties and f"{parties.from_country_code}*{parties.from_party_id}",
            "to_party": parties and f"{parties.to_country_code}*{parties.to_party_id}",
        }
    )


@command(decision_endpoint, "remove", "chargekey partner decision-endpoint remove 2c9e...")
async def decision_endpoint_remove(client: Client, *, partner: PartnerArgument) -> Answer:
    """Let an operator be asked no longer: its sites fall back on their policy."""
    removed = await client.decision_endpoints.RemoveDecisionEndpoint(
        decision_endpoints_pb2.RemoveDecisionEndpointRequest(partner_id=partner)
    )
    return done("Removed.", position=removed.position)


def _document(partner: pb.Partner) -> Document:
    return {
        "id": partner.id,
        "name": partner.name,
        "kind": PARTNERS.word(partner.kind),
        "lookup_key": partner.lookup_key,
        "contact": partner.contact,
        "logo_url": partner.logo_url or None,
    }
