"""The view fed with messages as they travel: positions, generations, private messages."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest

from chargekey_common.follower import Message
from chargekey_common.keyed_ids import CodeClass, KeyedId
from chargekey_common.positions import Position
from chargekey_common.published import access, identity
from chargekey_common.published.envelope import (
    POSITION_HEADER,
    Attributes,
    PublishedEvent,
    headers,
)
from chargekey_common.published.sessions import Inputs
from chargekey_gateway.decision import ASK_OPERATOR, decide, decided
from chargekey_gateway.inputs import Presented, gather
from chargekey_gateway.view.entries import NEVER
from chargekey_gateway.view.grants import MOST_DEPARTED
from chargekey_gateway.view.view import View

FIRST = "0000000000000001"
SECOND = "0000000000000002"
KEY = "aa" * 16
OTHER_KEY = "bb" * 16


def message(event: PublishedEvent, number: int, generation: str = FIRST) -> Message:
    position = Position(event.stream, generation, number)
    about = Attributes(id=f"{number}", at=0, cause="", actor="", position=position)
    return Message(
        event.subject,
        number,
        msgspec.json.encode(event),
        headers(event, about, source=event.stream),
    )


SITE = access.InstallationCreated(
    installation_id="site", name="", time_zone="UTC", authorisation_required=True
)
CREDENTIAL = access.ChargerCredential(charger_id="charger", password_hash="cafe")
CHARGER = access.ChargerAdded(
    charger_id="charger",
    installation_id="site",
    ocpp_identity="CP-1",
    authorisation_override="INHERIT",
    identification_types=("RFID", "PIN"),
)
GRANT = access.PermissionGranted(
    installation_id="site", permission_id="permission", user_id="user", roles=("USER",)
)
REVOKE = access.PermissionRevoked(
    installation_id="site", permission_id="permission", user_id="user"
)
USER = identity.LocalUserAdded(user_id="user", installation_id="site")
PIN_KEY = identity.IdentificationKey(identification_id="pin", keyed_id=KEY)
PIN = identity.IdentificationAdded(
    identification_id="pin", user_id="user", type="PIN", status="ACTIVE", installation_id="site"
)
CARD_KEY = identity.IdentificationKey(identification_id="card", keyed_id="cc" * 16, alias="dd" * 16)
CARD = identity.IdentificationAdded(
    identification_id="card", user_id="second", type="RFID", status="ACTIVE", installation_id="site"
)
NEW_KEY = identity.IdentificationKey(identification_id="pin", keyed_id=OTHER_KEY)
NEW_CODE = identity.IdentificationCodeChanged(identification_id="pin", user_id="user")
REMOVED = identity.IdentificationRemoved(identification_id="pin", user_id="user")
BLOCK = identity.UserBlocked(user_id="user", installation_id="site")
FLEET_GRANT = access.PermissionGranted(
    installation_id="site", permission_id="fleet-permission", partner_id="fleet", roles=("USER",)
)
OTHER_CHARGER = access.ChargerAdded(
    charger_id="other",
    installation_id="other-site",
    ocpp_identity="CP-2",
    authorisation_override="INHERIT",
    identification_types=("RFID", "PIN"),
)
CONNECTED = access.OperatorConnected(installation_id="site", partner_id="operator")
EXTERNAL = access.AuthenticationTypeSet(installation_id="site", authentication_type="EXTERNAL")
NATIVE = access.AuthenticationTypeSet(installation_id="site", authentication_type="NATIVE")
OPENED = access.AuthorisationRequiredSet(installation_id="site", authorisation_required=False)
SITE_RESTRICTED = access.AuthorisationRequiredSet(
    installation_id="site", authorisation_required=True
)
UNBLOCK = identity.UserUnblocked(user_id="user", installation_id="site")

ACCESS = [
    message(SITE, 1),
    message(CREDENTIAL, 2),
    message(CHARGER, 2),
    message(GRANT, 5),
]
IDENTITY = [message(USER, 1), message(PIN_KEY, 3), message(PIN, 3)]


def fill(view: View, messages: Sequence[Message]) -> None:
    for each in messages:
        view.handle(each)


def loaded() -> View:
    view = View()
    fill(view, ACCESS)
    fill(view, IDENTITY)
    return view


def inputs(view: View, key: str = KEY, at: int = 0, charger_id: str = "charger") -> Inputs:
    charger = view.charger(charger_id)
    assert charger is not None
    identification = view.identification(KeyedId(bytes.fromhex(key)))
    return gather(charger, Presented("#1234", CodeClass.PIN, identification), at=at, positions=())


def reason(view: View, key: str = KEY, at: int = 0, charger_id: str = "charger") -> str:
    return decided(inputs(view, key, at, charger_id)).reason


def test_a_pin_added_from_then_on_authorizes() -> None:
    """S0-24."""
    assert reason(loaded()) == "installation_permission"


def test_whose_it_is_may_be_known_without_its_code() -> None:
    """As for a local list: that is not nothing (O37), and its type counts."""
    view = loaded()
    charger, known = view.charger("charger"), view.identification(KeyedId(bytes.fromhex(KEY)))
    assert charger is not None
    closed = msgspec.structs.replace(charger, identification_types=frozenset())
    for identification, nothing in ((known, False), (None, True)):
        presented = Presented("", CodeClass.OTHER, identification)
        seen = gather(closed, presented, at=0, positions=())
        assert (seen.nothing_presented, seen.type_enabled) == (nothing, nothing)
        assert not seen.token_malformed


def test_chargers_are_found_by_id_and_by_ocpp_identity() -> None:
    view = loaded()
    charger = view.charger("charger")
    assert charger is view.charger_by_ocpp_identity("CP-1")
    assert charger is not None
    assert (charger.installation.id, charger.password_hash) == ("site", "cafe")
    assert view.charger("another") is None
    assert view.charger_by_ocpp_identity("CP-2") is None


def test_a_new_credential_replaces_the_old_one() -> None:
    view = loaded()
    told: list[str | None] = []
    charger = view.charger("charger")
    assert charger is not None
    view.on_password_change(lambda: told.append(charger.password_hash))
    view.apply(msgspec.structs.replace(CREDENTIAL, password_hash="f00d"))
    assert charger.password_hash == "f00d"
    assert told == ["f00d"]
    view.apply(msgspec.structs.replace(CREDENTIAL, charger_id="one to come"))
    assert told == ["f00d"]  # nobody can have come in as that one


def test_a_changed_code_works_and_the_old_one_does_not() -> None:
    """S0-26."""
    view = loaded()
    fill(view, [message(NEW_KEY, 4), message(NEW_CODE, 4)])
    assert reason(view, OTHER_KEY) == "installation_permission"
    assert reason(view, KEY) == "identification_unknown"


def test_an_identification_ends_when_it_says_and_without_an_end_never() -> None:
    """R18, S0-22."""
    view = View()
    fill(view, ACCESS)
    ending = msgspec.structs.replace(PIN, valid_until=1000)
    fill(view, [message(USER, 1), message(PIN_KEY, 3), message(ending, 3)])
    assert reason(view, at=999) == "installation_permission"
    assert reason(view, at=1000) == "identification_expired"
    endless = identity.IdentificationExpiryChanged(identification_id="pin", user_id="user")
    view.handle(message(endless, 4))
    assert reason(view, at=1000) == "installation_permission"


def test_the_code_of_a_removed_identification_may_be_anothers() -> None:
    view = loaded()
    key = identity.IdentificationKey(identification_id="second", keyed_id=KEY)
    second = msgspec.structs.replace(PIN, identification_id="second")
    fill(view, [message(REMOVED, 4), message(key, 5), message(second, 5)])
    known = view.identification(KeyedId(bytes.fromhex(KEY)))
    assert known is not None
    assert known.id == "second"


def test_an_identification_whose_key_was_erased_is_nobodys() -> None:
    """On a replay the private message of a removed or changed code is not there any more."""
    view = View()
    fill(view, ACCESS)
    fill(view, [message(USER, 1), message(PIN, 3)])
    assert reason(view) == "identification_unknown"
    fill(view, [message(NEW_KEY, 4), message(NEW_CODE, 4)])
    assert reason(view, OTHER_KEY) == "installation_permission"


def test_a_blocked_local_user_is_refused_with_every_identification() -> None:
    """S0-15, R12."""
    view = loaded()
    card_key = identity.IdentificationKey(identification_id="card", keyed_id=OTHER_KEY)
    card = msgspec.structs.replace(PIN, identification_id="card", type="RFID")
    fill(view, [message(BLOCK, 4), message(card_key, 5), message(card, 5)])
    assert (reason(view, KEY), reason(view, OTHER_KEY)) == ("user_blocked", "user_blocked")
    view.handle(message(UNBLOCK, 6))
    assert reason(view, OTHER_KEY) == "installation_permission"


def test_a_user_added_blocked_is_blocked() -> None:
    """S0-15: Blocked can be ticked when the user is created."""
    view = View()
    fill(view, ACCESS)
    blocked = msgspec.structs.replace(USER, blocked=True)
    fill(view, [message(blocked, 1), message(PIN_KEY, 3), message(PIN, 3)])
    assert reason(view) == "user_blocked"


def test_a_block_of_the_platform_and_one_of_the_site_are_lifted_apart() -> None:
    view = loaded()
    everywhere = identity.UserBlocked(user_id="user")
    fill(view, [message(BLOCK, 4), message(everywhere, 5), message(UNBLOCK, 6)])
    assert reason(view) == "user_blocked"
    view.handle(message(identity.UserUnblocked(user_id="user"), 7))
    assert reason(view) == "installation_permission"


def test_whoever_listens_is_told_of_every_change_of_somebodys_rights() -> None:
    view = loaded()
    heard: list[str] = []
    view.on_user_change(heard.append)
    fill(view, [message(BLOCK, 4), message(BLOCK, 4), message(NEW_CODE, 5), message(UNBLOCK, 6)])
    # A block told again at its position is none; another code is one change of a list, told
    # with its key and with the event.
    assert heard == ["user", "user", "user"]
    view.apply(access.PartnerMemberAdded(partner_id="fleet", user_id="member"))
    heard.clear()
    view.apply(FLEET_GRANT)
    assert heard == ["member"]


def test_whoever_listens_is_told_of_every_change_of_a_sites_settings() -> None:
    view = loaded()
    heard: list[str] = []
    view.on_site_change(heard.append)
    view.apply(EXTERNAL)
    view.apply(PIN)
    assert heard == ["site"]


# Partners.


@pytest.mark.parametrize("grant_first", [True, False])
def test_every_current_member_holds_what_the_partner_holds(grant_first: bool) -> None:
    """R8, S3-48: live, whichever was first."""
    view = loaded()
    view.apply(REVOKE)
    joined = access.PartnerMemberAdded(partner_id="fleet", user_id="user")
    for event in (FLEET_GRANT, joined) if grant_first else (joined, FLEET_GRANT):
        assert reason(view) == "no_permission"
        view.apply(event)
    assert inputs(view).permission_id == "fleet-permission"
    assert reason(view) == "installation_permission"
    view.apply(access.PartnerMemberRemoved(partner_id="fleet", user_id="user"))
    assert reason(view) == "no_permission"


def test_a_change_of_a_partners_permission_counts_for_its_members() -> None:
    """R4, R8, R10."""
    view = loaded()
    view.apply(REVOKE)
    view.apply(access.PartnerMemberAdded(partner_id="fleet", user_id="user"))
    view.apply(FLEET_GRANT)
    view.apply(
        access.PermissionChanged(
            installation_id="site",
            permission_id="fleet-permission",
            partner_id="fleet",
            roles=("USER", "SERVICE"),
            valid_until=10,
        )
    )
    assert (reason(view, at=9), reason(view, at=10)) == (
        "installation_permission",
        "permission_expired",
    )
    service = access.PermissionChanged(
        installation_id="site",
        permission_id="fleet-permission",
        partner_id="fleet",
        roles=("SERVICE",),
    )
    view.apply(service)
    assert reason(view) == "no_permission"
    view.apply(FLEET_GRANT)
    view.apply(
        access.PermissionRevoked(
            installation_id="site", permission_id="fleet-permission", partner_id="fleet"
        )
    )
    assert reason(view) == "no_permission"


def test_a_member_told_of_twice_is_a_member_once() -> None:
    view = loaded()
    view.apply(REVOKE)
    view.apply(FLEET_GRANT)
    view.apply(access.PartnerMemberAdded(partner_id="fleet", user_id="user"))
    view.apply(access.PartnerMemberAdded(partner_id="fleet", user_id="user", manages=True))
    view.apply(access.PartnerMemberRemoved(partner_id="fleet", user_id="user"))
    assert reason(view) == "no_permission"


def test_own_and_partners_permissions_add_up() -> None:
    """R4: taking the one away leaves the other."""
    view = loaded()
    view.apply(access.PartnerMemberAdded(partner_id="fleet", user_id="user"))
    view.apply(msgspec.structs.replace(FLEET_GRANT, charger_id="charger", valid_until=10))
    assert inputs(view).permission_id == "permission"  # the one that ends last
    view.apply(msgspec.structs.replace(GRANT, valid_until=10))
    assert inputs(view).permission_id == "fleet-permission"  # the one on the charger
    view.apply(REVOKE)
    assert reason(view) == "charger_permission"


def test_a_permission_of_nobody_is_counted_and_passed(skipped: Skipped) -> None:
    view = loaded()
    nobodys = access.PermissionGranted(
        installation_id="site", permission_id="permission", roles=("USER",)
    )
    view.handle(message(nobodys, 6))
    assert skipped.unreadable == 1
    assert view.positions[0] == f"access:{FIRST}:6"


# Blocks at an installation, people nobody has verified, erased ones.


@pytest.mark.parametrize("block_first", [True, False])
def test_a_block_at_an_installation_holds_at_its_chargers_and_there_only(block_first: bool) -> None:
    """R12: whatever he holds there, permissions on chargers and a partner's included."""
    view = loaded()
    view.apply(OTHER_CHARGER)
    elsewhere = access.PermissionGranted(
        installation_id="other-site", permission_id="p2", user_id="user", roles=("USER",)
    )
    barred = access.UserBlockedAtInstallation(installation_id="site", user_id="user")
    on_charger = msgspec.structs.replace(GRANT, permission_id="p3", charger_id="charger")
    member = access.PartnerMemberAdded(partner_id="fleet", user_id="user")
    events = [elsewhere, on_charger, member, FLEET_GRANT]
    for event in [barred, *events] if block_first else [*events, barred]:
        view.apply(event)
    assert reason(view) == "user_blocked"
    assert decided(inputs(view)).status == "Blocked"
    known = view.user("user")
    assert known is not None
    assert [right.target.id for right in known.rights] == ["other-site"]
    assert reason(view, charger_id="other") == "installation_permission"
    view.apply(access.UserUnblockedAtInstallation(installation_id="site", user_id="user"))
    assert reason(view) == "charger_permission"


