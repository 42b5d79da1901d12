"""The decision held against an independent model: loops over the log of what happened."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from nats.aio.client import Client

from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.published import access, identity
from chargekey_common.published.envelope import PublishedEvent
from chargekey_gateway.application import Gateway
from chargekey_gateway.decision import accept_at_once, decide
from chargekey_gateway.inputs import gather
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.view.view import View

SECRET = b"a secret of 24 bytes, so"
KEYED_IDS = KeyedIds(SECRET)

SITES = {"near": "north", "far": "north", "other": "south"}  # charger: installation
USERS = ("ada", "bob")
# identification: user, type, and the codes it can have
IDENTIFICATIONS = {
    "ada-pin": ("ada", "PIN", ("#1111", "#2222")),
    "ada-card": ("ada", "RFID", ("04A1B2C3", "04A1B2C3D4E5F6")),
    "bob-card": ("bob", "RFID", ("BOBS-OLD-CARD", "0BADCAFE")),
}
# What can be nobody's code: a PIN has 4 to 8 digits, and no token what cannot be printed.
IMPOSSIBLE = [
    "",
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
STRANGE = [*IMPOSSIBLE, *NOBODYS]
CODES = ["#9999", *(code for _, _, codes in IDENTIFICATIONS.values() for code in codes)]
ENDS = (None, 1_000, 2_000)
TIMES = (0, 999, 1_000, 1_001, 1_999, 2_000, 2_001)


def keyed_id_of(code: str) -> str:
    return KEYED_IDS.of_token(code, "north")[1].hex()  # PINs are made for the north


def event_strategy() -> st.SearchStrategy[PublishedEvent]:
    installations = st.sampled_from(("north", "south"))
    users = st.sampled_from(USERS)
    names = st.sampled_from(sorted(IDENTIFICATIONS))
    statuses: st.SearchStrategy[identity.IdentificationStatus] = st.sampled_from(
        ("ACTIVE", "ACTIVE", "INACTIVE", "BLOCKED")
    )
    ends = st.sampled_from(ENDS)
    chargers = st.sampled_from(sorted(SITES))
    types = st.sampled_from(((), ("PIN",), ("RFID",), ("PIN", "RFID"), ("PIN", "RFID")))
    scopes = st.sampled_from((None, "north"))

    @st.composite
    def permission(draw: st.DrawFn) -> PublishedEvent:
        user_id = draw(users)
        charger_id = draw(st.one_of(st.none(), chargers))
        installation_id = draw(installations) if charger_id is None else SITES[charger_id]
        permission_id = f"{user_id}-{charger_id or installation_id}"
        kind = draw(st.sampled_from(("grant", "grant", "change", "revoke")))
        if kind == "revoke":
            return access.PermissionRevoked(
                installation_id=installation_id,
                permission_id=permission_id,
                user_id=user_id,
                charger_id=charger_id,
            )
        make = access.PermissionGranted if kind == "grant" else access.PermissionChanged
        return make(
            installation_id=installation_id,
            permission_id=permission_id,
            user_id=user_id,
            charger_id=charger_id,
            roles=draw(st.sampled_from((("USER",), ("OWNER", "USER"), ("OWNER",), ("SERVICE",)))),
            valid_until=draw(ends),
        )

    @st.composite
    def key(draw: st.DrawFn) -> PublishedEvent:
        name = draw(names)
        code = draw(st.sampled_from(IDENTIFICATIONS[name][2]))
        return identity.IdentificationKey(identification_id=name, keyed_id=keyed_id_of(code))

    @st.composite
    def added(draw: st.DrawFn) -> PublishedEvent:
        name = draw(names)
        user_id, type_, _ = IDENTIFICATIONS[name]
        return identity.IdentificationAdded(
            identification_id=name,
            user_id=user_id,
            type=type_,  # type: ignore[arg-type]  # a plain string of the table above
            status=draw(statuses),
            valid_until=draw(ends),
        )

    def about(name: str) -> dict[str, str]:
        return {"identification_id": name, "user_id": IDENTIFICATIONS[name][0]}

    def at(charger_id: str) -> dict[str, str]:
        return {"charger_id": charger_id, "installation_id": SITES[charger_id]}

    return st.one_of(
        permission(),
        permission(),
        permission(),
        key(),
        key(),
        added(),
        added(),
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
        st.builds(
            lambda i, required: access.AuthorisationRequiredSet(
                installation_id=i, authorisation_required=required
            ),
            installations,
            st.sampled_from((True, True, True, False)),
        ),
        st.builds(
            lambda c, override: access.AuthorisationOverrideSet(
                **at(c), authorisation_override=override
            ),
            chargers,
            st.sampled_from(("INHERIT", "INHERIT", "REQUIRED", "NOT_REQUIRED")),
        ),
        st.builds(
            lambda c, enabled: access.IdentificationTypesSet(**at(c), identification_types=enabled),
            chargers,
            types,
        ),
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
            identification_types=("RFID", "PIN"),
        )
        for charger_id, installation_id in SITES.items()
    ),
]


@st.composite
def working(draw: st.DrawFn) -> list[PublishedEvent]:
    """Draw a system in which most taps would be accepted, for the rest to spoil."""
    log = list(BEGINNING)
    for name, (user_id, type_, codes) in IDENTIFICATIONS.items():
        log.append(
            identity.IdentificationKey(identification_id=name, keyed_id=keyed_id_of(codes[0]))
        )
        log.append(
            identity.IdentificationAdded(
                identification_id=name,
                user_id=user_id,
                type=type_,  # type: ignore[arg-type]  # a plain string of the table above
                status="ACTIVE",
                valid_until=draw(st.sampled_from(ENDS)),
            )
        )
    for user_id in USERS:
        log.extend(
            access.PermissionGranted(
                installation_id="north",
                permission_id=f"{user_id}-{charger_id or 'north'}",
                user_id=user_id,
                charger_id=charger_id,
                roles=("USER",),
                valid_until=draw(st.sampled_from(ENDS)),
            )
            for charger_id in draw(st.sets(st.sampled_from((None, "near", "far"))))
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


# The model. It knows no entries, no deadlines and no sorted grants.


def expected(  # noqa: C901, PLR0911, PLR0912, PLR0915 - the rules of the product, one after the other
    log: Sequence[PublishedEvent], charger_id: str, code: str, at: int, *, charging: bool
) -> tuple[str, str, int | None]:
    """Return status, reason and end."""
    installation_id = SITES[charger_id]

    owner = None
    for name, (user_id, _, codes) in IDENTIFICATIONS.items():
        keys = [e for e in log if isinstance(e, identity.IdentificationKey)]
        keys = [e for e in keys if e.identification_id == name]
        about = [e for e in log if getattr(e, "identification_id", None) == name]
        exists = any(isinstance(e, identity.IdentificationAdded) for e in about)
        removed = any(isinstance(e, identity.IdentificationRemoved) for e in about)
        is_pin_elsewhere = code.startswith("#") and installation_id != "north"
        if keys and exists and not removed and not is_pin_elsewhere:
            holds = [c for c in codes if keyed_id_of(c) == keys[-1].keyed_id]
            if holds == [code]:
                owner = (name, user_id)

    required = [e for e in log if getattr(e, "installation_id", None) == installation_id]
    flags = [e.authorisation_required for e in required if hasattr(e, "authorisation_required")]
    about_charger = [e for e in log if getattr(e, "charger_id", None) == charger_id]
    overrides = [
        e.authorisation_override for e in about_charger if hasattr(e, "authorisation_override")
    ]
    enabled = [e.identification_types for e in about_charger if hasattr(e, "identification_types")]
    is_open = {"REQUIRED": False, "NOT_REQUIRED": True, "INHERIT": not flags[-1]}[overrides[-1]]

    blocked_here = blocked_everywhere = False
    if owner is not None:
        for event in log:
            if isinstance(event, identity.UserBlocked | identity.UserUnblocked):
                if event.user_id != owner[1]:
                    continue
                blocks = isinstance(event, identity.UserBlocked)
                if event.installation_id is None:
                    blocked_everywhere = blocks
                else:
                    blocked_here = blocks

    if blocked_everywhere:
        return "Blocked", "user_blocked", None
    if is_open:
        return "Accepted", "open_charger", None
    if ("PIN" if code.startswith("#") else "RFID") not in enabled[-1]:
        return "Invalid", "type_disabled", None
    if owner is None and code in IMPOSSIBLE:
        return "Invalid", "identification_malformed", None
    if owner is None:
        return "Invalid", "identification_unknown", None
    if blocked_here:
        return "Blocked", "user_blocked", None

    status, end = "", None
    for event in log:
        if getattr(event, "identification_id", None) != owner[0]:
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

    held: dict[str, access.PermissionGranted | access.PermissionChanged] = {}
    for event in log:
        if isinstance(event, access.PermissionGranted | access.PermissionChanged):
            held[event.permission_id] = event
        elif isinstance(event, access.PermissionRevoked):
            held.pop(event.permission_id, None)
    here = [
        permission
        for permission in held.values()
        if permission.user_id == owner[1]
        and "USER" in permission.roles
        and permission.charger_id in (None, charger_id)
        and permission.installation_id == installation_id
    ]
    if not here:
        return "Invalid", "no_permission", None
    good = [p for p in here if p.valid_until is None or at < p.valid_until]
    if not good:
        return "Invalid", "permission_expired", None
    if charging:
        return "ConcurrentTx", "already_charging", None
    forever = [p for p in good if p.valid_until is None]
    last = None if forever else max(p.valid_until or 0 for p in good)
    best = [p for p in good if p.valid_until == last]
    on_charger = any(p.charger_id is not None for p in best)
    both = [e for e in (end, last) if e is not None]
    return (
        "Accepted",
        "charger_permission" if on_charger else "installation_permission",
        min(both) if both else None,
    )


@settings(max_examples=3_000, deadline=None)
@given(
    beginning=st.one_of(working(), st.just(BEGINNING)),
    events=st.lists(event_strategy(), max_size=25),
    taps=st.lists(
        st.tuples(
            st.sampled_from(sorted(SITES)),
            # Mostly those that somebody has: they get furthest.
            st.sampled_from(CODES) | st.sampled_from(CODES) | st.sampled_from(STRANGE),
            st.sampled_from(TIMES),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_the_decision_agrees_with_the_model(
    beginning: list[PublishedEvent],
    events: list[PublishedEvent],
    taps: list[tuple[str, str, int, bool]],
) -> None:
    view = View()
    log = possible([*beginning, *events])
    for event in log:
        view.apply(event)
    now = 0
    gateway = Gateway(
        Client(),
        view=view,
        running=RunningSessions(),
        keyed_ids=KEYED_IDS,
        start_keys=StartKeys(SECRET),
        passwords=ChargerPasswords(SECRET),
        clock=lambda: now,
    )
    for charger_id, code, at, charging in taps:
        charger = view.charger(charger_id)
        assert charger is not None
        code_class, keyed_id = KEYED_IDS.of_token(code, charger.installation.id)
        token_type = "PIN" if code_class == "pin" else "RFID"
        identification = view.identification(keyed_id)
        inputs = gather(
            charger,
            token_type,
            identification,
            malformed=code in IMPOSSIBLE,
            at=at,
            positions=(),
        )
        assert not inputs.charging_elsewhere
        decision = decide(inputs)
        assert (decision.status, decision.reason, decision.valid_until) == expected(
            log, charger_id, code, at, charging=False
        )

        now = at
        assert gateway.authorize(charger, code) == decision  # by whichever of the two ways
        if identification is not None:
            at_once = accept_at_once(charger, token_type, identification, at)
            shorter = decision.accepted and decision.reason != "open_charger"
            assert at_once == (decision if shorter else None)

        at_start = decide(msgspec.structs.replace(inputs, charging_elsewhere=charging))
        assert (at_start.status, at_start.reason, at_start.valid_until) == expected(
            log, charger_id, code, at, charging=charging
        )
