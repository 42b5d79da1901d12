"""The decision held against an independent model: loops over the log of what happened."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from nats.aio.client import Client

from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.keyed_ids import KeyedIds, classify
from chargekey_common.published import access, identity
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.published.sessions import OperatorAnswer
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.decision import AskOperator, Decision, accept_at_once, decide, decided
from chargekey_gateway.inputs import gather
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.unknown_codes import UnknownCode
from chargekey_gateway.view.view import View

SECRET = b"a secret of 24 bytes, so"
KEYED_IDS = KeyedIds(SECRET)

SITES = {"near": "north", "far": "north", "other": "south"}  # charger: installation at first
USERS = ("ada", "bob")
PARTNERS = ("fleet",)
# identification: user, type, site it works at alone, and the codes it can have
IDENTIFICATIONS = {
    "ada-pin": ("ada", "PIN", "north", ("#1111", "#2222")),
    "ada-card": ("ada", "RFID", None, ("04A1B2C3", "04A1B2C3D4E5F6")),
    "ada-app": ("ada", "APP", None, ("APP:ABCDEFGHIJKLMNOP",)),
    "bob-card": ("bob", "RFID", None, ("BOBS-OLD-CARD", "0BADCAFE", "04A1B2C3FFEEDD")),
    "bob-site-card": ("bob", "CREDIT_CARD", "north", ("0BADCAFE112233", "04FFEEDDCCBBAA998877")),
    "bob-car": ("bob", "VEHICLE_ID", None, ("NLTNM01234567X",)),
}
TYPES = ("PIN", "RFID", "APP", "VEHICLE_ID", "CREDIT_CARD")
NOTHING = ""  # nothing is presented
# What can be nobody's code: a PIN has 4 to 8 digits, and no token what cannot be printed.
IMPOSSIBLE = [
    "#",
    "#123",
    "#123456789",
    "#12a4",
    "# 1234",
    "#١٢٣٤",
    "CARD\n",
    "\x07",
    "x" * 256,
]
# What may be, as far as anybody can tell: cards that are no card of ours, or of no known kind.
NOBODYS = ["#87654321", "0102030405", "08A1B2C3", "NO-TAP-0001", "x" * 255, " "]
STRANGE = [NOTHING, *IMPOSSIBLE, *NOBODYS]
CODES = ["#9999", *(code for *_, codes in IDENTIFICATIONS.values() for code in codes)]
ENDS = (None, 1_000, 2_000)
# Minutes for which the view was not known to be complete, and what sites allow.
STALE = (0.0, 0.0, 0.0, 0.0, 1.0, 1.1, 60.0, 60.1, 1_440.0, 1_440.1, 100_000.0)
BOUNDS = (1, 60)
TIMES = (0, 999, 1_000, 1_001, 1_999, 2_000, 2_001)
ANSWERS = [
    *(
        OperatorAnswer(status="ALLOWED", valid_until=end, last_known=last_known)
        for end in ENDS
        for last_known in (False, True)
    ),
    OperatorAnswer(status="BLOCKED"),
    OperatorAnswer(status="EXPIRED"),
    OperatorAnswer(status="NO_CREDIT", valid_until=2_000),
    OperatorAnswer(status="NOT_ALLOWED", last_known=True),
    OperatorAnswer(status="UNREACHABLE"),
]


def key(name: str, code: str) -> identity.IdentificationKey:
    code_class, canonical = classify(code)
    alias = KEYED_IDS.alias_of(code_class, canonical)
    return identity.IdentificationKey(
        identification_id=name,
        keyed_id=KEYED_IDS.of(code_class, canonical, "north").hex(),  # PINs are made for the north
        alias="" if alias is None else alias.hex(),
    )


def added(
    name: str, status: identity.IdentificationStatus, end: int | None
) -> identity.IdentificationAdded:
    user_id, type_, site, _ = IDENTIFICATIONS[name]
    return identity.IdentificationAdded(
        identification_id=name,
        user_id=user_id,
        type=type_,  # type: ignore[arg-type]  # a plain string of the table above
        status=status,
        installation_id=site,
        valid_until=end,
    )


def granted(
    holder: str,
    charger_id: str | None,
    installation_id: str,
    roles: tuple[access.Role, ...] = ("USER",),
    end: int | None = None,
    made: type[access.PermissionGranted | access.PermissionChanged] = access.PermissionGranted,
) -> PublishedEvent:
    return made(
        installation_id=installation_id,
        permission_id=f"{holder}-{charger_id or installation_id}",
        user_id=holder if holder in USERS else None,
        partner_id=holder if holder in PARTNERS else None,
        charger_id=charger_id,
        roles=roles,
        valid_until=end,
    )


def revoked(holder: str, charger_id: str | None, installation_id: str) -> PublishedEvent:
    return access.PermissionRevoked(
        installation_id=installation_id,
        permission_id=f"{holder}-{charger_id or installation_id}",
        user_id=holder if holder in USERS else None,
        partner_id=holder if holder in PARTNERS else None,
        charger_id=charger_id,
    )


def policies(installation_id: str, bound: int, goes_on: bool) -> access.PoliciesSet:
    return access.PoliciesSet(
        installation_id=installation_id,
        on_block="STOP",
        on_revoke="FINISH",
        on_operator_timeout="DENY",
        view_bound_minutes=bound,
        on_view_behind="LAST_KNOWN" if goes_on else "DENY",
        pin_length=4,
    )


def about_people() -> st.SearchStrategy[PublishedEvent]:
    users = st.sampled_from(USERS)
    names = st.sampled_from(sorted(IDENTIFICATIONS))
    keys = st.sampled_from(
        [key(name, code) for name, (*_, codes) in IDENTIFICATIONS.items() for code in codes]
    )
    statuses: st.SearchStrategy[identity.IdentificationStatus] = st.sampled_from(
        ("ACTIVE", "ACTIVE", "INACTIVE", "BLOCKED")
    )
    ends = st.sampled_from(ENDS)
    scopes = st.sampled_from((None, "north"))
    additions = st.builds(added, names, statuses, ends)

    def about(name: str) -> dict[str, str]:
        return {"identification_id": name, "user_id": IDENTIFICATIONS[name][0]}

    return st.one_of(
        keys,
        keys,
        additions,
        additions,
        st.builds(
            lambda name, status: identity.IdentificationStatusChanged(**about(name), status=status),
            names,
            statuses,
        ),
        st.builds(
            lambda name, end: identity.IdentificationExpiryChanged(**about(name), valid_until=end),
            names,
            ends,
        ),
        st.builds(lambda name: identity.IdentificationRemoved(**about(name)), names),
        st.builds(lambda u, s: identity.UserBlocked(user_id=u, installation_id=s), users, scopes),
        st.builds(lambda u, s: identity.UserUnblocked(user_id=u, installation_id=s), users, scopes),
        st.builds(lambda u: identity.PendingUserAdded(user_id=u), users),
        st.builds(lambda u: identity.EmailVerified(user_id=u), users),
    )


def about_permissions() -> st.SearchStrategy[PublishedEvent]:
    installations = st.sampled_from(("north", "south"))
    users = st.sampled_from(USERS)
    partners = st.sampled_from(PARTNERS)
    holders = st.sampled_from((*USERS, *PARTNERS))
    targets = st.sampled_from((None, *sorted(SITES)))
    roles: st.SearchStrategy[tuple[access.Role, ...]] = st.sampled_from(
        (("USER",), ("OWNER", "USER"), ("OWNER",), ("SERVICE",))
    )
    made = st.sampled_from((access.PermissionGranted, access.PermissionChanged))
    grants = st.builds(granted, holders, targets, installations, roles, st.sampled_from(ENDS), made)
    return st.one_of(
        grants,
        grants,
        st.builds(revoked, holders, targets, installations),
        st.builds(lambda p, u: access.PartnerMemberAdded(partner_id=p, user_id=u), partners, users),
        st.builds(
            lambda p, u: access.PartnerMemberRemoved(partner_id=p, user_id=u), partners, users
        ),
        st.builds(
            lambda i, u: access.UserBlockedAtInstallation(installation_id=i, user_id=u),
            installations,
            users,
        ),
        st.builds(
            lambda i, u: access.UserUnblockedAtInstallation(installation_id=i, user_id=u),
            installations,
            users,
        ),
        st.builds(lambda u: access.UserForgotten(user_id=u), users),
    )


def about_sites() -> st.SearchStrategy[PublishedEvent]:
    installations = st.sampled_from(("north", "south"))
    chargers = st.sampled_from(sorted(SITES))
    authentication: st.SearchStrategy[access.AuthenticationType] = st.sampled_from(
        ("NATIVE", "NATIVE", "EXTERNAL")
    )
    overrides: st.SearchStrategy[access.Override] = st.sampled_from(
        ("INHERIT", "INHERIT", "REQUIRED", "NOT_REQUIRED")
    )
    types: st.SearchStrategy[tuple[access.IdentificationType, ...]] = st.sampled_from(
        ((), ("PIN",), ("RFID", "APP"), TYPES, TYPES, TYPES)  # type: ignore[arg-type] # plain strings
    )

    def at(charger_id: str) -> dict[str, str]:
        return {"charger_id": charger_id, "installation_id": SITES[charger_id]}

    moves = st.builds(
        lambda c, i: access.ChargerMoved(
            charger_id=c, installation_id=i, from_installation_id="north"
        ),
        chargers,
        installations,
    )
    return st.one_of(
        st.builds(
            lambda i, required: access.AuthorisationRequiredSet(
                installation_id=i, authorisation_required=required
            ),
            installations,
            st.sampled_from((True, True, True, False)),
        ),
        st.builds(
            lambda i, type_: access.AuthenticationTypeSet(
                installation_id=i, authentication_type=type_
            ),
            installations,
            authentication,
        ),
        st.builds(
            lambda i, allowed: access.OperatorConnected(
                installation_id=i, partner_id="fleet", overrides_allowed=allowed
            ),
            installations,
            st.booleans(),
        ),
        st.builds(
            lambda i, allowed: access.OverridesAllowedSet(
                installation_id=i, overrides_allowed=allowed
            ),
            installations,
            st.booleans(),
        ),
        st.builds(
            lambda i: access.OperatorDisconnected(installation_id=i, partner_id="fleet"),
            installations,
        ),
        st.builds(policies, installations, st.sampled_from(BOUNDS), st.booleans()),
        st.builds(
            lambda c, override: access.AuthorisationOverrideSet(
                **at(c), authorisation_override=override
            ),
            chargers,
            overrides,
        ),
        st.builds(
            lambda c, enabled: access.IdentificationTypesSet(**at(c), identification_types=enabled),
            chargers,
            types,
        ),
        st.builds(
            lambda c, back, cut, prefix: access.ReaderQuirksSet(
                **at(c), reversed=back, truncated=cut, prefix=prefix
            ),
            chargers,
            st.booleans(),
            st.booleans(),
            st.sampled_from(("", "", "MF ", "a0")),
        ),
        moves,
        moves,
        moves,
    )


BEGINNING: list[PublishedEvent] = [
    access.InstallationCreated(
        installation_id="north", name="", time_zone="UTC", authorisation_required=True
    ),
    access.InstallationCreated(
        installation_id="south", name="", time_zone="UTC", authorisation_required=True
    ),
    *(
        access.ChargerAdded(
            charger_id=charger_id,
            installation_id=installation_id,
            ocpp_identity=charger_id.upper(),
            authorisation_override="INHERIT",
            identification_types=TYPES,  # type: ignore[arg-type]  # plain strings
        )
        for charger_id, installation_id in SITES.items()
    ),
]


@st.composite
def working(draw: st.DrawFn) -> list[PublishedEvent]:
    """Draw a system in which most taps would be accepted, for the rest to spoil."""
    log = list(BEGINNING)
    ends = st.sampled_from(ENDS)
    for name, (*_, codes) in IDENTIFICATIONS.items():
        log += [key(name, draw(st.sampled_from(codes))), added(name, "ACTIVE", draw(ends))]
    for holder in draw(st.sampled_from(((*USERS, *PARTNERS), USERS, PARTNERS))):
        log.extend(
            granted(holder, charger_id, "north", end=draw(ends))
            for charger_id in draw(st.sets(st.sampled_from((None, "near", "far"))))
        )
    log.extend(
        access.PartnerMemberAdded(partner_id="fleet", user_id=user_id)
        for user_id in draw(st.sets(st.sampled_from(USERS)))
    )
    return log


def possible(events: Sequence[PublishedEvent]) -> list[PublishedEvent]:
    """Drop what identity would not publish: changes of what is not there, a second life."""
    kept: list[PublishedEvent] = []
    added: set[str] = set()
    gone: set[str] = set()
    for event in events:
        name = getattr(event, "identification_id", None)
        if name is None:
            kept.append(event)
        elif isinstance(event, identity.IdentificationKey):
            if name not in gone:
                kept.append(event)
        elif isinstance(event, identity.IdentificationAdded):
            if name not in added:
                added.add(name)
                kept.append(event)
        elif name in added and name not in gone:
            kept.append(event)
            if isinstance(event, identity.IdentificationRemoved):
                gone.add(name)
    return kept


def placed(events: Sequence[PublishedEvent]) -> list[PublishedEvent]:
    """Let what is about a charger name the installation it stands at just then."""
    standing = dict(SITES)
    kept: list[PublishedEvent] = []
    for event in events:
        match event:
            case access.ChargerMoved():
                here, there = standing[event.charger_id], event.installation_id
                if here != there:
                    kept.append(msgspec.structs.replace(event, from_installation_id=here))
                    standing[event.charger_id] = there
            case _ if getattr(event, "charger_id", None) is not None:
                site: Any = {"installation_id": standing[getattr(event, "charger_id", "")]}
                kept.append(msgspec.structs.replace(event, **site))
            case _:
                kept.append(event)
    return kept


# The model. It knows no entries, no deadlines, no ranked grants, and instead of undoing what
# a reader does to a number it does the same to every number there is.


def last(log: Sequence[PublishedEvent], kind: type | tuple[type, ...], **about: object) -> Any:
    """Return the last event of the kind about that, if there is one."""
    found = [e for e in log if isinstance(e, kind)]
    found = [e for e in found if all(getattr(e, k) == v for k, v in about.items())]
    return found[-1] if found else None


def as_sent(log: Sequence[PublishedEvent], charger_id: str, code: str) -> str:
    """What the charger sends when this is presented."""
    quirks = last(log, access.ReaderQuirksSet, charger_id=charger_id)
    if quirks is None or len(code) not in (8, 14, 20) or set(code) - set("0123456789ABCDEF"):
        return code
    pairs = [code[at : at + 2] for at in range(0, len(code), 2)]
    if quirks.truncated:
        pairs = pairs[:4]
    if quirks.reversed:
        pairs.reverse()
    return str(quirks.prefix + "".join(pairs))


def whose(log: Sequence[PublishedEvent], charger_id: str, token: str, site: str) -> list[str]:
    """Which identifications' codes can have been presented."""
    found = []
    for name, (_, _, _, codes) in IDENTIFICATIONS.items():
        known = last(log, identity.IdentificationKey, identification_id=name)
        exists = last(log, identity.IdentificationAdded, identification_id=name)
        removed = last(log, identity.IdentificationRemoved, identification_id=name)
        if known is None or exists is None or removed is not None:
            continue
        [code] = [code for code in codes if key(name, code) == known]
        if as_sent(log, charger_id, code) == token and (code[0] != "#" or site == "north"):
            found.append(name)
    return found