def test_a_block_at_the_installation_does_not_hold_at_an_open_charger() -> None:
    """R12: it cannot be enforced, he need not present anything; one of the platform does hold."""
    view = loaded()
    view.apply(OPENED)
    view.apply(access.UserBlockedAtInstallation(installation_id="site", user_id="user"))
    assert reason(view) == "open_charger"
    view.apply(identity.UserBlocked(user_id="user"))
    assert reason(view) == "user_blocked"


def test_what_a_pending_user_is_given_counts_once_his_address_is_verified() -> None:
    """R7, S3-20: no further step of an owner."""
    view = View()
    fill(view, ACCESS)
    pending = identity.PendingUserAdded(user_id="user")
    fill(view, [message(pending, 1), message(PIN_KEY, 3), message(PIN, 3)])
    assert reason(view) == "no_permission"
    assert inputs(view).permission_id == "permission"  # it is there, and why it does not count
    assert not inputs(view).user_verified
    view.handle(message(identity.EmailVerified(user_id="user"), 4))
    assert reason(view) == "installation_permission"


def test_an_erased_user_is_nobody() -> None:
    """R20."""
    view = loaded()
    fill(view, [message(REMOVED, 4), message(identity.UserErased(user_id="user"), 5)])
    assert reason(view) == "identification_unknown"
    known = view.user("user")
    assert known is not None
    assert known.rights == ()


