"""What was done at an installation: every event as the sentence that people read."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from chargekey.audit.v1 import audit_pb2
from chargekey_common.audit.together import Kept
from chargekey_common.published import access, identity
from chargekey_common.published.access import Role
from chargekey_portal.activity import (
    LEFT_OUT,
    SENTENCES,
    Choice,
    Known,
    Sentence,
    Writing,
    chargers,
    identifications,
    partners,
    sentence,
    users,
)

EVENTS = {each.__name__: each for each in (*access.EVENTS, *identity.EVENTS)}
SITE, KARI, OLA, VOLT, CHARGER, PIN = "site", "kari-id", "ola-id", "volt-id", "charger-id", "pin-id"
KNOWN = Known(
    installation_id=SITE,
    people={KARI: "Kari Nordmann", OLA: "Ola Hansen"},
    chargers={CHARGER: "ACME-1"},
    partners={VOLT: "Volt AS"},
    types={PIN: "PIN"},
)
WRITING = Writing(str, lambda end: f"day {end}")

EXAMPLES = [
    ("InstallationCreated", {"name": "Home"}, "Kari Nordmann created the installation."),
    (
        "InstallationRenamed",
        {"name": "100 % Home"},
        "Kari Nordmann renamed the installation to 100 % Home.",
    ),
    ("InstallationAddressSet", {}, "Kari Nordmann set the address of the installation."),
    (
        "AuthorisationRequiredSet",
        {"authorisation_required": "true"},
        "Kari Nordmann turned on Authorisation required at the installation.",
    ),
    (
        "AuthorisationRequiredSet",
        {"authorisation_required": "false"},
        "Kari Nordmann turned off Authorisation required at the installation.",
    ),
    (
        "AuthenticationTypeSet",
        {"authentication_type": "NATIVE"},
        "Kari Nordmann let permissions decide who may charge.",
    ),
    (
        "AuthenticationTypeSet",
        {"authentication_type": "EXTERNAL"},
        "Kari Nordmann let the operator decide who may charge.",
    ),
    ("PoliciesSet", {"pin_length": "6"}, "Kari Nordmann changed the security settings."),
    (
        "OperatorConnected",
        {"partner_id": VOLT},
        "Kari Nordmann connected Volt AS, which manages the installation.",
    ),
    (
        "OverridesAllowedSet",
        {"overrides_allowed": "true"},
        "Kari Nordmann allowed chargers to differ from the installation.",
    ),
    (
        "OverridesAllowedSet",
        {"overrides_allowed": "false"},
        "Kari Nordmann no longer allowed chargers to differ from the installation.",
    ),
    (
        "OperatorDisconnected",
        {"partner_id": "of-old"},
        "Kari Nordmann disconnected a partner, which manages the installation no longer.",
    ),
    ("OwnerAdded", {"user_id": KARI, "invited": "false"}, "Kari Nordmann became an owner."),
    (
        "OwnerAdded",
        {"user_id": OLA, "invited": "false"},
        "Kari Nordmann made Ola Hansen an owner.",
    ),
    (
        "OwnerAdded",
        {"user_id": OLA, "invited": "true"},
        "Kari Nordmann invited Ola Hansen as an owner.",
    ),
    ("OwnerAccepted", {"user_id": KARI}, "Kari Nordmann agreed to be an owner."),
    ("OwnerAccepted", {"user_id": OLA}, "Kari Nordmann confirmed Ola Hansen as an owner."),
    ("OwnerRemoved", {"user_id": KARI}, "Kari Nordmann left the owners."),
    ("OwnerRemoved", {"user_id": OLA}, "Kari Nordmann removed Ola Hansen as an owner."),
    (
        "UserBlockedAtInstallation",
        {"user_id": OLA},
        "Kari Nordmann blocked Ola Hansen at the installation.",
    ),
    (
        "UserUnblockedAtInstallation",
        {"user_id": OLA},
        "Kari Nordmann lifted the block of Ola Hansen.",
    ),
    (
        "OwnershipOffered",
        {"from_user_id": KARI, "to_user_id": OLA},
        "Kari Nordmann offered Ola Hansen to own the installation.",
    ),
    (
        "OwnershipOfferWithdrawn",
        {"from_user_id": KARI, "to_user_id": OLA},
        "Kari Nordmann withdrew the offer to Ola Hansen to own the installation.",
    ),
    (
        "OwnershipOfferWithdrawn",
        {"from_user_id": OLA, "to_user_id": KARI},
        "Kari Nordmann declined to own the installation.",
    ),
    (
        "OwnershipTransferred",
        {"from_user_id": OLA, "to_user_id": KARI},
        "Kari Nordmann became an owner in the place of Ola Hansen.",
    ),
    (
        "OwnershipTransferred",
        {"from_user_id": KARI, "to_user_id": OLA},
        "Kari Nordmann made Ola Hansen an owner in the place of Kari Nordmann.",
    ),
    ("ChargerAdded", {"ocpp_identity": "ACME-9"}, "Kari Nordmann added the charger ACME-9."),
    ("ChargerPasswordReplaced", {}, "Kari Nordmann gave ACME-1 another password."),
    (
        "AuthorisationOverrideSet",
        {"authorisation_override": "INHERIT"},
        "Kari Nordmann had ACME-1 follow the installation.",
    ),
    (
        "AuthorisationOverrideSet",
        {"authorisation_override": "REQUIRED"},
        "Kari Nordmann turned on Authorisation required at ACME-1.",
    ),
    (
        "AuthorisationOverrideSet",
        {"authorisation_override": "NOT_REQUIRED"},
        "Kari Nordmann turned off Authorisation required at ACME-1.",
    ),
    (
        "IdentificationTypesSet",
        {"identification_types": "RFID, PIN"},
        "Kari Nordmann set what ACME-1 accepts: Charge card (RFID), PIN code.",
    ),
    (
        "IdentificationTypesSet",
        {"identification_types": ""},
        "Kari Nordmann had ACME-1 accept no identification.",
    ),
    ("ReaderQuirksSet", {"prefix": "04"}, "Kari Nordmann changed how cards are read at ACME-1."),
    (
        "ChargerMoved",
        {"from_installation_id": "other", "installation_id": SITE},
        "Kari Nordmann moved ACME-1 here from another installation.",
    ),
    (
        "ChargerMoved",
        {"from_installation_id": SITE, "installation_id": "other"},
        "Kari Nordmann moved ACME-1 to another installation.",
    ),
    (
        "PermissionGranted",
        {"user_id": OLA, "roles": "USER", "charger_id": CHARGER, "invited": "false"},
        "Kari Nordmann gave Ola Hansen the role User at ACME-1.",
    ),
    (
        "PermissionGranted",
        {"user_id": KARI, "roles": "USER", "invited": "false"},
        "Kari Nordmann took the role User at the installation.",
    ),
    (
        "PermissionGranted",
        {"partner_id": VOLT, "roles": "SERVICE, USER", "valid_until": "7", "invited": "false"},
        "Kari Nordmann gave Volt AS the roles Service, User at the installation, until day 7.",
    ),
    (
        "PermissionGranted",
        {"user_id": OLA, "roles": "USER", "invited": "true"},
        "Kari Nordmann invited Ola Hansen to the role User at the installation.",
    ),
    (
        "PermissionChanged",
        {"user_id": OLA, "roles": "SERVICE", "charger_id": "moved", "valid_until": "7"},
        (
            "Kari Nordmann changed what Ola Hansen holds at a charger to the role Service,"
            " until day 7."
        ),
    ),
    (
        "PermissionRevoked",
        {"user_id": OLA, "charger_id": CHARGER},
        "Kari Nordmann revoked the permission of Ola Hansen at ACME-1.",
    ),
    (
        "PermissionRevoked",
        {"user_id": KARI},
        "Kari Nordmann gave up the permission at the installation.",
    ),
    (
        "AccessRequested",
        {"user_id": KARI, "roles": "USER", "installation_id": SITE},
        "Kari Nordmann asked for the role User.",
    ),
    (
        "AccessRequested",
        {"partner_id": VOLT, "roles": "SERVICE", "installation_id": SITE},
        "Kari Nordmann asked for the role Service for Volt AS.",
    ),
    ("AccessRequestApproved", {}, "Kari Nordmann approved a request for access."),
    ("AccessRequestDenied", {}, "Kari Nordmann denied a request for access."),
    ("AccessRequestWithdrawn", {}, "Kari Nordmann withdrew a request for access."),
    ("LocalUserAdded", {"installation_id": SITE}, "Kari Nordmann added the local user Ola Hansen."),
    ("UserRenamed", {}, "Kari Nordmann changed the name of Ola Hansen."),
    ("UserBlocked", {"installation_id": SITE}, "Kari Nordmann blocked Ola Hansen."),
    ("UserUnblocked", {"installation_id": SITE}, "Kari Nordmann lifted the block of Ola Hansen."),
    ("UserExported", {}, "Kari Nordmann exported everything about Ola Hansen."),
    ("UserErased", {}, "Kari Nordmann erased a local user."),
    (
        "IdentificationAdded",
        {"type": "RFID", "valid_until": "7", "identification_id": "new"},
        "Kari Nordmann gave Ola Hansen an identification: Charge card (RFID), until day 7.",
    ),
    (
        "IdentificationAdded",
        {"user_id": KARI, "type": "PIN", "identification_id": PIN},
        "Kari Nordmann added an identification of their own: PIN code.",
    ),
    (
        "IdentificationStatusChanged",
        {"status": "INACTIVE", "identification_id": PIN},
        "Kari Nordmann switched off an identification of Ola Hansen (PIN code).",
    ),
    (
        "IdentificationStatusChanged",
        {"status": "ACTIVE", "identification_id": PIN},
        "Kari Nordmann switched on an identification of Ola Hansen (PIN code).",
    ),
    (
        "IdentificationStatusChanged",
        {"status": "BLOCKED", "identification_id": "gone"},
        "Kari Nordmann blocked an identification of Ola Hansen.",
    ),
    (
        "IdentificationExpiryChanged",
        {"valid_until": "7", "identification_id": PIN},
        (
            "Kari Nordmann changed how long an identification of Ola Hansen (PIN code) works,"
            " until day 7."
        ),
    ),
    (
        "IdentificationExpiryChanged",
        {"identification_id": PIN},
        "Kari Nordmann let an identification of Ola Hansen (PIN code) work without an end.",
    ),
    (
        "IdentificationCodeChanged",
        {"user_id": KARI, "identification_id": PIN},
        "Kari Nordmann changed the code of an identification of their own (PIN code).",
    ),
    (
        "IdentificationGroupChanged",
        {"group_card": "false", "identification_id": PIN},
        (
            "Kari Nordmann changed which others may stop what"
            " an identification of Ola Hansen (PIN code) started."
        ),
    ),
    (
        "IdentificationRemoved",
        {"user_id": KARI, "identification_id": "gone"},
        "Kari Nordmann removed an identification of their own.",
    ),
    (
        "CodeRevealed",
        {"identification_id": PIN},
        "Kari Nordmann looked at the code of an identification of Ola Hansen (PIN code).",
    ),
    ("InvitationRenewed", {}, "Kari Nordmann sent Ola Hansen a new link of the invitation."),
    ("InvitationAccepted", {"user_id": KARI}, "Kari Nordmann accepted the invitation."),
    ("InvitationAccepted", {}, "Kari Nordmann accepted the invitation of Ola Hansen."),
    ("InvitationRevoked", {}, "Kari Nordmann took back the invitation of Ola Hansen."),
]


def kept(
    event: str, fields: dict[str, str], actor: str = f"user:{KARI}", behind: str | None = None
) -> Kept:
    """Return what an audit tells: the id of what it is about apart from the other fields."""
    subject = EVENTS[event].about[1] if event in EVENTS else ""
    about = {
        "installation_id": SITE,
        "charger_id": CHARGER,
        "user_id": OLA,
        "access_request_id": "request",
    }
    subject_id = fields.get(subject) or about.get(subject, "unknown")
    others = {name: value for name, value in fields.items() if name != subject}
    change = audit_pb2.Change(event=event, actor=actor, subject_id=subject_id, fields=others)
    return Kept("access", change, behind)


def told(event: str, fields: dict[str, str], *who: str) -> str | None:
    return sentence(kept(event, fields, *who), KNOWN, WRITING)


def sentences(of: Sentence) -> set[str]:
    if isinstance(of, Choice):
        return set().union(*map(sentences, (of.otherwise, *of.sentences.values())))
    return {of}


def test_every_event_has_a_sentence_or_a_reason_to_have_none() -> None:
    assert SENTENCES.keys() | LEFT_OUT.keys() == EVENTS.keys()
    assert not SENTENCES.keys() & LEFT_OUT.keys()


def test_every_sentence_is_shown_below() -> None:
    """And each event that is told has an example for each of its sentences."""
    for event, of in SENTENCES.items():
        examples = [said for name, _, said in EXAMPLES if name == event]
        assert len({*examples}) == len(examples) >= len(sentences(of)), event


@pytest.mark.parametrize(("event", "fields", "said"), EXAMPLES)
def test_it_is_told_in_a_sentence(event: str, fields: dict[str, str], said: str) -> None:
    known_fields = EVENTS[event].__struct_fields__
    assert fields.keys() <= set(known_fields)
    assert told(event, fields) == said


@pytest.mark.parametrize("event", SENTENCES)
def test_of_what_nobody_knows_a_name_no_id_is_told(event: str) -> None:
    fields = EVENTS[event].__struct_fields__
    ids = {name: f"secret-{name}" for name in fields if name.endswith("_id")}
    nobody = Known("secret-installation_id", {}, {}, {}, {})
    said = sentence(kept(event, ids, "user:secret"), nobody, WRITING)
    assert said is not None
    assert "secret" not in said
    assert said.startswith("Somebody ")


@pytest.mark.parametrize("event", LEFT_OUT)
def test_what_nobody_did_is_not_told(event: str) -> None:
    assert told(event, {}) is None
    assert re.fullmatch(r"[A-Z].+\.", LEFT_OUT[event])


@pytest.mark.parametrize(
    ("who", "called"),
    [
        (("administrator:local",), "An administrator"),
        (("administrator:kari-id",), "An administrator"),
        ((f"user:{KARI}",), "Kari Nordmann"),
        (("user:stranger",), "Somebody"),
        (("anonymous:nobody",), "Somebody"),
        ((f"partner:{VOLT}",), "Volt AS"),
        (("partner:other",), "A partner"),
        (("service:gateway",), "The system"),
        (("on_user_erased",), "The system"),
        (("on_user_erased", f"user:{OLA}"), "Ola Hansen"),
    ],
)
def test_who_did_it_is_called_by_name_or_by_what_he_is(who: tuple[str, ...], called: str) -> None:
    assert told("AccessRequestDenied", {}, *who) == f"{called} denied a request for access."


def test_an_invitation_that_goes_with_what_it_was_for_is_not_told_twice() -> None:
    assert told("InvitationRevoked", {}, "on_permission_revoked", f"user:{KARI}") is None


def test_what_a_later_version_does_is_shown_plainly() -> None:
    said = told("ChargerPainted", {"colour": "red", "charger_id": "secret"})
    assert said == "Kari Nordmann changed something that has no words here yet."


def test_every_role_has_its_name() -> None:
    for role in get_args(Role):
        said = told("PermissionGranted", {"user_id": OLA, "roles": role})
        assert said is not None
        assert role not in said


def test_names_are_asked_of_whoever_is_in_it() -> None:
    some = [
        kept("OwnershipOffered", {"from_user_id": "giver", "to_user_id": "taker"}),
        kept("IdentificationRemoved", {"user_id": "holder", "identification_id": PIN}),
        kept("ChargerAdded", {}, "on_something", "user:behind"),
        kept("ChargerAdded", {}, "administrator:local"),
        kept("PermissionRevoked", {"partner_id": "holding"}, "partner:acting"),
    ]
    assert users(some) == {KARI, "giver", "taker", "holder", "behind"}
    assert partners(some) == {"holding", "acting"}
    assert identifications(some) == {PIN}
    assert chargers(some) == {CHARGER}