def usable_permissions(
    log: Sequence[PublishedEvent], user_id: str, charger_id: str, site: str
) -> list[access.PermissionGranted | access.PermissionChanged]:
    held: dict[str, access.PermissionGranted | access.PermissionChanged] = {}
    partners = set()
    for event in log:
        match event:
            case access.PermissionGranted() | access.PermissionChanged():
                held[event.permission_id] = event
            case access.PermissionRevoked():
                held.pop(event.permission_id, None)
            case access.ChargerMoved():
                held = {k: v for k, v in held.items() if v.charger_id != event.charger_id}
            case access.PartnerMemberAdded() if event.user_id == user_id:
                partners.add(event.partner_id)
            case access.PartnerMemberRemoved() if event.user_id == user_id:
                partners.discard(event.partner_id)
            case access.UserForgotten() if event.user_id == user_id:
                held = {k: v for k, v in held.items() if v.user_id != user_id}
                partners.clear()
            case _:
                pass
    return [
        permission
        for permission in held.values()
        if (permission.user_id == user_id or permission.partner_id in partners)
        and "USER" in permission.roles
        and permission.charger_id in (None, charger_id)
        and permission.installation_id == site
    ]


def is_open(log: Sequence[PublishedEvent], charger_id: str, site: str) -> bool:
    flag = last(
        log, (access.InstallationCreated, access.AuthorisationRequiredSet), installation_id=site
    )
    operator = (access.OperatorConnected, access.OperatorDisconnected)
    managed = isinstance(last(log, operator, installation_id=site), access.OperatorConnected)
    allowance = last(log, (*operator, access.OverridesAllowedSet), installation_id=site)
    suspended = managed and not allowance.overrides_allowed
    deviation = (access.ChargerAdded, access.AuthorisationOverrideSet, access.ChargerMoved)
    own = last(log, deviation, charger_id=charger_id)
    override = getattr(own, "authorisation_override", "INHERIT")
    if suspended or override == "INHERIT":
        return not flag.authorisation_required
    return bool(override == "NOT_REQUIRED")


