"""The gRPC service: decisions made again, and what a change would make of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import msgspec
from grpc import aio

from chargekey.gateway.v1 import decisions_pb2 as pb
from chargekey.gateway.v1 import decisions_pb2_grpc
from chargekey_common.grpc.server import SYSTEM, Objects, Service
from chargekey_common.published.access import IdentificationType, Override
from chargekey_common.published.sessions import Inputs
from chargekey_gateway.api.errors import (
    ChangeMissingError,
    InputsMalformedError,
    OverrideMissingError,
    TypesMalformedError,
)
from chargekey_gateway.api.steps import told
from chargekey_gateway.application.gateway import Gateway
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
from chargekey_gateway.command_errors import ChargerUnknownError
from chargekey_gateway.decision import Decision, decide, explain, taken

NAME = "chargekey.gateway.v1.DecisionService"
MOST_EFFECTS = 1000
# After so many decisions chargers' taps have their turn.
A_TURN = 200

_TYPES = frozenset(get_args(IdentificationType))
_OVERRIDES: Mapping[str, Override] = {each: each for each in get_args(Override)}
_INSTANTS = range(-(2**63), 2**63)  # what the protocol carries

Context = aio.ServicerContext[Any, Any]


class DecisionServicer(decisions_pb2_grpc.DecisionServiceServicer):
    """Every method of decisions.proto."""

    def __init__(self, gateway: Gateway, clock: Callable[[], int]) -> None:
        self._gateway = gateway
        self._clock = clock

    async def ReplayDecision(
        self, request: pb.ReplayDecisionRequest, _: Context
    ) -> pb.ReplayDecisionResponse:
        try:
            inputs = msgspec.json.decode(request.inputs, type=Inputs)
        except msgspec.DecodeError:
            raise InputsMalformedError from None
        decision = decide(inputs)
        explanation, steps = explain(inputs), told(taken(inputs))
        if not isinstance(decision, Decision):
            # No such inputs are recorded: nothing is decided before the operator is asked.
            return pb.ReplayDecisionResponse(explanation=explanation, steps=steps)
        if decision.valid_until is not None and decision.valid_until not in _INSTANTS:
            raise InputsMalformedError
        return pb.ReplayDecisionResponse(
            status=decision.status,
            reason=decision.reason,
            valid_until=decision.valid_until,
            explanation=explanation,
            steps=steps,
        )

    async def PreviewChange(
        self, request: pb.PreviewChangeRequest, _: Context
    ) -> pb.PreviewChangeResponse:
        view, at = self._gateway.view, self._clock()
        site = view.installation(request.installation_id)
        change = self._change(request)
        after = Changed(view, site, change)
        users, chargers = concerned(view, site, change)
        losses, gains = _First(), _First()
        decided = 0
        for user in (None, *users):
            for each in effects(view, after, user, chargers, at):
                (gains if each.reason is None else losses).add(each)
            decided += len(chargers)
            if decided > A_TURN:
                decided = 0
                await asyncio.sleep(0)
        sessions = [
            session
            for charger in view.chargers_at(site.id)
            for session in self._gateway.running.of_charger(charger.id)
        ]
        return pb.PreviewChangeResponse(
            losses=_told(losses.kept),
            losses_in_all=losses.in_all,
            gains=_told(gains.kept),
            gains_in_all=gains.in_all,
            stopped_session_ids=[each.session_id for each in stopped(view, after, sessions, at)],
        )

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "ReplayDecision": lambda _: SYSTEM,
            "PreviewChange": lambda request: f"installation:{request.installation_id}",
        }

    def _change(self, request: pb.PreviewChangeRequest) -> Change:
        match request.WhichOneof("change"):
            case "revoked_permission_id":
                return RevokedPermission(request.revoked_permission_id)
            case "blocked_user_id":
                return BlockedUser(request.blocked_user_id)
            case "authorisation_required":
                return AuthorisationRequired(request.authorisation_required)
            case "accepted_types":
                types = frozenset(request.accepted_types.types)
                charger_id = self._there(request, request.accepted_types.charger_id)
                if not types <= _TYPES:
                    raise TypesMalformedError
                return AcceptedTypes(charger_id, types)
            case "authorisation_override":
                override = _OVERRIDES.get(request.authorisation_override.override)
                charger_id = self._there(request, request.authorisation_override.charger_id)
                if override is None:
                    raise OverrideMissingError
                return AuthorisationOverride(charger_id, override)
            case _:
                raise ChangeMissingError

    def _there(self, request: pb.PreviewChangeRequest, charger_id: str) -> str:
        """Return the charger's id; raises ChargerUnknownError of one that stands elsewhere."""
        charger = self._gateway.view.charger(charger_id)
        if charger is None or charger.installation.id != request.installation_id:
            raise ChargerUnknownError
        return charger.id


def service(gateway: Gateway, *, clock: Callable[[], int] = time.time_ns) -> Service:
    """Return the service, to be served; `clock` tells nanoseconds."""
    servicer = DecisionServicer(gateway, clock)
    return Service(
        NAME, decisions_pb2_grpc.add_DecisionServiceServicer_to_server, servicer, servicer.objects()
    )


class _First:
    """The first effects, MOST_EFFECTS at most, and how many there are: there may be millions."""

    def __init__(self) -> None:
        self.kept: list[Effect] = []
        self.in_all = 0

    def add(self, effect: Effect) -> None:
        self.in_all += 1
        if len(self.kept) < MOST_EFFECTS:
            self.kept.append(effect)


def _told(found: Sequence[Effect]) -> Sequence[pb.Effect]:
    return [
        pb.Effect(user_id=each.user_id, charger_id=each.charger_id, reason=each.reason or "")
        for each in found
    ]
