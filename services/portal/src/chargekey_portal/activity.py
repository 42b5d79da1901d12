"""What was done at an installation, in sentences: who did what to whom, and no id.

`SENTENCES` has one, or some to choose among, for each event that the services' audits can tell
of an installation; `LEFT_OUT` says of each other one why nobody misses it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import msgspec

from chargekey.access.v1.permissions_pb2 import Role
from chargekey.audit.v1 import audit_pb2
from chargekey_common.audit.together import Kept
from chargekey_common.published import access, identity
from chargekey_common.published.envelope import PublishedEvent
from chargekey_portal.words import CHARGER, N_, PARTNER, ROLES, SOMEBODY, TOKEN_TYPES

Facts: TypeAlias = Mapping[str, str]
"""What an event tells, by the names of its fields."""

_EVENTS: Mapping[str, type[PublishedEvent]] = {
    each.__name__: each for each in (*access.EVENTS, *identity.EVENTS)
}


class Choice(msgspec.Struct, frozen=True):
    """The sentence is the one of what a fact is, where it is any of these; "" is one not told.

    Beside what the event tells there are `own`, whether it is about whoever did it, and `away`,
    whether it left where it is read of.
    """

    fact: str
    otherwise: Sentence
    sentences: Mapping[str, Sentence]


Sentence: TypeAlias = str | Choice

SENTENCES: Mapping[str, Sentence] = {
    "InstallationCreated": N_("%(actor)s created the installation."),
    "InstallationRenamed": N_("%(actor)s renamed the installation to %(name)s."),
    "InstallationAddressSet": N_("%(actor)s set the address of the installation."),
    "AuthorisationRequiredSet": Choice(
        "authorisation_required",
        N_("%(actor)s turned off Authorisation required at the installation."),
        {"true": N_("%(actor)s turned on Authorisation required at the installation.")},
    ),
    "AuthenticationTypeSet": Choice(
        "authentication_type",
        N_("%(actor)s let permissions decide who may charge."),
        {"EXTERNAL": N_("%(actor)s let the operator decide who may charge.")},
    ),
    "PoliciesSet": N_("%(actor)s changed the security settings."),
    "OperatorConnected": N_("%(actor)s connected %(partner)s, which manages the installation."),
    "OverridesAllowedSet": Choice(
        "overrides_allowed",
        N_("%(actor)s no longer allowed chargers to differ from the installation."),
        {"true": N_("%(actor)s allowed chargers to differ from the installation.")},
    ),
    "OperatorDisconnected": N_(
        "%(actor)s disconnected %(partner)s, which manages the installation no longer."
    ),
    "OwnerAdded": Choice(
        "invited",
        Choice(
            "own",
            N_("%(actor)s made %(user)s an owner."),
            {"true": N_("%(actor)s became an owner.")},
        ),
        {"true": N_("%(actor)s invited %(user)s as an owner.")},
    ),
    "OwnerAccepted": Choice(
        "own",
        N_("%(actor)s confirmed %(user)s as an owner."),
        {"true": N_("%(actor)s agreed to be an owner.")},
    ),
    "OwnerRemoved": Choice(
        "own",
        N_("%(actor)s removed %(user)s as an owner."),
        {"true": N_("%(actor)s left the owners.")},
    ),
    "UserBlockedAtInstallation": N_("%(actor)s blocked %(user)s at the installation."),
    "UserUnblockedAtInstallation": N_("%(actor)s lifted the block of %(user)s."),
    "OwnershipOffered": N_("%(actor)s offered %(taker)s to own the installation."),
    "OwnershipOfferWithdrawn": Choice(
        "own",
        N_("%(actor)s withdrew the offer to %(taker)s to own the installation."),
        {"true": N_("%(actor)s declined to own the installation.")},
    ),
    "OwnershipTransferred": Choice(
        "own",
        N_("%(actor)s made %(taker)s an owner in the place of %(giver)s."),
        {"true": N_("%(actor)s became an owner in the place of %(giver)s.")},
    ),
    "ChargerAdded": N_("%(actor)s added the charger %(charger)s."),
    "ChargerPasswordReplaced": N_("%(actor)s gave %(charger)s another password."),
    "AuthorisationOverrideSet": Choice(
        "authorisation_override",
        N_("%(actor)s had %(charger)s follow the installation."),
        {
            "REQUIRED": N_("%(actor)s turned on Authorisation required at %(charger)s."),
            "NOT_REQUIRED": N_("%(actor)s turned off Authorisation required at %(charger)s."),
        },
    ),
    "IdentificationTypesSet": Choice(
        "identification_types",
        N_("%(actor)s set what %(charger)s accepts: %(types)s."),
        {"": N_("%(actor)s had %(charger)s accept no identification.")},
    ),
    "ReaderQuirksSet": N_("%(actor)s changed how cards are read at %(charger)s."),
    "ChargerMoved": Choice(
        "away",
        N_("%(actor)s moved %(charger)s here from another installation."),
        {"true": N_("%(actor)s moved %(charger)s to another installation.")},
    ),
    "PermissionGranted": Choice(
        "invited",
        Choice(
            "own",
            N_("%(actor)s gave %(holder)s %(roles)s at %(place)s%(until)s."),
            {"true": N_("%(actor)s took %(roles)s at %(place)s%(until)s.")},
        ),
        {"true": N_("%(actor)s invited %(holder)s to %(roles)s at %(place)s%(until)s.")},
    ),
    "PermissionChanged": N_(
        "%(actor)s changed what %(holder)s holds at %(place)s to %(roles)s%(until)s."
    ),
    "PermissionRevoked": Choice(
        "own",
        N_("%(actor)s revoked the permission of %(holder)s at %(place)s."),
        {"true": N_("%(actor)s gave up the permission at %(place)s.")},
    ),
    "AccessRequested": Choice(
        "partner_id",
        N_("%(actor)s asked for %(roles)s for %(partner)s."),
        {"": N_("%(actor)s asked for %(roles)s.")},
    ),
    "AccessRequestApproved": N_("%(actor)s approved a request for access."),
    "AccessRequestDenied": N_("%(actor)s denied a request for access."),
    "AccessRequestWithdrawn": N_("%(actor)s withdrew a request for access."),
    "LocalUserAdded": N_("%(actor)s added the local user %(user)s."),
    "UserRenamed": N_("%(actor)s changed the name of %(user)s."),
    "UserBlocked": N_("%(actor)s blocked %(user)s."),
    "UserUnblocked": N_("%(actor)s lifted the block of %(user)s."),
    "UserExported": N_("%(actor)s exported everything about %(user)s."),
    # Whose name nobody can read any more.
    "UserErased": N_("%(actor)s erased a local user."),
    "IdentificationAdded": Choice(
        "own",
        N_("%(actor)s gave %(user)s an identification: %(type)s%(until)s."),
        {"true": N_("%(actor)s added an identification of their own: %(type)s%(until)s.")},
    ),
    "IdentificationStatusChanged": Choice(
        "status",
        N_("%(actor)s switched off %(identification)s."),
        {
            "ACTIVE": N_("%(actor)s switched on %(identification)s."),
            "BLOCKED": N_("%(actor)s blocked %(identification)s."),
        },
    ),
    "IdentificationExpiryChanged": Choice(
        "valid_until",
        N_("%(actor)s changed how long %(identification)s works%(until)s."),
        {"": N_("%(actor)s let %(identification)s work without an end.")},
    ),
    "IdentificationCodeChanged": N_("%(actor)s changed the code of %(identification)s."),
    "IdentificationGroupChanged": N_(
        "%(actor)s changed which others may stop what %(identification)s started."
    ),
    "IdentificationRemoved": N_("%(actor)s removed %(identification)s."),
    "CodeRevealed": N_("%(actor)s looked at the code of %(identification)s."),
    "InvitationRenewed": N_("%(actor)s sent %(user)s a new link of the invitation."),
    "InvitationAccepted": Choice(
        "own",
        N_("%(actor)s accepted the invitation of %(user)s."),
        {"true": N_("%(actor)s accepted the invitation.")},
    ),
    "InvitationRevoked": N_("%(actor)s took back the invitation of %(user)s."),
}

_OF_PARTNERS = "Of a partner, and of no installation."
_OF_ACCOUNTS = "Of an account, and of no installation."
_BESIDE = "Kept beside what is told: that something has one holder."
_FOLLOWS = "Follows from what is told, and nobody did it."

# Event by event, why it is not told.
LEFT_OUT: Mapping[str, str] = {
    "PartnerCreated": _OF_PARTNERS,
    "PartnerChanged": _OF_PARTNERS,
    "LookupKeyRotated": _OF_PARTNERS,
    "PartnerMemberAdded": _OF_PARTNERS,
    "PartnerMemberRemoved": _OF_PARTNERS,
    "DecisionEndpointSet": _OF_PARTNERS,
    "DecisionEndpointRemoved": _OF_PARTNERS,
    "PartnerCredentialIssued": _OF_PARTNERS,
    "PartnerCredentialRevoked": _OF_PARTNERS,
    "LookupKeyTaken": _BESIDE,
    "LookupKeyFreed": _BESIDE,
    "CodeReserved": _BESIDE,
    "CodeReleased": _BESIDE,
    "EmailReserved": _BESIDE,
    "EmailReleased": _BESIDE,
    "PendingUserAdded": _OF_ACCOUNTS,
    "EmailVerified": _OF_ACCOUNTS,
    "OpenIdLinked": _OF_ACCOUNTS,
    "ProfileChanged": _OF_ACCOUNTS,
    "SignInLinkRequested": _OF_ACCOUNTS,
    "SignedIn": _OF_ACCOUNTS,
    "SignedInAs": _OF_ACCOUNTS,
    "ActedAsAdministrator": _OF_ACCOUNTS,
    "UserArrived": _OF_ACCOUNTS,
    "UserForgotten": "Follows from an erasure, as what was taken away then does; that is told.",
    "AccessProposed": "With a user who was added; that, and what he was given, are told.",
    "InvitationCreated": _FOLLOWS,
    "LocalListCodesRevealed": "Told to the gateway, about a charger and of no installation.",
}
# Done by people, or following from what is told.
_UNLESS_FOLLOWING = frozenset({"InvitationRevoked"})
_UNKNOWN = N_("%(actor)s changed something that has no words here yet.")

_ACTORS: Mapping[str, str] = {
    "administrator": N_("An administrator"),
    "partner": N_("A partner"),
    "user": N_("Somebody"),
    "anonymous": N_("Somebody"),
}
# Of services, and of what reacts to somebody who is not known any more.
_SYSTEM = N_("The system")
_ROLE = N_("the role %(roles)s")
_ROLES = N_("the roles %(roles)s")
_ROLES_BY_NAME: Mapping[str, str] = {
    name.removeprefix("ROLE_"): ROLES[number] for name, number in Role.items() if number in ROLES
}
_UNTIL = N_(", until %(day)s")
# By whether it is of whoever did it, and whether it is known of which type.
_IDENTIFICATION: Mapping[tuple[bool, bool], str] = {
    (False, True): N_("an identification of %(user)s (%(type)s)"),
    (False, False): N_("an identification of %(user)s"),
    (True, True): N_("an identification of their own (%(type)s)"),
    (True, False): N_("an identification of their own"),
}


class Known(msgspec.Struct, frozen=True):
    """What the reader may know things by: names by their ids, as far as there are any.

    `types` has words of the wire for identifications, and `installation_id` is where it is read.
    """

    installation_id: str
    people: Mapping[str, str]
    chargers: Mapping[str, str]
    partners: Mapping[str, str]
    types: Mapping[str, str]


class Writing(msgspec.Struct, frozen=True):
    """How the reader is written to: marked words, in his language; an exclusive end, as a day."""

    say: Callable[[str], str]
    day: Callable[[int], str]


def users(kept: Iterable[Kept]) -> set[str]:
    """Return the ids of who did these, and to whom."""
    return _ids(kept, "user_id", "from_user_id", "to_user_id", of="user")


def partners(kept: Iterable[Kept]) -> set[str]:
    """Return the ids of the partners whose programs did these, or that these are about."""
    return _ids(kept, "partner_id", of="partner")


def chargers(kept: Iterable[Kept]) -> set[str]:
    """Return the ids of the chargers that these are about."""
    return _ids(kept, "charger_id")


def identifications(kept: Iterable[Kept]) -> set[str]:
    """Return the ids of the identifications that these are about."""
    return _ids(kept, "identification_id")


def sentence(kept: Kept, known: Known, writing: Writing) -> str | None:
    """Return what was done in a sentence; None of what nobody misses."""
    event = kept.change.event
    if event in LEFT_OUT or (event in _UNLESS_FOLLOWING and ":" not in kept.change.actor):
        return None
    facts = _facts(kept.change)
    about = facts.get("to_user_id") or facts.get("user_id", "")
    own = bool(about) and _actor(kept) == f"user:{about}"
    away = facts.get("installation_id") != known.installation_id
    chosen = SENTENCES.get(event, _UNKNOWN)
    chosen_by = {**facts, "own": str(own).lower(), "away": str(away).lower()}
    while isinstance(chosen, Choice):
        chosen = chosen.sentences.get(chosen_by.get(chosen.fact, ""), chosen.otherwise)
    return writing.say(chosen) % _named(facts, known, writing, actor=_actor(kept), own=own)


def _actor(kept: Kept) -> str:
    """Return who did it, or whoever set off the reaction that did."""
    return kept.by or kept.change.actor


def _ids(kept: Iterable[Kept], *fields: str, of: str = "") -> set[str]:
    """Return what these fields hold, and the ids of those of a kind who did it."""
    found = set()
    for each in kept:
        told = _facts(each.change)
        found |= {told[name] for name in fields if name in told}
        kind, _, key = _actor(each).partition(":")
        found |= {key} if kind == of else set()
    return found


def _facts(change: audit_pb2.Change) -> Facts:
    """Return what the event tells, its subject's id by the name that it has there, too."""
    kind = _EVENTS.get(change.event)
    subject = {} if kind is None else {kind.about[1]: change.subject_id}
    return {**change.fields, **subject}