def test_a_forgotten_user_holds_nothing_any_more() -> None:
    """R20."""
    view = loaded()
    view.apply(access.PartnerMemberAdded(partner_id="fleet", user_id="user"))
    view.apply(FLEET_GRANT)
    view.apply(msgspec.structs.replace(GRANT, permission_id="p2", charger_id="charger"))
    view.apply(access.UserForgotten(user_id="user"))
    assert reason(view) == "no_permission"
    view.apply(
        access.PermissionRevoked(
            installation_id="site", permission_id="fleet-permission", partner_id="fleet"
        )
    )
    assert reason(view) == "no_permission"


# Chargers that move, sites that an operator manages.


def test_a_charger_that_moves_leaves_override_and_permissions_behind() -> None:
    """R11: and is the same object, for its connection."""
    view = loaded()
    charger = view.charger("charger")
    assert charger is not None
    view.apply(
        access.AuthorisationOverrideSet(
            charger_id="charger", installation_id="site", authorisation_override="NOT_REQUIRED"
        )
    )
    view.apply(access.PartnerMemberAdded(partner_id="fleet", user_id="user"))
    view.apply(msgspec.structs.replace(FLEET_GRANT, charger_id="charger"))
    view.apply(msgspec.structs.replace(GRANT, permission_id="p2", charger_id="charger"))
    view.apply(OTHER_CHARGER)
    view.apply(
        access.ChargerMoved(
            charger_id="charger", installation_id="other-site", from_installation_id="site"
        )
    )
    assert view.charger("charger") is charger
    assert charger.installation.id == "other-site"
    assert {each.id for each in view.chargers_at("other-site")} == {"charger", "other"}
    assert view.chargers_at("site") == []
    assert charger.authorisation_required
    card = msgspec.structs.replace(PIN, type="RFID", installation_id=None)
    view.apply(card)
    assert reason(view) == "no_permission"
    # Back again, nothing of it has come back; the site's own permission counts.
    view.apply(
        access.ChargerMoved(
            charger_id="charger", installation_id="site", from_installation_id="other-site"
        )
    )
    assert reason(view) == "installation_permission"
    view.apply(msgspec.structs.replace(GRANT, permission_id="p2", charger_id="charger"))
    assert reason(view) == "charger_permission"


