"""A partner: an organisation with members, found by its lookup key (R8)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import assert_never

import msgspec
from msgspec.structs import replace

from chargekey_access.domain.errors import (
    ContactMalformedError,
    DecisionEndpointUnknownError,
    EndpointSecretInvalidError,
    EndpointUrlInvalidError,
    LogoUrlMalformedError,
    OcpiPartiesMalformedError,
    PartnerMemberUnknownError,
    PartnerNotOperatorError,
    PartnerUnknownError,
)
from chargekey_access.domain.events import (
    DecisionEndpointKind,
    DecisionEndpointRemoved,
    DecisionEndpointSet,
    LookupKeyRotated,
    OcpiParties,
    PartnerChanged,
    PartnerCreated,
    PartnerEvent,
    PartnerKind,
    PartnerMemberAdded,
    PartnerMemberRemoved,
)
from chargekey_common import names

LONGEST_LOGO_URL = 500
LONGEST_ENDPOINT_URL = 500
# Narrower than RFC 3986: no user names, no quotes or brackets that a page could trip over.
_LOGO_URL = re.compile(
    r"https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?([/?][\w./~%:@!$&*+,;=?-]*)?",
    re.ASCII | re.IGNORECASE,
)
# No user and no query: addresses are published, and what is secret is no part of them.
_ENDPOINT_URL = re.compile(
    r"https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[\w./~%:@!$&*+,;=-]*)?",
    re.ASCII | re.IGNORECASE,
)
_HIGHEST_PORT = 2**16 - 1
_OCPI_TOKEN = re.compile(r"[!-~]{1,255}")
_COUNTRY_CODE = re.compile(r"[!-~]{2}")
_PARTY_ID = re.compile(r"[!-~]{1,3}")


class DecisionEndpoint(msgspec.Struct, frozen=True):
    """Where an operator answers who may charge; what it is called with is kept elsewhere."""

    kind: DecisionEndpointKind
    url: str
    secret_id: str
    parties: OcpiParties | None = None


class Partner(msgspec.Struct, frozen=True):
    """The partner as of its last event; `members` by user id, each with whether he manages."""

    name: str
    kind: PartnerKind
    lookup_key: str
    contact: str
    logo_url: str
    members: Mapping[str, bool]
    endpoint: DecisionEndpoint | None = None


def evolve(state: Partner | None, event: PartnerEvent) -> Partner:
    """Return the partner after `event`."""
    match event:
        case PartnerCreated():
            return Partner(
                event.name, event.kind, event.lookup_key, event.contact, event.logo_url, {}
            )
        case PartnerChanged():
            return replace(
                existing(state), name=event.name, contact=event.contact, logo_url=event.logo_url
            )
        case LookupKeyRotated():
            return replace(existing(state), lookup_key=event.lookup_key)
        case PartnerMemberAdded():
            before = existing(state)
            return replace(before, members={**before.members, event.user_id: event.manages})
        case PartnerMemberRemoved():
            before = existing(state)
            rest = {key: value for key, value in before.members.items() if key != event.user_id}
            return replace(before, members=rest)
        case DecisionEndpointSet():
            endpoint = DecisionEndpoint(event.kind, event.url, event.secret_id, event.parties)
            return replace(existing(state), endpoint=endpoint)
        case DecisionEndpointRemoved():
            return replace(existing(state), endpoint=None)
        case _:
            assert_never(event)


def existing(state: Partner | None) -> Partner:
    """Return the partner; raises PartnerUnknownError."""
    if state is None:
        raise PartnerUnknownError
    return state


def contact(text: str) -> str:
    """Return how people reach it, which is as long as a name; raises ContactMalformedError."""
    try:
        return names.line(text)
    except names.NameMalformedError:
        raise ContactMalformedError from None


def logo_url(text: str) -> str:
    """Return the https address of a logo, or nothing for none; raises LogoUrlMalformedError.

    Pages show it: only what a browser fetches over TLS is one.
    """
    if text and (len(text) > LONGEST_LOGO_URL or _LOGO_URL.fullmatch(text) is None):
        raise LogoUrlMalformedError
    return text


def endpoint_url(text: str) -> str:
    """Return an address that the gateway can call; raises EndpointUrlInvalidError.

    Also plain http, which a gateway calls only where its settings allow it.
    """
    if len(text) > LONGEST_ENDPOINT_URL or _ENDPOINT_URL.fullmatch(text) is None:
        raise EndpointUrlInvalidError
    port = text.split("/")[2].rpartition(":")[2]
    if port.isdigit() and int(port) > _HIGHEST_PORT:
        raise EndpointUrlInvalidError
    return text


def endpoint_secret(kind: DecisionEndpointKind, given: str, made: str) -> str:
    """Return what the endpoint is called with: OCPI's token is given, a webhook's key made.

    Raises EndpointSecretInvalidError.
    """
    if kind == "WEBHOOK":
        if given:
            raise EndpointSecretInvalidError
        return made
    if _OCPI_TOKEN.fullmatch(given) is None:
        raise EndpointSecretInvalidError
    return given


def endpoint_parties(kind: DecisionEndpointKind, parties: OcpiParties | None) -> OcpiParties | None:
    """Return whom requests name, if anybody; raises OcpiPartiesMalformedError."""
    if parties is None:
        return None
    countries = parties.from_country_code, parties.to_country_code
    ids = parties.from_party_id, parties.to_party_id
    if (
        kind == "WEBHOOK"
        or not all(_COUNTRY_CODE.fullmatch(each) for each in countries)
        or not all(_PARTY_ID.fullmatch(each) for each in ids)
    ):
        raise OcpiPartiesMalformedError
    return parties


def operator(state: Partner | None) -> Partner:
    """Return a payment operator; raises PartnerUnknownError or PartnerNotOperatorError."""
    found = existing(state)
    if found.kind != "PAYMENT_OPERATOR":
        raise PartnerNotOperatorError
    return found


def endpoint(state: Partner | None) -> DecisionEndpoint:
    """Return where it answers; raises PartnerUnknownError or DecisionEndpointUnknownError."""
    found = existing(state).endpoint
    if found is None:
        raise DecisionEndpointUnknownError
    return found


def create(
    *, name: str, kind: PartnerKind, lookup_key: str, contact: str, logo_url: str
) -> Sequence[PartnerEvent]:
    """Create an organisation that nobody is a member of yet."""
    return [
        PartnerCreated(
            name=name, kind=kind, lookup_key=lookup_key, contact=contact, logo_url=logo_url
        )
    ]


def change(
    state: Partner | None, *, name: str | None, contact: str | None, logo_url: str | None
) -> Sequence[PartnerEvent]:
    """Change what is given and leave the rest."""
    before = existing(state)
    after = PartnerChanged(
        name=before.name if name is None else name,
        contact=before.contact if contact is None else contact,
        logo_url=before.logo_url if logo_url is None else logo_url,
    )
    if (after.name, after.contact, after.logo_url) == (
        before.name,
        before.contact,
        before.logo_url,
    ):
        return []
    return [after]


def rotate_lookup_key(state: Partner | None, lookup_key: str) -> Sequence[PartnerEvent]:
    """Let it be found by another key, taken for it in the same save."""
    existing(state)
    return [LookupKeyRotated(lookup_key=lookup_key)]


def add_member(
    state: Partner | None, *, user_id: str, manages: bool, invited: bool = False
) -> Sequence[PartnerEvent]:
    """Let a user be in it; who is already may manage it from now on, or no longer."""
    if existing(state).members.get(user_id) is manages:
        return []
    return [PartnerMemberAdded(user_id=user_id, manages=manages, invited=invited)]


def remove_member(state: Partner | None, user_id: str) -> Sequence[PartnerEvent]:
    """Let a user be in it no longer, also the last who manages it.

    Raises PartnerMemberUnknownError.
    """
    if user_id not in existing(state).members:
        raise PartnerMemberUnknownError
    return [PartnerMemberRemoved(user_id=user_id)]


def set_decision_endpoint(
    state: Partner | None,
    *,
    kind: DecisionEndpointKind,
    url: str,
    secret_id: str,
    parties: OcpiParties | None,
) -> Sequence[PartnerEvent]:
    """Let it be asked there, with what is kept under `secret_id`, in place of before.

    Raises PartnerUnknownError or PartnerNotOperatorError.
    """
    operator(state)
    return [DecisionEndpointSet(kind=kind, url=url, secret_id=secret_id, parties=parties)]


def remove_decision_endpoint(state: Partner | None) -> Sequence[PartnerEvent]:
    """Let it be asked no longer; raises PartnerUnknownError or DecisionEndpointUnknownError."""
    endpoint(state)
    return [DecisionEndpointRemoved()]
