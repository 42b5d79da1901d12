"""Granting, changing, taking away: who may what, on both stores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

from chargekey_access.domain.errors import (
    LastOwnerError,
    LocalUserCannotOwnError,
    LocalUserElsewhereError,
    NotAPaymentOperatorError,
    OperatorConnectedAlreadyError,
    OwnerWithoutEndError,
    PartnerCannotOwnError,
    PartnerUnknownError,
    PermissionUnknownError,
    RoleNotGrantableError,
    UserUnknownError,
)
from chargekey_access.domain.events import (
    AuthenticationTypeSet,
    AuthorisationRequiredSet,
    OperatorConnected,
    OperatorDisconnected,
    OwnerAdded,
    PermissionChanged,
    PermissionGranted,
    PermissionRevoked,
    Role,
)
from chargekey_access.domain.granting import EVERY_ROLE
from chargekey_access.domain.permission import Subject, Target, permission_id
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.errors import ChargekeyError
from chargekey_common.eventstore.store import EventStore
from chargekey_common.local_days import DateInPastError
from chargekey_common.postgres import Postgres

from .conftest import Access
from .given import (
    a_charger,
    a_local_user,
    a_partner,
    a_site,
    accepts,
    by,
    change,
    grant,
    holders,
    joins,
    leaves,
    now,
    opened,
    refused,
    revoke,
)

OLA, KARI, PER = Subject("ola"), Subject("kari"), Subject("per")


@pytest.fixture
def access(place: Path | Postgres) -> Iterator[Access]:
    store = opened(place)
    yield Access(store)
    store.close()


def happened_since(store: EventStore, number: int) -> list[type]:
    return [type(record.event) for _, record, _ in store.read(number, 100)]


def test_who_creates_a_site_owns_it_and_may_charge_there(access: Access) -> None:
    """S3-4, S3-5."""
    end = access.store.end()
    site = a_site(access, "ola")
    assert happened_since(access.store, end)[1:] == [PermissionGranted, OwnerAdded]
    assert holders(access, Target(site)) == {"ola": {"OWNER", "USER"}}
    assert access.directory.holdings.owners(site).owners == {"ola"}


@pytest.mark.parametrize("role", ["OWNER", "USER", "SERVICE"])
def test_an_owner_gives_every_role_on_the_site_and_on_each_charger(
    access: Access, role: Role
) -> None:
    """R5, S3-15, S3-16, S3-21, S3-25, S3-28."""
    site = a_site(access, "ola")
    charger = a_charger(access, site)
    for target in (Target(site), Target(site, charger)):
        grant(access, by("ola"), target, KARI, role, invited=True)
        assert holders(access, target)["kari"] == {role}
    owners = access.directory.holdings.owners(site).owners
    assert owners == ({"ola", "kari"} if role == "OWNER" else {"ola"})


def test_a_charger_owner_gives_user_and_owner_on_that_charger_alone(access: Access) -> None:
    """R5, S3-27."""
    site = a_site(access, "ola")
    charger, other = a_charger(access, site), a_charger(access, site, "CP-2")
    grant(access, by("ola"), Target(site, charger), KARI, "OWNER", invited=True)
    grant(access, by("kari"), Target(site, charger), PER, "OWNER", "USER", invited=True)
    with pytest.raises(RoleNotGrantableError):
        grant(access, by("kari"), Target(site, charger), PER, "SERVICE", invited=True)
    for target in (Target(site), Target(site, other)):
        with pytest.raises(RoleNotGrantableError):
            grant(access, by("kari"), target, PER, "USER", invited=True)
        with_id = "installation:" + site if target.charger_id is None else f"charger:{other}"
        assert refused(access, Caller("user:kari"), "access.GrantPermission", with_id)
    assert not refused(access, Caller("user:kari"), "access.GrantPermission", f"charger:{charger}")


def test_an_operator_gives_user_and_takes_nothing_else(access: Access) -> None:
    """R5, R3."""
    site = a_site(access, "ola")
    operator = a_partner(access, "PAYMENT_OPERATOR", members={"ines": False})
    grant(access, by("ola"), Target(site), KARI, "SERVICE", invited=True)
    grant(access, by("ola"), Target(site), Subject(partner_id=operator), "OPERATOR")
    for caller in ("ines", f"partner:{operator}"):
        grant(access, by(caller), Target(site), PER, "USER", invited=True)
        for roles in ({"SERVICE"}, {"OWNER"}, {"USER", "SERVICE"}):
            with pytest.raises(RoleNotGrantableError):
                grant(access, by(caller), Target(site), PER, *roles, invited=True)  # type: ignore[arg-type] # roles
        # Whose permission has other roles keeps it, from grant, change and revoke alike.
        for touch in (
            lambda who=caller: grant(access, by(who), Target(site), OLA, "USER"),
            lambda who=caller: change(access, by(who), Target(site), KARI, "USER"),
            lambda who=caller: revoke(access, by(who), Target(site), KARI),
            lambda who=caller: change(
                access, by(who), Target(site), KARI, valid_until="2199-01-01"
            ),
        ):
            with pytest.raises(RoleNotGrantableError):
                touch()
        revoke(access, by(caller), Target(site), PER)
    assert holders(access, Target(site)) == {
        "ola": {"OWNER", "USER"},
        "kari": {"SERVICE"},
        operator: {"OPERATOR"},
    }


def test_users_and_service_partners_give_nothing(access: Access) -> None:
    """R5, S3-6, S3-7, S3-43."""
    site = a_site(access, "ola")
    grant(access, by("ola"), Target(site), KARI, "USER", "SERVICE", invited=True)
    with pytest.raises(RoleNotGrantableError):
        grant(access, by("kari"), Target(site), PER, "USER", invited=True)
    for action in ("GrantPermission", "ConnectOperator"):
        assert refused(access, Caller("user:kari"), f"access.{action}", f"installation:{site}")


def test_everybody_but_the_last_owner_may_remove_himself(access: Access) -> None:
    """R6."""
    site = a_site(access, "ola")
    charger = a_charger(access, site)
    partner = a_partner(access, members={"ines": True, "ivar": False})
    grant(access, by("ola"), Target(site), KARI, "USER", "SERVICE", invited=True)
    grant(access, by("ola"), Target(site, charger), KARI, "USER")
    grant(access, by("ola"), Target(site), Subject(partner_id=partner), "SERVICE")
    key = permission_id(Subject(partner_id=partner), Target(site))
    assert refused(access, Caller("user:ivar"), "access.RevokePermission", f"permission:{key}")
    assert not refused(access, Caller("user:ines"), "access.RevokePermission", f"permission:{key}")
    with pytest.raises(RoleNotGrantableError):
        revoke(access, by("ivar"), Target(site), Subject(partner_id=partner))
    revoke(access, by("ines"), Target(site), Subject(partner_id=partner))
    revoke(access, by("kari"), Target(site), KARI)
    with pytest.raises(LastOwnerError):
        revoke(access, by("ola"), Target(site), OLA)
    with pytest.raises(LastOwnerError):
        change(access, by("ola"), Target(site), OLA, "USER")
    with pytest.raises(LastOwnerError):
        grant(access, by("ola"), Target(site), OLA, "USER")
    assert holders(access, Target(site)) == {"ola": {"OWNER", "USER"}}
    assert holders(access, Target(site, charger)) == {"kari": {"USER"}}


def test_owners_follow_every_grant_change_and_revocation(access: Access) -> None:
    """R6."""
    site = a_site(access, "ola")

    def owners() -> set[str]:
        return set(access.directory.holdings.owners(site).owners)

    grant(access, by("ola"), Target(site), KARI, "USER", invited=True)
    accepts(access, "kari")
    change(access, by("ola"), Target(site), KARI, "OWNER")
    assert owners() == {"ola", "kari"}
    change(access, by("kari"), Target(site), OLA, "SERVICE")
    assert owners() == {"kari"}
    grant(access, by("kari"), Target(site), OLA, "OWNER")
    assert owners() == {"ola", "kari"}
    revoke(access, by("ola"), Target(site), KARI)
    assert owners() == {"ola"}


def test_whoever_was_an_owner_grants_no_more(access: Access) -> None:
    site = a_site(access, "ola", "kari")
    revoke(access, by("ola"), Target(site), KARI)
    with pytest.raises(RoleNotGrantableError):
        grant(access, by("kari"), Target(site), PER, "USER", invited=True)


def test_granting_and_changing_to_what_is_there_store_nothing(access: Access) -> None:
    """R4."""
    site = a_site(access, "ola")
    first = grant(access, by("ola"), Target(site), KARI, "USER", invited=True)
    end = access.store.end()
    assert grant(access, by("ola"), Target(site), KARI, "USER", "USER") == first
    change(access, by("ola"), Target(site), KARI, "USER")
    change(access, by("ola"), Target(site), KARI)
    change(access, by("ola"), Target(site), KARI, valid_until="")
    assert access.store.end() == end
    change(access, by("ola"), Target(site), KARI, "USER", "SERVICE", valid_until="2199-01-01")
    assert happened_since(access.store, end) == [PermissionChanged]


def test_an_end_is_changed_and_taken_away_and_an_owner_has_none(access: Access) -> None:
    """R10, R18."""
    site = a_site(access, "ola")
    grant(access, by("ola"), Target(site), KARI, "USER", invited=True, valid_until="2199-01-01")

    def end() -> int | None:
        key = permission_id(KARI, Target(site))
        return access.directory.holdings.permission(key).valid_until

    first = end()
    assert first is not None
    change(access, by("ola"), Target(site), KARI, "SERVICE")
    assert end() == first
    change(access, by("ola"), Target(site), KARI, valid_until="2199-01-02")
    assert end() == first + 86_400 * 10**9
    with pytest.raises(OwnerWithoutEndError):
        change(access, by("ola"), Target(site), KARI, "OWNER")
    change(access, by("ola"), Target(site), KARI, "OWNER", valid_until="")
    assert end() is None
    with pytest.raises(OwnerWithoutEndError):
        change(access, by("ola"), Target(site), KARI, valid_until="2199-01-01")
    with pytest.raises(DateInPastError):
        grant(access, by("ola"), Target(site), PER, "USER", invited=True, valid_until="2001-01-01")


def test_what_has_ended_counts_nowhere_and_is_still_listed(access: Access) -> None:
    """R10."""
    site = a_site(access, "ola")
    charger = a_charger(access, site)
    grant(access, by("ola"), Target(site), KARI, "SERVICE", invited=True, valid_until="2199-01-01")
    grant(access, by("ola"), Target(site, charger), KARI, "USER")
    holdings = access.directory.holdings
    [(_, held)] = [each for each in holdings.on(Target(site)) if each[1].subject == KARI]
    assert held.valid_until is not None
    on_charger = Target(site, charger)
    before, after = held.valid_until - 1, held.valid_until
    assert holdings.roles(KARI, on_charger, now=before) == {"SERVICE", "USER"}
    assert holdings.roles(KARI, on_charger, now=after) == {"USER"}
    assert holdings.roles(KARI, Target(site), now=after) == set()
    assert "kari" in holders(access, Target(site))


def test_permissions_are_given_to_whom_access_knows_or_identity_found(access: Access) -> None:
    """S3-15, S3-19, S3-26."""
    site = a_site(access, "ola")
    a_partner(access, members={"ines": False})
    with pytest.raises(UserUnknownError):
        grant(access, by("ola"), Target(site), KARI, "USER")
    grant(access, by("ola"), Target(site), Subject("ines"), "USER")
    grant(access, by("ola"), Target(site), KARI, "USER", invited=True)
    revoke(access, by("ola"), Target(site), KARI)
    grant(access, by("ola"), Target(site), KARI, "USER")
    with pytest.raises(PartnerUnknownError):
        grant(access, by("ola"), Target(site), Subject(partner_id="nobody"), "SERVICE")


def test_only_what_was_given_to_an_address_says_so(access: Access) -> None:
    """R7: an invitation follows from it."""
    site = a_site(access, "ola")
    grant(access, by("ola"), Target(site), KARI, "USER", invited=True)
    revoke(access, by("ola"), Target(site), KARI)
    grant(access, by("ola"), Target(site), KARI, "USER")
    told = [
        record.event.invited
        for _, record, _ in access.store.read(0, 100)
        if isinstance(record.event, PermissionGranted) and record.event.user_id == "kari"
    ]
    assert told == [True, False]


def test_a_forgotten_user_is_given_nothing(access: Access) -> None:
    """R20."""
    site = a_site(access, "ola")
    grant(access, by("ola"), Target(site), KARI, "USER", invited=True)
    access.forgetting.forget_user(by("service:identity"), user_id="kari")
    assert holders(access, Target(site)) == {"ola": {"OWNER", "USER"}}
    for invited in (True, False):
        with pytest.raises(UserUnknownError):
            grant(access, by("ola"), Target(site), KARI, "USER", invited=invited)


def test_a_local_user_holds_what_he_holds_at_home(access: Access) -> None:
    """R6."""
    site, elsewhere = a_site(access, "ola"), a_site(access, "ola")
    a_local_user(access, site, "lise")
    charger = a_charger(access, site)
    grant(access, by("ola"), Target(site, charger), Subject("lise"), "USER", "SERVICE")
    with pytest.raises(LocalUserElsewhereError):
        grant(access, by("ola"), Target(elsewhere), Subject("lise"), "USER")
    for target in (Target(site), Target(site, charger)):
        with pytest.raises(LocalUserCannotOwnError):
            grant(access, by("ola"), target, Subject("lise"), "OWNER")
        with pytest.raises(LocalUserCannotOwnError):
            change(access, by("ola"), target, Subject("lise"), "USER", "OWNER")


def test_a_partners_permission_is_every_members_for_as_long_as_he_is_one(access: Access) -> None:
    """R8, S3-7, S3-42, S3-48."""
    site = a_site(access, "ola")
    partner = a_partner(access, members={"ines": False})
    grant(access, by("ola"), Target(site), Subject(partner_id=partner), "SERVICE", "USER")
    with pytest.raises(PartnerCannotOwnError):
        grant(access, by("ola"), Target(site), Subject(partner_id=partner), "OWNER")

    def may(user_id: str) -> bool:
        caller = Caller(f"user:{user_id}")
        return not refused(access, caller, "access.SetPolicies", f"installation:{site}")

    assert (may("ines"), may("ivar")) == (True, False)
    joins(access, partner, "ivar")
    leaves(access, partner, "ines")
    assert (may("ines"), may("ivar")) == (False, True)


def test_giving_operator_connects_and_taking_it_disconnects_in_one_save(access: Access) -> None:
    """R3, R9, S3-42."""
    site = a_site(access, "ola")
    operator = Subject(partner_id=a_partner(access, "PAYMENT_OPERATOR"))
    access.installations.set_authorisation_required(now(), installation_id=site, required=False)
    end = access.store.end()
    grant(access, by("ola"), Target(site), operator, "OPERATOR")
    assert sorted(each.__name__ for each in happened_since(access.store, end)) == [
        OperatorConnected.__name__,
        PermissionGranted.__name__,
    ]
    state = access.directory.sites.installation(site)
    assert (state.managed_by, state.authentication_type) == (operator.partner_id, "NATIVE")
    access.installations.set_authentication_type(
        now(), installation_id=site, authentication_type="EXTERNAL"
    )

    end = access.store.end()
    revoke(access, by("ola"), Target(site), operator)
    assert set(happened_since(access.store, end)) == {
        PermissionRevoked,
        OperatorDisconnected,
        AuthenticationTypeSet,
        AuthorisationRequiredSet,
    }
    state = access.directory.sites.installation(site)
    assert (state.managed_by, state.authentication_type) == (None, "NATIVE")
    assert state.authorisation_required


def test_the_role_operator_comes_and_goes_by_change_as_well(access: Access) -> None:
    """R3, R9."""
    site = a_site(access, "ola")
    operator = Subject(partner_id=a_partner(access, "PAYMENT_OPERATOR"))
    grant(access, by("ola"), Target(site), operator, "SERVICE")
    change(access, by("ola"), Target(site), operator, "SERVICE", "OPERATOR")
    assert access.directory.sites.installation(site).managed_by == operator.partner_id
    change(access, by("ola"), Target(site), operator, "SERVICE")
    assert access.directory.sites.installation(site).managed_by is None
    assert holders(access, Target(site))[str(operator.partner_id)] == {"SERVICE"}


def test_one_operator_at_a_time_and_no_other_partner_manages(access: Access) -> None:
    """R3."""
    site = a_site(access, "ola")
    first = Subject(partner_id=a_partner(access, "PAYMENT_OPERATOR"))
    second = Subject(partner_id=a_partner(access, "PAYMENT_OPERATOR", key="K7Q3"))
    service = Subject(partner_id=a_partner(access, key="K7Q4"))
    with pytest.raises(NotAPaymentOperatorError):
        grant(access, by("ola"), Target(site), service, "OPERATOR")
    with pytest.raises(NotAPaymentOperatorError):
        grant(access, by("ola"), Target(site), KARI, "OPERATOR", invited=True)
    grant(access, by("ola"), Target(site), first, "OPERATOR")
    with pytest.raises(OperatorConnectedAlreadyError):
        grant(access, by("ola"), Target(site), second, "OPERATOR")
    assert set(holders(access, Target(site))) == {"ola", first.partner_id}


def test_at_a_managed_site_owners_edit_nothing_and_still_end_it(access: Access) -> None:
    """R3, S3-8, S3-29: by disconnecting, or by revoking the operator's permission (R9)."""
    site = a_site(access, "ola")
    grant(access, by("ola"), Target(site), KARI, "USER", invited=True)
    operator = Subject(partner_id=a_partner(access, "PAYMENT_OPERATOR"))
    grant(access, by("ola"), Target(site), operator, "OPERATOR")
    managing, karis = (
        f"permission:{permission_id(each, Target(site))}" for each in (operator, KARI)
    )
    for caller in (Caller("user:ola"), ADMINISTRATOR):
        answers = {
            (action, obj): refused(access, caller, f"access.{action}", obj)
            for action in ("RevokePermission", "ChangePermission")
            for obj in (managing, karis)
        }
        assert answers == {
            ("RevokePermission", managing): None,
            ("RevokePermission", karis): "managed_by_third_party",
            ("ChangePermission", managing): "managed_by_third_party",
            ("ChangePermission", karis): "managed_by_third_party",
        }
    assert refused(access, Caller("user:kari"), "access.RevokePermission", managing) == (
        "permission_denied"
    )
    assert not refused(access, Caller("user:kari"), "access.RevokePermission", karis)