def test_overrides_are_suspended_while_an_operator_does_not_allow_them() -> None:
    """R2, S3-36: and come back when it is disconnected."""
    view = loaded()
    view.apply(
        access.AuthorisationOverrideSet(
            charger_id="charger", installation_id="site", authorisation_override="NOT_REQUIRED"
        )
    )
    assert reason(view) == "open_charger"
    view.apply(CONNECTED)
    assert reason(view) == "installation_permission"
    view.apply(access.OverridesAllowedSet(installation_id="site", overrides_allowed=True))
    assert reason(view) == "open_charger"
    view.apply(access.OverridesAllowedSet(installation_id="site"))
    assert reason(view) == "installation_permission"
    view.apply(access.OperatorDisconnected(installation_id="site", partner_id="operator"))
    assert reason(view) == "open_charger"


def test_a_managed_native_site_goes_by_its_permissions() -> None:
    """R3: the operator edits them, and they count."""
    view = loaded()
    view.apply(CONNECTED)
    assert reason(view) == "installation_permission"
    view.apply(REVOKE)
    assert reason(view) == "no_permission"


@pytest.mark.parametrize("required", [True, False])
def test_where_an_operator_decides_no_permission_lets_anybody_in(required: bool) -> None:
    """R3: open or not, and whatever anybody holds; the block of the platform comes first."""
    view = loaded()
    view.apply(CONNECTED)
    view.apply(
        access.AuthorisationRequiredSet(installation_id="site", authorisation_required=required)
    )
    view.apply(EXTERNAL)
    assert reason(view) == "operator_refused"  # a PIN, which it is never told
    card = msgspec.structs.replace(inputs(view), token_type="RFID")
    assert decide(card) is ASK_OPERATOR
    view.apply(identity.UserBlocked(user_id="user"))
    assert reason(view) == "user_blocked"


