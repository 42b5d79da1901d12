"""What a change would do: who could no longer, or newly, charge where, and what would be stopped.

The same decision as always, made twice: from the view, and from the view as it would be.
Nothing of the view is changed, and nothing is told of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias, assert_never

import msgspec

from chargekey_common.keyed_ids import CodeClass
from chargekey_common.published.access import Override
from chargekey_common.published.sessions import Inputs
from chargekey_gateway.decision import Decision, Reason, decide
from chargekey_gateway.inputs import Presented, gather
from chargekey_gateway.reconcile.stopping import to_stop
from chargekey_gateway.sessions.running import RunningSession
from chargekey_gateway.view.entries import Charger, Identification, Installation, User
from chargekey_gateway.view.view import View


class RevokedPermission(msgspec.Struct, frozen=True):
    """Somebody's, or a partner's, whose members held it."""

    permission_id: str


class BlockedUser(msgspec.Struct, frozen=True):
    """A user is refused at the site with everything he presents."""

    user_id: str


class AuthorisationRequired(msgspec.Struct, frozen=True):
    """The site asks for something to be presented, or no longer."""

    required: bool


class AcceptedTypes(msgspec.Struct, frozen=True):
    """A charger takes these types of identifications and no others."""

    charger_id: str
    types: frozenset[str]


class AuthorisationOverride(msgspec.Struct, frozen=True):
    """A charger deviates from its site, or no longer (R1)."""

    charger_id: str
    override: Override


Change: TypeAlias = (
    RevokedPermission | BlockedUser | AuthorisationRequired | AcceptedTypes | AuthorisationOverride
)


class Effect(msgspec.Struct, frozen=True):
    """Somebody's loss or gain at a charger; `user_id` is empty for whoever is not known there.

    `reason` is why not, from then on; None for a gain.
    """

    user_id: str
    charger_id: str
    reason: Reason | None


# Whether anything comes of it for somebody at a charger, and why not for a loss.
_Outcome: TypeAlias = tuple[bool, Reason | None]
_UNCHANGED: _Outcome = (False, None)


class Changed:
    """A site of the view as it would be after a change; all the rest is as it is."""

    def __init__(self, view: View, site: Installation, change: Change) -> None:
        self._view = view
        self._site = site
        self._change = change

    @property
    def whole(self) -> bool:
        """As the view's."""
        return self._view.whole

    def charger(self, charger_id: str) -> Charger | None:
        """Return the charger as it is: what changes in its site or types, `inputs` know."""
        return self._view.charger(charger_id)

    def installation(self, installation_id: str) -> Installation:
        """Return the installation as it is: no change here is one of its policies."""
        return self._view.installation(installation_id)

    def user(self, user_id: str) -> User | None:
        """Return the user with what he would hold, and blocked where he would be."""
        known = self._view.user(user_id)
        return None if known is None else self._user(known)

    def identification_by_id(self, identification_id: str) -> Identification | None:
        """Return the identification as it is: no change here is about one."""
        return self._view.identification_by_id(identification_id)

    def refuses_type(self, charger: Charger, identification: Identification) -> bool:
        """Whether something would have to be presented there, and nothing of this type."""
        inputs = self.inputs(charger, identification, 0)
        return inputs.authorisation_required and not inputs.type_enabled

    def inputs(self, charger: Charger, identification: Identification | None, at: int) -> Inputs:
        """Return what would be decided from, who presents this there."""
        if identification is not None:
            identification = msgspec.structs.replace(
                identification, user=self._user(identification.user)
            )
        inputs = inputs_now(charger, identification, at)
        match self._change:
            case AuthorisationRequired(required):
                site = msgspec.structs.replace(
                    charger.installation, authorisation_required=required
                )
                then = msgspec.structs.replace(charger, installation=site)
                return msgspec.structs.replace(
                    inputs, authorisation_required=then.authorisation_required
                )
            case AuthorisationOverride(charger_id, override) if charger_id == charger.id:
                then = msgspec.structs.replace(charger, authorisation_override=override)
                return msgspec.structs.replace(
                    inputs, authorisation_required=then.authorisation_required
                )
            case AcceptedTypes(charger_id, types) if charger_id == charger.id:
                return msgspec.structs.replace(inputs, type_enabled=inputs.token_type in types)
            case _:  # it is the user's, or another charger's
                return inputs

    def _user(self, user: User) -> User:
        match self._change:
            case RevokedPermission(permission_id):
                rest = tuple(each for each in user.held if each.permission_id != permission_id)
                return msgspec.structs.replace(user, grants=rest, partners=())
            case BlockedUser(user_id) if user_id == user.id:
                blocked_at = user.blocked_at | {self._site.id}
                return msgspec.structs.replace(user, blocked_at=blocked_at)
            case _:  # it is the site's, or somebody else's
                return user