def test_pages_are_told_which_roles_somebody_may_give(access: Access) -> None:
    """R3, R5: what giving them would be refused is not offered."""
    site = a_site(access, "ola")
    charger = a_charger(access, site)
    grant(access, by("ola"), Target(site, charger), KARI, "OWNER", invited=True)
    grant(access, by("ola"), Target(site), PER, "SERVICE", invited=True)
    here, there = f"installation:{site}", f"charger:{charger}"

    def grantable(user: str, obj: str) -> AbstractSet[Role]:
        return access.check.grantable(Caller(f"user:{user}"), obj)

    assert grantable("ola", here) == grantable("ola", there) == EVERY_ROLE
    assert (grantable("kari", here), grantable("kari", there)) == (set(), {"OWNER", "USER"})
    assert grantable("per", here) == grantable("per", there) == set()
    assert grantable("ola", "system") == grantable("ola", "installation:none") == set()
    for nothing in ("system", "installation:none", "installation:", "charger:none", "charger:"):
        assert access.check.grantable(ADMINISTRATOR, nothing) == set()
    assert access.check.grantable(ADMINISTRATOR, here) == EVERY_ROLE
    operator = a_partner(access, "PAYMENT_OPERATOR", members={"ines": False})
    grant(access, by("ola"), Target(site), Subject(partner_id=operator), "OPERATOR")
    assert grantable("ola", here) == grantable("kari", there) == set()
    assert grantable("ines", here) == grantable("ines", there) == {"USER"}