def expected(  # noqa: C901, PLR0911, PLR0912, PLR0915 - the rules of the product, one after the other
    log: Sequence[PublishedEvent],
    charger_id: str,
    token: str,
    at: int,
    *,
    charging: bool,
    said: OperatorAnswer | None = None,
    asked_for: bool = True,
    stale: float = 0.0,
) -> tuple[str, str, int | None]:
    """Return status, reason and end; `said` is the operator's word where it was asked.

    `asked_for` where a remote start was, so that the portal's code counts. For `stale`
    minutes nobody knew whether the log is all there is.
    """
    site = last(log, (access.ChargerAdded, access.ChargerMoved), charger_id=charger_id)
    site = site.installation_id
    found = whose(log, charger_id, token, site)
    ambiguous = len(found) > 1
    known = found[0] if len(found) == 1 and IDENTIFICATIONS[found[0]][2] in (None, site) else None
    if known is not None and IDENTIFICATIONS[known][1] == "APP" and not asked_for:
        known = None
    user_id = None if known is None else IDENTIFICATIONS[known][0]

    def blocked(scope: str | None) -> bool:
        kinds = (identity.UserBlocked, identity.UserUnblocked)
        event = last(log, kinds, user_id=user_id, installation_id=scope)
        return isinstance(event, identity.UserBlocked)

    if blocked(None):
        return "Blocked", "user_blocked", None
    authentication = last(log, access.AuthenticationTypeSet, installation_id=site)
    if authentication is not None and authentication.authentication_type == "EXTERNAL":
        # What is typed is no operator's business, nor what does not come from the portal any more.
        typed = token[:1] == "#" or (known is not None and IDENTIFICATIONS[known][1] == "PIN")
        of_known = [e for e in log if getattr(e, "identification_id", "") == known]
        works = [e.status for e in of_known if hasattr(e, "status")][-1:] == ["ACTIVE"]
        from_portal = known is not None and IDENTIFICATIONS[known][1] == "APP"
        if typed or (from_portal and not works) or (known is None and token[:4] == "APP:"):
            return "Invalid", "operator_refused", None
        if token == NOTHING:
            return "Invalid", "identification_unknown", None  # there is nothing to ask about
        if token in IMPOSSIBLE:
            return "Invalid", "identification_malformed", None
        if said is None:
            return "", "ask", None
        if said.status == "UNREACHABLE":
            return "Invalid", "operator_unreachable", None
        if said.status == "NOT_ALLOWED":
            return "Invalid", "operator_refused", None
        if said.status == "NO_CREDIT":
            return "Blocked", "no_credit", None
        if said.status == "BLOCKED":
            return "Blocked", "identification_blocked", None
        still = said.valid_until is None or at < said.valid_until
        if said.status == "EXPIRED" or not still:
            return "Expired", "identification_expired", None
        if charging:
            return "ConcurrentTx", "already_charging", None
        return "Accepted", "operator_accepted", said.valid_until
    if is_open(log, charger_id, site):
        return "Accepted", "open_charger", None
    if token == NOTHING:
        return "Invalid", "identification_unknown", None  # of no type, and nobody's
    if known is not None:
        type_ = IDENTIFICATIONS[known][1]
    else:
        looks = {"#": "PIN", "A": "APP" if token.startswith("APP:") else "RFID", "N": "VEHICLE_ID"}
        type_ = looks.get(token[:1], "RFID") if token not in NOBODYS else "RFID"
        type_ = "PIN" if token.startswith("#") else type_
    kinds = (access.ChargerAdded, access.IdentificationTypesSet)
    if type_ not in last(log, kinds, charger_id=charger_id).identification_types:
        return "Invalid", "type_disabled", None
    if ambiguous:
        return "Invalid", "identification_ambiguous", None
    if known is None:
        malformed = token in IMPOSSIBLE
        return "Invalid", f"identification_{'malformed' if malformed else 'unknown'}", None
    bars = (access.UserBlockedAtInstallation, access.UserUnblockedAtInstallation)
    barred = (access.UserForgotten, *bars)
    relevant = [e for e in log if isinstance(e, barred) and e.user_id == user_id]  # type: ignore[attr-defined]
    relevant = [e for e in relevant if getattr(e, "installation_id", site) == site]
    is_barred = bool(relevant) and isinstance(relevant[-1], access.UserBlockedAtInstallation)
    if blocked("north") or is_barred:
        return "Blocked", "user_blocked", None

    status, end = "", None
    for event in log:
        if getattr(event, "identification_id", None) != known:
            continue
        status = getattr(event, "status", status)
        if isinstance(event, identity.IdentificationAdded | identity.IdentificationExpiryChanged):
            end = event.valid_until
    if status == "BLOCKED":
        return "Blocked", "identification_blocked", None
    if status != "ACTIVE":
        return "Invalid", "identification_invalid", None
    if end is not None and not at < end:
        return "Expired", "identification_expired", None

    here = usable_permissions(log, str(user_id), charger_id, site)
    verification = last(log, (identity.PendingUserAdded, identity.EmailVerified), user_id=user_id)
    if not here or isinstance(verification, identity.PendingUserAdded):
        return "Invalid", "no_permission", None
    good = [p for p in here if p.valid_until is None or at < p.valid_until]
    if not good:
        return "Invalid", "permission_expired", None
    if charging:
        return "ConcurrentTx", "already_charging", None
    rules = last(log, access.PoliciesSet, installation_id=site)
    allowed = 1_440 if rules is None else rules.view_bound_minutes
    if stale > allowed and (rules is None or rules.on_view_behind == "DENY"):
        return "Invalid", "view_behind", None
    forever = [p for p in good if p.valid_until is None]
    until = None if forever else max(p.valid_until or 0 for p in good)
    on_charger = any(p.charger_id is not None for p in good if p.valid_until == until)
    both = [e for e in (end, until) if e is not None]
    return (
        "Accepted",
        "charger_permission" if on_charger else "installation_permission",
        min(both) if both else None,
    )


