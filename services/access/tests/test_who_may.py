"""Who may do what: every method, every kind of caller, what is his, another's, and nobody's.

Held against a table written by hand (`who_may.txt`), on a store with real permissions.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from chargekey.access.v1 import (
    access_requests_pb2,
    chargers_pb2,
    check_pb2,
    decision_endpoints_pb2,
    installations_pb2,
    owners_pb2,
    partners_pb2,
    permissions_pb2,
)
from chargekey.audit.v1 import audit_pb2, standing_pb2
from chargekey.gateway.v1 import commands_pb2, convergence_pb2, gateway_pb2, operators_pb2
from chargekey.gateway.v1 import decisions_pb2 as gateway_decisions_pb2
from chargekey.history.v1 import decisions_pb2 as history_decisions_pb2
from chargekey.history.v1 import history_pb2, reports_pb2
from chargekey.identity.v1 import (
    codes_pb2,
    credentials_pb2,
    identifications_pb2,
    invitations_pb2,
    people_pb2,
    privacy_pb2,
    scans_pb2,
    sign_in_pb2,
    users_pb2,
)
from chargekey.notifier.v1 import feeds_pb2, mails_pb2, ocpi_pb2, webhooks_pb2
from chargekey_access.application import holding
from chargekey_access.domain.permission import Subject, Target, permission_id
from chargekey_common.accounts import ADMINISTRATOR, NOBODY, Caller

from .conftest import Access
from .given import a_charger, a_local_user, a_partner, a_site, by, grant, now, opened
from .who_may import TABLE

CONTRACTS = (
    access_requests_pb2,
    chargers_pb2,
    check_pb2,
    decision_endpoints_pb2,
    installations_pb2,
    owners_pb2,
    partners_pb2,
    permissions_pb2,
    audit_pb2,
    standing_pb2,
    commands_pb2,
    convergence_pb2,
    gateway_decisions_pb2,
    gateway_pb2,
    operators_pb2,
    history_decisions_pb2,
    history_pb2,
    reports_pb2,
    codes_pb2,
    credentials_pb2,
    identifications_pb2,
    invitations_pb2,
    people_pb2,
    privacy_pb2,
    scans_pb2,
    sign_in_pb2,
    users_pb2,
    feeds_pb2,
    mails_pb2,
    ocpi_pb2,
    webhooks_pb2,
)
SERVICES = ("access", "identity", "gateway", "history", "notifier", "portal")
KINDS = {"installation", "charger", "permission", "partner", "access_request", "user", "system"}
# What there is none of, by the kind a method may be asked about.
NOTHING = {
    **{kind: f"{kind}:none" for kind in KINDS - {"system"}},
    "member": "partner:none/user:none",
    "user_at": "user:none/installation:none",
}

Words = Mapping[str, Collection[str]]


class Object(msgspec.Struct, frozen=True):
    """Something to be asked about: the words that callers have towards it, nobody else any."""

    kind: str
    name: str
    words: Words = {}
    managed: bool = False
    managing: bool = False


def test_the_table_has_every_method_of_every_service_and_no_other() -> None:
    methods = {
        f"{contract.DESCRIPTOR.package.split('.')[1]}.{method.name}"
        for contract in CONTRACTS
        for service in contract.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert TABLE.keys() == methods


def test_the_page_about_it_for_people_is_what_the_rules_say() -> None:
    script = Path(__file__).parents[3] / "scripts" / "generate_who_may.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def both(*words: Words) -> Words:
    """Return what several mappings say together."""
    joined: defaultdict[str, set[str]] = defaultdict(set)
    for each in words:
        for caller, his in each.items():
            joined[caller] |= set(his)
    return joined


def own(*callers: str) -> Words:
    return {caller: ["SELF"] for caller in callers}


class World:
    """Two sites of two people, the one managed or not, and everybody with some role there.

    Partners hold roles for their programs and their members. Beside them: people with a
    role on one charger alone, a role that has ended, an owner who is blocked, one who was
    forgotten; and the namesakes of the others among partners and users.
    """

    def __init__(self, access: Access, *, managed: bool) -> None:
        self.access = access
        home = self.home = a_site(access, "ola")
        away = a_site(access, "eve")
        one, two = (a_charger(access, home, name) for name in ("CP-1", "CP-2"))
        far = a_charger(access, away, "CP-3")
        self.keys: dict[str, str] = {}
        self.role_holders: defaultdict[str, set[str]] = defaultdict(set)
        self.role_holders["user:ola"] = {"OWNER", "USER"}
        for user_id, role in (("oda", "OWNER"), ("una", "USER"), ("sven", "SERVICE")):
            self.gives(Target(home), Subject(user_id), role)
            self.role_holders[f"user:{user_id}"] = {role}
        for name, role in (("wash", "USER"), ("fix", "SERVICE")):
            key = self.partner(name)
            self.gives(Target(home), Subject(partner_id=key), role)
            for caller in (f"partner:{key}", f"user:{name}-member", f"user:{name}-manager"):
                self.role_holders[caller] = {role}
        volt = self.partner("volt", "PAYMENT_OPERATOR")
        charger_holders: Words = {"user:cole": ["OWNER"], "user:cuno": ["USER"]}
        self.gives(Target(home, one), Subject("cole"), "OWNER")
        self.gives(Target(home, one), Subject("cuno"), "USER")
        for blocked, where in (("bob", Target(home)), ("gil", Target(home, one))):
            self.gives(where, Subject(blocked), "OWNER")
            self.access.owners.block_user_at_installation(
                now(), installation_id=home, user_id=blocked
            )
        self.gives(Target(home), Subject("fog"), "SERVICE")
        self.access.forgetting.forget_user(now(), user_id="fog")
        self.ended(Target(home), Subject("ed"))
        a_local_user(access, home, "lou")
        self.role_holders["user:lou"] = {"USER"}
        self.access.owners.offer_ownership(
            by("ola"), installation_id=home, user_id="una", invited=True
        )
        una, cuno, fix_at_home, una_away = (
            permission_id(subject, target)
            for subject, target in (
                (Subject("una"), Target(home)),
                (Subject("cuno"), Target(home, one)),
                (Subject(partner_id=self.keys["fix"]), Target(home)),
                (Subject("una"), Target(away)),
            )
        )
        asked, asked_for_fix, asked_anywhere = (
            self.asks(subject, where)
            for subject, where in (
                (Subject("req"), home),
                (Subject(partner_id=self.keys["fix"]), home),
                (Subject("req"), None),
            )
        )
        roles = self.role_holders
        if managed:
            self.access.installations.connect_operator(
                now(),
                installation_id=home,
                partner_id=volt,
                authentication_type="NATIVE",
                overrides_allowed=True,
            )
            for caller in (f"partner:{volt}", "user:volt-member", "user:volt-manager"):
                roles[caller] = {"OPERATOR"}
        fix = self.keys["fix"]
        hosts = {caller: {"HOST"} for caller, his in roles.items() if his & {"OWNER", "OPERATOR"}}
        parted = {caller: ["PARTED"] for caller in [*hosts, "user:req"]}
        of_fix: Words = {
            f"partner:{fix}": ["MEMBER"],
            "user:fix-member": ["MEMBER"],
            "user:fix-manager": ["MEMBER", "MANAGER"],
        }
        away_roles: Words = {"user:eve": ["OWNER", "USER"]}
        fix_itself = own(f"partner:{fix}", "user:fix-manager")

        def here(kind: str, name: str, *words: Words, managing: bool = False) -> Object:
            return Object(kind, name, both(*words), managed=managed, managing=managing)

        offered: Words = {"user:una": ["OFFEREE"]}
        guests: Words = {caller: ["GUEST"] for caller in charger_holders}
        self.objects = [
            here("installation", f"installation:{home}", roles, guests, offered),
            Object("installation", f"installation:{away}", away_roles),
            here("charger", f"charger:{one}", roles, charger_holders),
            here("charger", f"charger:{two}", roles),
            Object("charger", f"charger:{far}", away_roles),
            here("permission", f"permission:{una}", roles, own("user:una")),
            here("permission", f"permission:{cuno}", roles, charger_holders, own("user:cuno")),
            here("permission", f"permission:{fix_at_home}", roles, fix_itself),
            Object("permission", f"permission:{una_away}"),  # was never given
            here("access_request", f"access_request:{asked}", roles, own("user:req")),
            here("access_request", f"access_request:{asked_for_fix}", roles, fix_itself),
            Object("access_request", f"access_request:{asked_anywhere}", own("user:req")),
            Object("partner", f"partner:{fix}", of_fix),
            Object("partner", f"partner:{volt}", self.members("volt")),
            Object(
                "member", f"partner:{fix}/user:fix-member", both(of_fix, own("user:fix-member"))
            ),
            Object("member", f"partner:{fix}/user:una", of_fix),
            here("user", "user:lou", roles, own("user:lou")),
            Object("user", "user:una", both(hosts, own("user:una"))),
            Object("user", "user:eve", {"user:eve": ["SELF", "HOST"]}),
            # Somebody nobody gave anything to is nobody's guest.
            Object("user", "user:req", own("user:req")),
            here("user_at", f"user:una/installation:{home}", roles, own("user:una")),
            here("user_at", f"user:cuno/installation:{home}", roles, own("user:cuno")),
            here("user_at", f"user:fix-member/installation:{home}", roles, own("user:fix-member")),
            # Blocked there he can do nothing about himself but tidy up; others about him as ever.
            here("user_at", f"user:bob/installation:{home}", roles, {"user:bob": ["PARTED"]}),
            # Those who hold nothing there (any more).
            Object(
                "user_at",
                f"user:una/installation:{away}",
                {"user:eve": ["PARTED"], "user:una": ["PARTED"]},
            ),
            here("user_at", f"user:req/installation:{home}", parted),
            Object("system", "system"),
            *(Object(kind, name) for kind, name in NOTHING.items()),
        ]
        if managed:
            managing = permission_id(Subject(partner_id=volt), Target(home))
            volt_itself = own(f"partner:{volt}", "user:volt-manager")
            self.objects.append(
                here("permission", f"permission:{managing}", roles, volt_itself, managing=True)
            )
        self.callers = [
            ADMINISTRATOR,
            *("administrator:una", "administrator:fog"),
            *(f"service:{name}" for name in (*SERVICES, "stranger")),
            NOBODY,
            "stranger:una",
            *roles,
            *charger_holders,
            *("user:eve", "user:bob", "user:gil", "user:fog", "user:ed", "user:lou", "user:req"),
            *("user:nemo", f"user:{fix}", "partner:una", "partner:none"),
            *self.members("volt"),
        ]

    def gives(self, target: Target, subject: Subject, role: str) -> None:
        grant(self.access, now(), target, subject, role, invited=True)  # type: ignore[arg-type] # a role

    def ended(self, target: Target, subject: Subject) -> None:
        """Let somebody have held SERVICE until the first nanosecond of the epoch."""
        self.access.store.execute(
            "given",
            str,
            now(),
            lambda work: holding.give(
                work,
                target=target,
                subject=subject,
                kind="PERSON",
                roles=["SERVICE"],
                valid_until=1,
            ),
        )

    def partner(self, name: str, kind: str = "SERVICE_PARTNER") -> str:
        members = {f"{name}-member": False, f"{name}-manager": True}
        self.keys[name] = a_partner(self.access, kind, key=name, members=members)  # type: ignore[arg-type] # a kind
        return self.keys[name]

    def members(self, name: str) -> Words:
        return {
            f"partner:{self.keys[name]}": ["MEMBER"],
            f"user:{name}-member": ["MEMBER"],
            f"user:{name}-manager": ["MEMBER", "MANAGER"],
        }

    def asks(self, subject: Subject, installation_id: str | None) -> str:
        return self.access.access_requests.request_access(
            now(), subject=subject, installation_id=installation_id, roles=["USER"]
        ).result

    def questions(self) -> Iterator[tuple[str, str, Object, str | None]]:
        """Yield caller, method, object and what the table says of it."""
        for method, row in TABLE.items():
            for obj in self.objects:
                if obj.kind not in row.about:
                    continue
                for caller in dict.fromkeys(self.callers):
                    kind, _, _ = caller.partition(":")
                    expected = row.says(
                        caller,
                        () if caller == "user:fog" else obj.words.get(caller, ()),
                        known=kind in {"user", "partner"} and caller != "user:fog",
                        system=obj.kind == "system",
                        managed=obj.managed,
                        managing=obj.managing,
                    )
                    nobody = kind in {"anonymous", "stranger"} or caller == "administrator:fog"
                    if nobody and "anyone" not in row.people:
                        expected = "permission_denied"
                    yield caller, method, obj, expected


@pytest.mark.parametrize("managed", [False, True], ids=["unmanaged", "managed"])
def test_everybody_may_exactly_what_the_table_says(tmp_path: Path, *, managed: bool) -> None:
    """R3, R5, R8, R12, S3-5..S3-9, S3-29, S3-43: own, another's and no object at all."""
    store = opened(tmp_path / "access.db")
    world = World(Access(store), managed=managed)
    wrong = []
    asked = 0
    for caller, method, obj, expected in world.questions():
        refusal = world.access.check.refusal(Caller(caller), method, obj.name)
        told = None if refusal is None else refusal.code
        allowed = world.access.check.allowed(Caller(caller), [method], obj.name)
        assert allowed == ([] if refusal else [method])
        asked += 1
        if told != expected:
            wrong.append(f"{caller} {method} {obj.kind} {obj.name}: {told}, not {expected}")
        if told == "managed_by_third_party":
            assert "help@volt.example" in str(refusal)
    assert wrong == []
    assert asked > 5_000
    store.close()


def test_who_is_blocked_forgotten_or_whose_role_has_ended_is_in_the_table_as_nobody(
    tmp_path: Path,
) -> None:
    """R10, R12, R20: they are asked about with no words, and yet would have had some."""
    store = opened(tmp_path / "access.db")
    world = World(Access(store), managed=False)
    home = f"installation:{world.home}"
    for caller in ("user:bob", "user:ed", "user:fog", "administrator:fog"):
        assert caller in world.callers
        assert world.access.check.refusal(Caller(caller), "access.ListChargers", home) is not None
    system = world.access.check.refusal(Caller("user:fog"), "access.ListInstallations", "system")
    assert system is not None
    assert world.access.check.refusal(Caller("user:bob"), "access.SearchPartner", "system") is None
    store.close()