def test_at_no_moment_of_a_disconnect_is_the_site_open() -> None:
    """R9: read one by one, in the order in which access saves them."""
    view = loaded()
    for event in (CONNECTED, EXTERNAL, OPENED):
        view.apply(event)
    view.apply(REVOKE)
    for event, expected in (
        (SITE_RESTRICTED, "operator_refused"),
        (NATIVE, "no_permission"),
        (
            access.OperatorDisconnected(installation_id="site", partner_id="operator"),
            "no_permission",
        ),
    ):
        view.apply(event)
        assert reason(view) == expected


def test_a_type_switched_off_is_denied_and_works_again_when_it_is_switched_on() -> None:
    """R19, S0-8: it keeps its identifications."""
    view = loaded()
    for types, expected in ((("RFID",), "type_disabled"), (("PIN",), "installation_permission")):
        view.apply(
            access.IdentificationTypesSet(
                charger_id="charger",
                installation_id="site",
                identification_types=types,  # type: ignore[arg-type] # two of the literals
            )
        )
        assert reason(view) == expected


@pytest.mark.parametrize("type_", ["APP", "VEHICLE_ID", "SMS", "CREDIT_CARD"])
def test_the_type_of_an_identification_counts_and_not_what_its_code_looks_like(type_: str) -> None:
    """S0-8, R19."""
    view = loaded()
    view.apply(msgspec.structs.replace(PIN, type=type_))
    assert reason(view) == "type_disabled"
    view.apply(
        access.IdentificationTypesSet(
            charger_id="charger",
            installation_id="site",
            identification_types=(type_,),  # type: ignore[arg-type] # one of the literals
        )
    )
    assert reason(view) == "installation_permission"


def test_a_group_is_what_was_told_last() -> None:
    """R21, R22."""
    view = loaded()
    view.apply(
        identity.IdentificationGroupChanged(
            identification_id="pin", user_id="user", group_id="family", group_card=True
        )
    )
    assert (inputs(view).group_id, inputs(view).group_card) == ("family", True)
    view.apply(identity.IdentificationGroupChanged(identification_id="pin", user_id="user"))
    assert (inputs(view).group_id, inputs(view).group_card) == (None, False)


def test_an_alias_names_all_that_share_it_and_those_that_are_left() -> None:
    """R15."""
    view = View()
    alias = KeyedId(bytes.fromhex(OTHER_KEY))
    for name in ("first", "second"):
        key = identity.IdentificationKey(
            identification_id=name, keyed_id=name.encode().hex().ljust(32, "0"), alias=OTHER_KEY
        )
        view.apply(key)
        view.apply(msgspec.structs.replace(PIN, identification_id=name, type="RFID"))
    assert {each.id for each in view.identifications_by_alias(alias)} == {"first", "second"}
    view.apply(identity.IdentificationRemoved(identification_id="first", user_id="user"))
    assert [each.id for each in view.identifications_by_alias(alias)] == ["second"]
    changed = identity.IdentificationKey(identification_id="second", keyed_id="cc" * 16)
    view.apply(changed)
    assert view.identifications_by_alias(alias) == ()


