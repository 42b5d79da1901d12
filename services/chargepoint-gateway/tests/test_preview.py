"""What a change would do is what it does: previews held against the changed view."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from chargekey_common.keyed_ids import CodeClass
from chargekey_common.published import access
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.published.sessions import Inputs, SessionStarted
from chargekey_gateway.application.preview import (
    AcceptedTypes,
    AuthorisationOverride,
    AuthorisationRequired,
    BlockedUser,
    Change,
    Changed,
    Effect,
    RevokedPermission,
    concerned,
    effects,
    stopped,
)
from chargekey_gateway.decision import Decision, Reason, decide
from chargekey_gateway.inputs import Presented, gather
from chargekey_gateway.reconcile.stopping import to_stop
from chargekey_gateway.sessions.running import RunningSession, running_session
from chargekey_gateway.view.entries import Charger, Identification
from chargekey_gateway.view.view import View

from .test_decision_model import (
    BEGINNING,
    PARTNERS,
    SITES,
    TIMES,
    TYPES,
    USERS,
    about_people,
    about_permissions,
    about_sites,
    placed,
    possible,
    revoked,
    working,
)

SITE = "north"


def changes() -> st.SearchStrategy[tuple[Change, PublishedEvent]]:
    """Return changes at the site, each with the event of its being done."""
    chargers = st.sampled_from(sorted(SITES))
    return st.one_of(
        st.builds(
            lambda holder, charger: (
                RevokedPermission(f"{holder}-{charger or SITE}"),
                revoked(holder, charger, SITE),
            ),
            st.sampled_from((*USERS, *PARTNERS)),
            st.none() | chargers,
        ),
        st.builds(
            lambda user: (
                BlockedUser(user),
                access.UserBlockedAtInstallation(installation_id=SITE, user_id=user),
            ),
            st.sampled_from(USERS),
        ),
        st.builds(
            lambda required: (
                AuthorisationRequired(required),
                access.AuthorisationRequiredSet(
                    installation_id=SITE, authorisation_required=required
                ),
            ),
            st.booleans(),
        ),
        st.builds(
            lambda charger, types: (
                AcceptedTypes(charger, types),
                access.IdentificationTypesSet(
                    charger_id=charger, installation_id=SITE, identification_types=tuple(types)
                ),
            ),
            chargers,
            st.frozensets(st.sampled_from(TYPES)),
        ),
        st.builds(
            lambda charger, override: (
                AuthorisationOverride(charger, override),
                access.AuthorisationOverrideSet(
                    charger_id=charger, installation_id=SITE, authorisation_override=override
                ),
            ),
            chargers,
            st.sampled_from(("INHERIT", "REQUIRED", "NOT_REQUIRED")),
        ),
    )


def seen(events: Sequence[PublishedEvent]) -> View:
    view = View()
    for event in events:
        view.apply(event)
    return view


def verdict(charger: Charger, identification: Identification | None, at: int) -> Reason | None:
    """Return why not; None where it is accepted. What an operator would say is not known."""
    well_formed = Presented("04A1B2C3", CodeClass.UID, identification)
    decision = decide(gather(charger, well_formed, at=at, positions=()))
    if not isinstance(decision, Decision):
        return Reason.OPERATOR_UNREACHABLE
    return None if decision.accepted else decision.reason


def verdicts(view: View, user_id: str, charger_id: str, at: int) -> list[Reason | None]:
    charger = view.charger(charger_id)
    assert charger is not None
    if not user_id:
        return [verdict(charger, None, at)]
    mine = sorted(view.identifications_of(user_id), key=lambda each: each.id)
    sites = (None, charger.installation)
    return [verdict(charger, each, at) for each in mine if each.terms.site in sites]


def really(before: View, after: View, at: int) -> tuple[list[Effect], list[Effect]]:
    """Return losses and gains of a change that was made, of whoever held something there."""
    chargers = sorted(each.id for each in before.chargers_at(SITE))
    holders = {each.id for target in (SITE, *chargers) for each in before.holders(target)}
    losses, gains = [], []
    for user_id in ("", *sorted(holders)):
        for charger_id in chargers:
            was = verdicts(before, user_id, charger_id, at)
            then = verdicts(after, user_id, charger_id, at)
            if None in was and None not in then:
                losses.append(Effect(user_id, charger_id, then[was.index(None)]))
            if None in then and None not in was:
                gains.append(Effect(user_id, charger_id, None))
    return losses, gains


def previewed(view: View, change: Change, at: int) -> tuple[list[Effect], list[Effect]]:
    site = view.installation(SITE)
    users, chargers = concerned(view, site, change)
    changed = Changed(view, site, change)
    found = [each for user in (None, *users) for each in effects(view, changed, user, chargers, at)]
    return (
        [each for each in found if each.reason is not None],
        [each for each in found if each.reason is None],
    )


def session(number: int, user: str, charger: str, reason: str, view: View) -> RunningSession:
    where = view.charger(charger)
    assert where is not None
    event = SessionStarted(
        installation_id=where.installation.id,
        charger_id=charger,
        session_id=f"s{number}",
        connector=1,
        started_at=0,
        meter_start=0,
        status="Accepted",
        reason=reason,
        inputs=Inputs(at=0),
        user_id=user,
        identification_id=f"{user}-card",
    )
    return running_session(number, event)


@settings(max_examples=400, deadline=None)
@given(
    beginning=st.one_of(working(), working(), st.just(BEGINNING)),
    events=st.lists(st.one_of(about_people(), about_permissions(), about_sites()), max_size=15),
    change=changes(),
    at=st.sampled_from(TIMES),
    policies=st.tuples(st.sampled_from(("STOP", "FINISH")), st.sampled_from(("STOP", "FINISH"))),
    running=st.lists(
        st.tuples(
            st.sampled_from(USERS),
            st.sampled_from(sorted(SITES)),
            st.sampled_from(("installation_permission", "charger_permission", "open_charger")),
        ),
        max_size=4,
    ),
)
def test_a_preview_says_what_the_change_then_does_and_changes_nothing(
    beginning: list[PublishedEvent],
    events: list[PublishedEvent],
    change: tuple[Change, PublishedEvent],
    at: int,
    policies: tuple[access.RunningSessions, access.RunningSessions],
    running: list[tuple[str, str, str]],
) -> None:
    """R1, R4, R8, R12, R19: who loses and gains what at which charger, and what is stopped."""
    preview, event = change
    site = access.PoliciesSet(
        installation_id=SITE,
        on_block=policies[0],
        on_revoke=policies[1],
        on_operator_timeout="DENY",
        pin_length=4,
    )
    told = possible([*beginning, site, *events])
    before, after = seen(placed(told)), seen(placed([*told, event]))
    digest = before.digest()
    sessions = [
        each
        for number, (user, charger, reason) in enumerate(running)
        if (each := session(number, user, charger, reason, before)).installation_id == SITE
        and before.user(user) is not None  # whoever charges has been told of
    ]

    assert previewed(before, preview, at) == really(before, after, at)

    changed = Changed(before, before.installation(SITE), preview)
    now = {each.session_id for each in to_stop(sessions, before, at)}
    then = {each.session_id for each in to_stop(sessions, after, at)}
    assert {each.session_id for each in stopped(before, changed, sessions, at)} == then - now
    assert before.digest() == digest