def _named(facts: Facts, known: Known, writing: Writing, *, actor: str, own: bool) -> Facts:
    """Return what sentences are filled with."""
    say = writing.say
    until = facts.get("valid_until", "")
    type_ = facts.get("type") or known.types.get(facts.get("identification_id", ""), "")
    charger = facts.get("ocpp_identity") or known.chargers.get(facts.get("charger_id", ""))
    charger = charger or say(CHARGER)
    people = {
        name: known.people.get(facts.get(field, ""), say(SOMEBODY))
        for name, field in (("user", "user_id"), ("giver", "from_user_id"), ("taker", "to_user_id"))
    }
    partner = known.partners.get(facts.get("partner_id", ""), say(PARTNER))
    named = {
        **people,
        "partner": partner,
        "holder": partner if facts.get("partner_id") else people["user"],
        "actor": _who(actor, known, say),
        "charger": charger,
        "place": charger if facts.get("charger_id") else say(N_("the installation")),
        "name": facts.get("name", ""),
        "roles": _roles(facts.get("roles", ""), say),
        "types": _listed(facts.get("identification_types", ""), TOKEN_TYPES, say),
        "type": _listed(type_, TOKEN_TYPES, say),
        "until": say(_UNTIL) % {"day": writing.day(int(until))} if until else "",
    }
    return {**named, "identification": say(_IDENTIFICATION[own, bool(type_)]) % named}


def _who(actor: str, known: Known, say: Callable[[str], str]) -> str:
    kind, _, key = actor.partition(":")
    named = {"user": known.people, "partner": known.partners}.get(kind, {})
    return named.get(key) or say(_ACTORS.get(kind, _SYSTEM))


def _roles(roles: str, say: Callable[[str], str]) -> str:
    held = _listed(roles, _ROLES_BY_NAME, say)
    return say(_ROLES if "," in roles else _ROLE) % {"roles": held}


def _listed(names: str, called: Mapping[str, str], say: Callable[[str], str]) -> str:
    """Return what names of the wire, which stand in a row, are called."""
    return ", ".join(say(called.get(each, each)) for each in names.split(", ") if each)