def test_the_charger_deviates_from_its_site_or_not() -> None:
    """R1."""
    view = loaded()
    view.apply(OPENED)
    assert reason(view) == "open_charger"
    for override, expected in (
        ("REQUIRED", "installation_permission"),
        ("NOT_REQUIRED", "open_charger"),
    ):
        view.apply(
            access.AuthorisationOverrideSet(
                charger_id="charger",
                installation_id="site",
                authorisation_override=override,  # type: ignore[arg-type]  # one of the two above
            )
        )
        assert reason(view) == expected


def test_permissions_of_a_user_that_is_not_known_yet_are_kept() -> None:
    view = View()
    fill(view, [message(GRANT, 1)])
    fill(view, IDENTITY)
    fill(view, [message(SITE, 2), message(CHARGER, 3)])
    assert reason(view) == "installation_permission"


def test_what_was_applied_is_not_applied_again() -> None:
    view = loaded()
    fill(view, [message(REVOKE, 6), message(NEW_KEY, 4), message(NEW_CODE, 4)])
    before = view.digest()
    fill(view, [*ACCESS, *IDENTITY])  # a refilled stream, from its beginning
    assert view.digest() == before
    assert view.positions == (f"access:{FIRST}:6", f"identity:{FIRST}:4")


def test_another_generation_replaces_that_services_facts_only() -> None:
    view = loaded()
    charger = view.charger("charger")
    view.handle(message(SITE, 1, SECOND))
    assert view.charger("charger") is None
    assert view.charger_by_ocpp_identity("CP-1") is None
    fill(view, [message(CREDENTIAL, 2, SECOND), message(CHARGER, 2, SECOND)])
    assert view.charger("charger") is charger  # open connections hold on to it
    assert reason(view) == "no_permission"
    view.handle(message(GRANT, 3, SECOND))
    assert reason(view) == "installation_permission"
    assert view.positions == (f"access:{SECOND}:3", f"identity:{FIRST}:3")


def test_a_reloaded_view_equals_a_fresh_one() -> None:
    view = loaded()
    fill(view, [message(BLOCK, 4), message(NEW_KEY, 5), message(NEW_CODE, 5)])
    view.reset("identity")
    fill(view, IDENTITY)
    assert view.digest() == loaded().digest()
    view.reset("access")
    fill(view, ACCESS)
    assert view.digest() == loaded().digest()


class Skipped:
    """What `/metrics` counts from now on."""

    def __init__(self) -> None:
        self._before = self._now("unknown"), self._now("unreadable")

    @property
    def unknown(self) -> int:
        return self._now("unknown") - self._before[0]

    @property
    def unreadable(self) -> int:
        return self._now("unreadable") - self._before[1]

    def _now(self, why: str) -> int:
        line = f'view_events_skipped_total{{why="{why}"}} '
        [found] = [each for each in generate_latest().decode().splitlines() if line in each]
        return int(float(found.removeprefix(line)))


@pytest.fixture
def skipped() -> Skipped:
    return Skipped()


def test_unknown_events_are_counted_and_passed(skipped: Skipped) -> None:
    view = loaded()
    known = message(GRANT, 6)
    view.handle(
        Message("access.v1.installation.site.MoonPhaseChanged", 6, b"{}", dict(known.headers))
    )
    assert (skipped.unknown, skipped.unreadable) == (1, 0)
    assert view.positions[0] == f"access:{FIRST}:6"


def test_an_unreadable_event_is_counted_and_passed(skipped: Skipped) -> None:
    view = loaded()
    known = message(GRANT, 6)
    view.handle(Message(known.subject, 6, b'{"permission_id": 7}', known.headers))
    assert (skipped.unknown, skipped.unreadable) == (0, 1)
    assert view.positions[0] == f"access:{FIRST}:6"


def test_an_unreadable_private_message_does_not_hide_the_event_behind_it(skipped: Skipped) -> None:
    view = View()
    view.handle(message(SITE, 1))
    view.handle(msgspec.structs.replace(message(CREDENTIAL, 2), data=b"{"))
    view.handle(message(CHARGER, 2))
    assert skipped.unreadable == 1
    assert view.charger("charger") is not None
    assert view.positions == (f"access:{FIRST}:2",)


@pytest.mark.parametrize(
    "header", ["", "nonsense", "access", f"access:{FIRST}:-1", f"access:{FIRST}:7x", "x" * 10_000]
)
def test_an_event_without_a_readable_position_is_counted_and_passed(
    header: str, skipped: Skipped
) -> None:
    """It may have been applied before, and nobody can say; what follows it counts."""
    view = loaded()
    known = message(REVOKE, 6)
    view.handle(msgspec.structs.replace(known, headers={**known.headers, POSITION_HEADER: header}))
    assert (skipped.unknown, skipped.unreadable) == (0, 1)
    assert reason(view, KEY) == "installation_permission"
    view.handle(message(REVOKE, 7))
    assert reason(view, KEY) == "no_permission"