def heard(decision: Decision | None) -> tuple[object, ...] | None:
    """Return what a charger hears of it."""
    if decision is None:
        return None
    return decision.status, decision.reason, decision.valid_until, decision.master_pass


@settings(max_examples=600, deadline=None)
@given(
    beginning=st.one_of(working(), working(), st.just(BEGINNING)),
    # Of one kind they meet each other more often.
    events=st.one_of(
        st.lists(about_people(), max_size=15),
        st.lists(about_permissions(), max_size=15),
        st.lists(about_sites(), max_size=15),
        st.lists(st.one_of(about_people(), about_permissions(), about_sites()), max_size=25),
    ),
    taps=st.lists(
        st.tuples(
            st.sampled_from(sorted(SITES)),
            # Mostly those that somebody has: they get furthest.
            st.sampled_from(CODES) | st.sampled_from(CODES) | st.sampled_from(STRANGE),
            st.sampled_from(TIMES),
            st.booleans(),
            st.sampled_from(ANSWERS),
            st.booleans(),
            st.sampled_from(STALE),
        ),
        min_size=1,
        max_size=4,  # a fifth wrong PIN would lock the charger (R14)
    ),
)
def test_the_decision_agrees_with_the_model(
    beginning: list[PublishedEvent],
    events: list[PublishedEvent],
    taps: list[tuple[str, str, int, bool, OperatorAnswer, bool, float]],
) -> None:
    """R1 to R4, R7 to R12, R15, R18, R19, R20, O50."""
    view = View()
    log = placed(possible([*beginning, *events]))
    for event in log:
        view.apply(event)
    now = 0
    told: list[UnknownCode] = []
    gateway = Gateway(
        Client(),
        view=view,
        running=RunningSessions(),
        keyed_ids=KEYED_IDS,
        start_keys=StartKeys(SECRET),
        passwords=ChargerPasswords(SECRET),
        unknown=told.append,
        clock=lambda: now,
    )
    look_up = Lookup(view, KEYED_IDS)
    asked_for: set[str] = set()
    for charger_id, code, at, charging, answer, from_afar, stale in taps:
        view.set_staleness(stale * 60)
        charger = view.charger(charger_id)
        assert charger is not None
        if from_afar:
            gateway.remote_starts.hear(charger_id, "ada-app", at)
            asked_for.add(charger_id)
        agrees = partial(expected, asked_for=charger_id in asked_for, stale=stale)
        token = as_sent(log, charger_id, code)
        presented = gateway.deciding.expected(charger, look_up(charger, token), at)
        behind = view.is_behind(charger)
        inputs = gather(charger, presented, at=at, positions=(), view_behind=behind)
        assert not inputs.charging_elsewhere
        decision = decide(inputs)
        if isinstance(decision, AskOperator):
            assert agrees(log, charger_id, token, at, charging=False)[1] == "ask"
            asked = gateway.deciding.authorize(charger, token)
            assert not isinstance(asked, Decision)
            inputs = msgspec.structs.replace(inputs, operator_answer=answer)
            for elsewhere in (False, charging):
                there = msgspec.structs.replace(inputs, charging_elsewhere=elsewhere)
                told_by_operator = decided(there)
                assert (
                    told_by_operator.status,
                    told_by_operator.reason,
                    told_by_operator.valid_until,
                ) == agrees(log, charger_id, token, at, charging=elsewhere, said=answer)
            continue
        assert (decision.status, decision.reason, decision.valid_until) == agrees(
            log, charger_id, token, at, charging=False
        )

        now = at
        told.clear()
        # By whichever of the two ways; the group's token is made under a secret.
        authorized = gateway.deciding.authorize(charger, token)
        assert isinstance(authorized, Decision)
        assert heard(authorized) == heard(decision)
        tellable = decision.reason == "identification_unknown" and token[:1] not in ("", "#")
        assert bool(told) is (tellable and not token.startswith("APP:"))
        if presented.identification is not None:
            at_once = accept_at_once(charger, presented.identification, at)
            by_hand = presented.type != "APP"
            shorter = decision.accepted and by_hand and decision.reason != "open_charger"
            assert heard(at_once) == heard(decision if shorter else None)

        at_start = decided(msgspec.structs.replace(inputs, charging_elsewhere=charging))
        assert (at_start.status, at_start.reason, at_start.valid_until) == agrees(
            log, charger_id, token, at, charging=charging
        )