def concerned(
    view: View, site: Installation, change: Change
) -> tuple[Collection[User], Sequence[Charger]]:
    """Return whose decisions it may change, and at which chargers, each in a fixed order."""
    chargers = sorted(view.chargers_at(site.id), key=lambda each: each.id)
    holders = {
        each.id: each
        for target in (site.id, *(charger.id for charger in chargers))
        for each in view.holders(target)
    }
    match change:
        case RevokedPermission(permission_id):
            lose = {
                each.id: each
                for each in holders.values()
                if any(grant.permission_id == permission_id for grant in each.held)
            }
        case BlockedUser(user_id):
            lose = {key: each for key, each in holders.items() if key == user_id}
        case AuthorisationRequired():
            lose = holders
        case AcceptedTypes(charger_id, _) | AuthorisationOverride(charger_id, _):
            lose = holders
            chargers = [each for each in chargers if each.id == charger_id]
        case _:
            assert_never(change)
    return [lose[key] for key in sorted(lose)], chargers


def effects(
    view: View, after: Changed, user: User | None, chargers: Iterable[Charger], at: int
) -> Iterable[Effect]:
    """Yield the user's losses and gains at `at`; None: those of whoever is not known there.

    Somebody can charge where one of his identifications is accepted. Why he no longer
    can is what the first says that was. At chargers of one site that are alike it is decided
    once, however many there are: the chargers are those that `concerned` returned.
    """
    mine = () if user is None else view.identifications_of(user.id)
    known = sorted(mine, key=lambda each: each.id)
    presented: Sequence[Identification | None] = (None,) if user is None else known
    apart = frozenset() if user is None else {each.right.target.id for each in user.held}
    outcomes: dict[object, _Outcome] = {}
    for charger in chargers:
        alike = (
            charger.authorisation_override,
            charger.identification_types,
            charger.id if charger.id in apart else None,
        )
        if alike not in outcomes:
            outcomes[alike] = _outcome(after, presented, charger, at)
        if outcomes[alike] != _UNCHANGED:
            yield Effect("" if user is None else user.id, charger.id, outcomes[alike][1])


def _outcome(
    after: Changed, presented: Sequence[Identification | None], charger: Charger, at: int
) -> _Outcome:
    before, then = {}, {}
    for number, each in enumerate(presented):
        if each is None or each.terms.site in (None, charger.installation):
            before[number] = decide(inputs_now(charger, each, at))
            then[number] = decide(after.inputs(charger, each, at))
    accepted = [number for number, decision in before.items() if _accepts(decision)]
    still = any(map(_accepts, then.values()))
    if bool(accepted) == still:
        return _UNCHANGED
    why = None if still else then[accepted[0]]
    return True, why.reason if isinstance(why, Decision) else None


def stopped(
    view: View, after: Changed, sessions: Sequence[RunningSession], at: int
) -> Sequence[RunningSession]:
    """Return which of the sessions the site's policies would stop, and do not now (R12)."""
    now = {each.session_id for each in to_stop(sessions, view, at)}
    return [each for each in to_stop(sessions, after, at) if each.session_id not in now]


def inputs_now(charger: Charger, identification: Identification | None, at: int) -> Inputs:
    """Return what is decided from, who presents this there; what he types is well formed."""
    presented = Presented("well-formed", CodeClass.OTHER, identification)
    return gather(charger, presented, at=at, positions=())


def _accepts(decision: object) -> bool:
    return isinstance(decision, Decision) and decision.accepted