@pytest.mark.parametrize("keyed_id", ["", "zz" * 16, "aa" * 15, "aa" * 17, "aa" * 15 + "a", "é"])
def test_a_key_that_is_none_is_counted_and_finds_nothing(keyed_id: str, skipped: Skipped) -> None:
    """Nor does the key before it: the code was changed, and only that is certain."""
    view = loaded()
    broken = identity.IdentificationKey(identification_id="pin", keyed_id=keyed_id)
    view.handle(message(broken, 4))
    view.handle(message(NEW_CODE, 4))
    assert skipped.unreadable == 1
    assert reason(view, KEY) == "identification_unknown"
    assert view.positions[1] == f"identity:{FIRST}:4"


HISTORY = {
    "access": [
        message(event, number)
        for number, event in enumerate(
            [
                SITE,
                CHARGER,
                OTHER_CHARGER,
                GRANT,
                FLEET_GRANT,
                access.PartnerMemberAdded(partner_id="fleet", user_id="user"),
                access.PartnerMemberAdded(partner_id="fleet", user_id="second"),
                msgspec.structs.replace(GRANT, permission_id="p2", charger_id="charger"),
                msgspec.structs.replace(GRANT, permission_id="p3", charger_id="other"),
                access.UserBlockedAtInstallation(installation_id="site", user_id="second"),
                access.UserBlockedAtInstallation(installation_id="site", user_id="user"),
                CONNECTED,
                EXTERNAL,
                access.PoliciesSet(
                    installation_id="site",
                    on_block="FINISH",
                    on_revoke="STOP",
                    on_operator_timeout="DENY",
                    pin_length=6,
                ),
                access.PartnerMemberRemoved(partner_id="fleet", user_id="user"),
                REVOKE,
                NATIVE,
                access.OverridesAllowedSet(installation_id="site", overrides_allowed=True),
                access.ReaderQuirksSet(charger_id="charger", installation_id="site", reversed=True),
                access.ChargerMoved(
                    charger_id="other", installation_id="site", from_installation_id="other-site"
                ),
                msgspec.structs.replace(GRANT, valid_until=77),
                access.UserUnblockedAtInstallation(installation_id="site", user_id="user"),
                access.IdentificationTypesSet(
                    charger_id="charger", installation_id="site", identification_types=("PIN",)
                ),
                access.UserForgotten(user_id="third"),
            ],
            start=1,
        )
    ],
    "identity": [
        *IDENTITY,
        message(BLOCK, 4),
        message(NEW_KEY, 5),
        message(NEW_CODE, 5),
        message(identity.PendingUserAdded(user_id="second"), 6),
        message(
            identity.IdentificationExpiryChanged(
                identification_id="pin", user_id="user", valid_until=50
            ),
            7,
        ),
        message(UNBLOCK, 8),
        message(CARD_KEY, 9),
        message(CARD, 9),
        message(
            identity.IdentificationGroupChanged(
                identification_id="card", user_id="second", group_id="family", group_card=True
            ),
            10,
        ),
        message(identity.PendingUserAdded(user_id="third"), 11),
        message(identity.EmailVerified(user_id="third"), 12),
        message(identity.UserErased(user_id="third"), 13),
    ],
}


# What changes nothing here: a new site is restricted, as one of which nobody has told; another
# code is its key, which came before; nothing was held any more.
SILENT = {"InstallationCreated", "IdentificationCodeChanged", "UserForgotten"}


def test_the_digest_covers_every_event_that_bears_on_a_decision() -> None:
    view = View()
    for told in (*HISTORY["access"], *HISTORY["identity"]):
        before = view.digest()
        view.handle(told)
        name = told.subject.rpartition(".")[2]
        if not told.subject.startswith("identity.v1.key."):
            assert (view.digest() == before) is (name in SILENT), name


def test_asking_for_a_site_of_which_nothing_was_told_changes_no_digest() -> None:
    view = loaded()
    before = view.digest()
    view.installation("nobody's")
    assert view.digest() == before