@pytest.mark.parametrize("act", [revoke, change])
def test_what_was_revoked_is_unknown_to_every_command(
    access: Access, act: Callable[..., None]
) -> None:
    site = a_site(access, "ola")
    grant(access, by("ola"), Target(site), KARI, "USER", invited=True)
    revoke(access, by("ola"), Target(site), KARI)
    for subject in (KARI, PER):
        with pytest.raises(PermissionUnknownError):
            act(access, by("ola"), Target(site), subject)


def test_nothing_is_stored_of_what_is_refused(access: Access) -> None:
    site = a_site(access, "ola")
    end = access.store.end()
    for roles in (["OPERATOR"], ["OWNER"], []):
        with pytest.raises(ChargekeyError):
            grant(access, by("kari"), Target(site), PER, *roles, invited=True)
    assert access.store.end() == end


def test_a_charger_permission_is_for_that_charger_alone(access: Access) -> None:
    """R4, S3-25, S3-27."""
    site = a_site(access, "ola")
    charger, other = a_charger(access, site), a_charger(access, site, "CP-2")
    grant(access, by("ola"), Target(site, charger), KARI, "USER", invited=True)
    holdings, at = access.directory.holdings, time.time_ns()
    assert holdings.roles(KARI, Target(site, charger), now=at) == {"USER"}
    assert holdings.roles(KARI, Target(site, other), now=at) == set()
    assert holdings.roles(KARI, Target(site), now=at) == set()