@settings(max_examples=500)
@given(turns=st.lists(st.booleans(), max_size=60), again=st.lists(st.integers(0, 40), max_size=40))
def test_the_streams_may_interleave_and_repeat_in_any_way(
    turns: list[bool], again: list[int]
) -> None:
    straight = View()
    fill(straight, HISTORY["access"])
    fill(straight, HISTORY["identity"])

    mixed = View()
    left = {"access": list(HISTORY["access"]), "identity": list(HISTORY["identity"])}
    seen: list[Message] = []
    for turn in turns:
        stream = left["access" if turn else "identity"]
        if stream:
            seen.append(stream.pop(0))
            mixed.handle(seen[-1])
        if again and seen:
            mixed.handle(seen[again.pop() % len(seen)])
    fill(mixed, left["identity"])
    fill(mixed, left["access"])
    assert mixed.digest() == straight.digest()
    assert mixed.positions == straight.positions
    assert reason(mixed, OTHER_KEY, at=49) == "charger_permission"


# What chargers' own lists and caches are made from.


def test_who_holds_a_permission_there_or_did_is_found_from_the_place() -> None:
    view = loaded()
    view.apply(FLEET_GRANT)
    view.apply(access.PartnerMemberAdded(partner_id="fleet", user_id="member"))
    assert {user.id for user in view.holders("site")} == {"user", "member"}
    assert view.concerned("member") == {"site"}
    view.apply(REVOKE)
    view.apply(access.PartnerMemberRemoved(partner_id="fleet", user_id="member"))
    assert list(view.holders("site")) == []
    assert [user.id for user in view.departed("site")] == ["user", "member"]
    assert view.concerned("member") == {"site"}
    view.apply(GRANT)
    assert [user.id for user in view.departed("site")] == ["member"]
    view.reset("access")
    assert (list(view.holders("site")), list(view.departed("site"))) == ([], [])


def test_of_those_who_lost_their_permission_the_last_few_are_remembered() -> None:
    view = View()
    people = [f"user-{number}" for number in range(MOST_DEPARTED + 1)]
    for user_id in people:
        about = {"installation_id": "site", "permission_id": user_id, "user_id": user_id}
        view.apply(access.PermissionGranted(**about, roles=("USER",)))
        view.apply(access.PermissionRevoked(**about))
    assert [user.id for user in view.departed("site")] == people[1:]
    assert view.concerned(people[0]) == frozenset()


def test_what_somebody_presents_is_found_from_him_until_it_is_gone() -> None:
    view = loaded()
    assert [known.id for known in view.identifications_of("user")] == ["pin"]
    view.apply(REMOVED)
    assert list(view.identifications_of("user")) == []
    view.apply(PIN)
    view.reset("identity")
    assert list(view.identifications_of("user")) == []


@pytest.mark.parametrize("identity_first", [True, False])
def test_times_of_changes_are_those_of_the_events_whichever_stream_was_first(
    identity_first: bool,
) -> None:
    """So that every replica knows the same."""
    view = View()

    def at(event: PublishedEvent, number: int, seconds: int) -> Message:
        about = Attributes(
            id="",
            at=seconds * 10**9,
            cause="",
            actor="",
            position=Position(event.stream, FIRST, number),
        )
        data = msgspec.json.encode(event)
        return Message(event.subject, number, data, headers(event, about, source=event.stream))

    of_access = [at(SITE, 1, 1), at(GRANT, 2, 2), at(REVOKE, 3, 5)]
    of_identity = [at(USER, 1, 1), at(BLOCK, 2, 3), at(UNBLOCK, 3, 4)]
    for messages in (of_identity, of_access) if identity_first else (of_access, of_identity):
        fill(view, messages)
    assert (view.changes.changed("user"), view.changes.taken("user")) == (4 * 10**9, 3 * 10**9)
    assert (view.changes.changed("site"), view.changes.taken("site")) == (5 * 10**9, 5 * 10**9)
    assert (view.changes.changed("charger"), view.changes.taken("charger")) == (0, 0)


def test_an_event_that_does_not_say_when_it_was_was_before_everything() -> None:
    view = View()
    view.handle(Message(GRANT.subject, 1, msgspec.json.encode(GRANT), {}))
    assert {user.id for user in view.holders("site")} == {"user"}
    assert view.changes.changed("site") == 0


def test_people_who_may_charge_at_the_same_places_share_what_a_tap_reads() -> None:
    """With a million of them it is in the processor's caches; what one is given is his alone."""
    view = loaded()
    view.apply(msgspec.structs.replace(GRANT, user_id="other", permission_id="another"))
    view.apply(msgspec.structs.replace(PIN, user_id="other", identification_id="other's"))
    mine, his = (view.identification_by_id(each) for each in (PIN.identification_id, "other's"))
    assert mine is not None
    assert his is not None
    assert mine.rights
    assert mine.rights is his.rights
    until = access.PermissionChanged(
        installation_id="site",
        permission_id="another",
        user_id="other",
        roles=("USER",),
        valid_until=9,
    )
    view.apply(until)
    assert [right.ends for right in his.rights] == [9]
    assert [right.ends for right in mine.rights] == [NEVER]
