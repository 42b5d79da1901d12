"""Decisions made again from what was recorded, and changes looked at before they are made."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nats.aio.client import Client

from chargekey.gateway.v1 import decisions_pb2 as pb
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.published import access, identity
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.published.sessions import Inputs, OperatorAnswer, SessionStarted
from chargekey_common.testing.bad_input import (
    INVALID,
    MISSING,
    STRANGE,
    Bad,
    Changes,
    Door,
    Fields,
    any_changes,
    assert_a_stranger_learns_nothing,
    assert_every_bad_value_is_refused,
    assert_no_message_is_refused,
    assert_nothing_is_an_internal_error,
    bad,
    methods,
)
from chargekey_common.testing.grpc import served
from chargekey_gateway.api import decisions
from chargekey_gateway.api.steps import told
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.decision import Decision, decide, explain, taken
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.view.view import View

SERVICE = pb.DESCRIPTOR.services_by_name["DecisionService"]
SECRET = b"a secret of 24 bytes, so"
INPUTS = Inputs(at=1_000, identification_id="card", identification_status="ACTIVE")
ENDLESS = b'{"at":0,"identification_id":"x","identification_status":"ACTIVE","permission_id":"y",'
ENDLESS += b'"permission_on":"charger","permission_valid_until":%d}' % 9**30
FIELDS: Fields = {
    "inputs": bad(
        INVALID,
        "inputs_malformed",
        "",
        "[]",
        '{"at":"noon"}',
        '{"operator_answer":{"status":"PERHAPS"},"at":0}',
        ENDLESS.decode(),
        *STRANGE,
    ),
    # Access knows what there is; nothing stands or is held at what nobody has heard of.
    "installation_id": (),
    "revoked_permission_id": (),
    "blocked_user_id": (),
    "authorisation_required": (),
    "accepted_types": [
        *(
            Bad(pb.AcceptedTypes(charger_id=each, types=["PIN"]), MISSING, "charger_unknown")
            for each in ("", "none", "elsewhere")
        ),
        *(
            Bad(
                pb.AcceptedTypes(charger_id="garage", types=["PIN", each]),
                INVALID,
                "identification_types_malformed",
            )
            for each in ("", "pin", *STRANGE)
        ),
    ],
    "authorisation_override": [
        *(
            Bad(
                pb.AuthorisationOverride(charger_id=each, override="INHERIT"),
                MISSING,
                "charger_unknown",
            )
            for each in ("", "none", "elsewhere")
        ),
        *(
            Bad(
                pb.AuthorisationOverride(charger_id="garage", override=each),
                INVALID,
                "override_missing",
            )
            for each in ("", "required", *STRANGE)
        ),
    ],
}


def site(name: str, charger: str) -> list[PublishedEvent]:
    return [
        access.InstallationCreated(
            installation_id=name, name="", time_zone="UTC", authorisation_required=True
        ),
        access.ChargerAdded(
            charger_id=charger,
            installation_id=name,
            ocpp_identity=charger,
            authorisation_override="INHERIT",
            identification_types=("RFID", "PIN"),
        ),
    ]


def holder(user: str, **held: str) -> list[PublishedEvent]:
    return [
        identity.IdentificationAdded(
            identification_id=f"{user}-card", user_id=user, type="RFID", status="ACTIVE"
        ),
        access.PermissionGranted(
            installation_id="home", permission_id=f"of-{user}", roles=("USER",), **held
        ),
    ]


WORLD = [
    *site("home", "garage"),
    *site("office", "elsewhere"),
    *holder("ada", user_id="ada"),
    *holder("bob", partner_id="fleet"),
    *holder("grace", partner_id="fleet"),
    access.PartnerMemberAdded(partner_id="fleet", user_id="bob"),
    access.PartnerMemberAdded(partner_id="fleet", user_id="grace"),
    access.PermissionRevoked(installation_id="home", permission_id="of-grace", partner_id="fleet"),
]


class World(msgspec.Struct, frozen=True):
    gateway: Gateway
    administrator: Door
    stranger: Door
    good: dict[str, Message]


@asynccontextmanager
async def a_world(place: Path) -> AsyncIterator[World]:
    view = View()
    for event in WORLD:
        view.apply(event)
    gateway = Gateway(
        Client(),
        view=view,
        running=RunningSessions(),
        keyed_ids=KeyedIds(SECRET),
        start_keys=StartKeys(SECRET),
        passwords=ChargerPasswords(SECRET),
        unknown=[].append,
        clock=lambda: 1_000,
    )

    async def check(caller: Caller, _: str, __: str) -> None:
        if caller != ADMINISTRATOR:
            raise PermissionDeniedError

    good: list[Message] = [
        pb.ReplayDecisionRequest(inputs=msgspec.json.encode(INPUTS).decode()),
        pb.PreviewChangeRequest(installation_id="home", revoked_permission_id="of-ada"),
    ]
    served_here = decisions.service(gateway, clock=lambda: 1_000)
    async with served(served_here, place, check) as as_caller:
        yield World(
            gateway,
            Door(SERVICE, as_caller(ADMINISTRATOR)),
            Door(SERVICE, as_caller(Caller("user:somebody"))),
            {each.DESCRIPTOR.name.removesuffix("Request"): each for each in good},
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as running:
        yield running


@pytest.mark.parametrize("method", methods(SERVICE))
async def test_what_cannot_be_is_refused_by_name_without_an_echo(world: World, method: str) -> None:
    digest = world.gateway.view.digest()
    await assert_every_bad_value_is_refused(world.administrator, world.good[method], FIELDS)
    await assert_no_message_is_refused(world.administrator, method)
    await world.administrator.call(method, world.good[method])
    assert world.gateway.view.digest() == digest


@pytest.mark.parametrize("method", methods(SERVICE))
async def test_a_stranger_learns_nothing(world: World, method: str) -> None:
    await assert_a_stranger_learns_nothing(world.stranger, world.good[method])


async def test_without_a_change_there_is_nothing_to_look_at(world: World) -> None:
    refused = await world.administrator.refusal(
        "PreviewChange", pb.PreviewChangeRequest(installation_id="home")
    )
    assert refused.code() is INVALID


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(any_changes(SERVICE), min_size=20, max_size=40))
def test_nothing_that_can_be_sent_is_an_internal_error(sent: list[tuple[str, Changes]]) -> None:
    async def example(place: Path) -> None:
        async with a_world(place) as world:
            await assert_nothing_is_an_internal_error(world.administrator, world.good, sent)

    with tempfile.TemporaryDirectory() as place:
        asyncio.run(example(Path(place)))


async def replayed(world: World, inputs: Inputs) -> pb.ReplayDecisionResponse:
    request = pb.ReplayDecisionRequest(inputs=msgspec.json.encode(inputs).decode())
    answer: pb.ReplayDecisionResponse = await world.administrator.call("ReplayDecision", request)
    return answer


@pytest.mark.parametrize(
    "inputs",
    [
        INPUTS,
        Inputs(at=5, charger_known=False),
        msgspec.structs.replace(INPUTS, user_blocked=True),
        msgspec.structs.replace(
            INPUTS, permission_id="p", permission_on="charger", permission_valid_until=2_000
        ),
        msgspec.structs.replace(INPUTS, permission_id="p", charging_elsewhere=True),
        Inputs(
            at=5,
            managed_externally=True,
            token_type="RFID",
            operator_answer=OperatorAnswer(status="NO_CREDIT", last_known=True),
        ),
    ],
)
async def test_a_recorded_decision_is_made_again_by_the_same_function(
    world: World, inputs: Inputs
) -> None:
    """R23: as of then, whatever holds now; the last line of the explanation is what hit."""
    expected = decide(inputs)
    assert isinstance(expected, Decision)
    answer = await replayed(world, inputs)
    assert (answer.status, answer.reason) == (expected.status, expected.reason)
    assert (answer.valid_until or None) == expected.valid_until
    assert tuple(answer.explanation) == explain(inputs)
    assert answer.explanation[-1].partition("yes: ")[2].startswith(expected.reason)
    assert list(answer.steps) == told(taken(inputs))
    assert answer.steps[-1].reason == expected.reason
    assert not any(each.reason for each in answer.steps[:-1])


async def test_what_no_operator_was_asked_about_is_decided_by_nobody(world: World) -> None:
    inputs = Inputs(at=5, managed_externally=True, token_type="RFID")
    answer = await replayed(world, inputs)
    assert (answer.status, answer.reason) == ("", "")
    assert "the operator would be asked" in answer.explanation[-1]
    assert answer.steps[-1] == pb.DecisionStep(
        question="operator_decides", reason="operator_decides"
    )


async def preview(world: World, **change: object) -> pb.PreviewChangeResponse:
    request = pb.PreviewChangeRequest(installation_id="home", **change)  # type: ignore[arg-type] # names of fields
    answer: pb.PreviewChangeResponse = await world.administrator.call("PreviewChange", request)
    return answer


def lost(user: str, reason: str = "no_permission") -> pb.Effect:
    return pb.Effect(user_id=user, charger_id="garage", reason=reason)


async def test_a_partners_permission_is_lost_by_its_members(world: World) -> None:
    """R8."""
    answer = await preview(world, revoked_permission_id="of-bob")
    assert list(answer.losses) == [lost("bob"), lost("grace")]
    assert (answer.losses_in_all, answer.gains_in_all) == (2, 0)


async def test_a_block_and_a_type_and_the_requirement_have_their_effects(world: World) -> None:
    """R1, R12, R19: whoever is not known gains where nothing need be presented any more."""
    blocked = await preview(world, blocked_user_id="ada")
    assert list(blocked.losses) == [lost("ada", "user_blocked")]
    types = pb.AcceptedTypes(charger_id="garage", types=["PIN"])
    assert list((await preview(world, accepted_types=types)).losses) == [
        lost(each, "type_disabled") for each in ("ada", "bob", "grace")
    ]
    opened = await preview(world, authorisation_required=False)
    assert list(opened.gains) == [lost("", "")]
    assert not opened.losses
    world.gateway.view.apply(
        access.AuthorisationRequiredSet(installation_id="home", authorisation_required=False)
    )
    closed = await preview(world, authorisation_required=True)
    assert list(closed.losses) == [lost("", "identification_unknown")]


async def test_a_chargers_own_deviation_has_its_effects_there(world: World) -> None:
    """R1, R2: none where the operator of the site does not let chargers deviate."""

    def override(word: str) -> pb.AuthorisationOverride:
        return pb.AuthorisationOverride(charger_id="garage", override=word)

    opened = await preview(world, authorisation_override=override("NOT_REQUIRED"))
    assert list(opened.gains) == [lost("", "")]
    assert not opened.losses
    for word in ("REQUIRED", "INHERIT"):
        same = await preview(world, authorisation_override=override(word))
        assert (same.losses_in_all, same.gains_in_all) == (0, 0)
    world.gateway.view.apply(
        access.OperatorConnected(installation_id="home", partner_id="volt", overrides_allowed=False)
    )
    managed = await preview(world, authorisation_override=override("NOT_REQUIRED"))
    assert (managed.losses_in_all, managed.gains_in_all) == (0, 0)


async def test_sessions_that_would_be_stopped_are_named(world: World) -> None:
    """R12: by the site's policies, and nowhere else."""
    for number, (user, where, charger) in enumerate(
        [("ada", "home", "garage"), ("bob", "home", "garage"), ("ada", "office", "elsewhere")],
        start=1,
    ):
        event = SessionStarted(
            installation_id=where,
            charger_id=charger,
            session_id=f"s{number}",
            connector=number,
            started_at=0,
            meter_start=0,
            status="Accepted",
            reason="installation_permission",
            inputs=Inputs(at=0),
            user_id=user,
            identification_id=f"{user}-card",
        )
        world.gateway.running.started(number, event)
    assert list((await preview(world, blocked_user_id="ada")).stopped_session_ids) == ["s1"]
    assert not (await preview(world, revoked_permission_id="of-ada")).stopped_session_ids


async def test_a_chargers_own_deviation_stops_nothing_at_another(world: World) -> None:
    """R1, R19: there nothing need be presented, whatever its types."""
    open_site = access.AuthorisationRequiredSet(
        installation_id="home", authorisation_required=False
    )
    for event in (open_site, *site("home", "yard")[1:]):
        world.gateway.view.apply(event)
    for number, charger in enumerate(("garage", "yard"), start=1):
        world.gateway.view.apply(
            access.IdentificationTypesSet(
                charger_id=charger, installation_id="home", identification_types=("PIN",)
            )
        )
        began = SessionStarted(
            installation_id="home",
            charger_id=charger,
            session_id=charger,
            connector=1,
            started_at=0,
            meter_start=0,
            status="Accepted",
            reason="installation_permission",
            inputs=Inputs(at=0),
            user_id="ada",
            identification_id="ada-card",
        )
        world.gateway.running.started(number, began)
    world.gateway.view.apply(
        access.PoliciesSet(
            installation_id="home",
            on_block="STOP",
            on_revoke="STOP",
            on_operator_timeout="DENY",
            pin_length=4,
        )
    )
    required = pb.AuthorisationOverride(charger_id="garage", override="REQUIRED")
    answer = await preview(world, authorisation_override=required)
    assert list(answer.stopped_session_ids) == ["garage"]


async def test_of_a_crowd_the_first_thousand_are_told_and_how_many_there_are(
    world: World,
) -> None:
    for number in range(1_100):
        for event in holder(f"user-{number:04}", user_id=f"user-{number:04}"):
            world.gateway.view.apply(event)
    types = pb.AcceptedTypes(charger_id="garage")
    answer = await preview(world, accepted_types=types)
    assert (len(answer.losses), answer.losses_in_all) == (1_000, 1_103)


async def test_what_works_at_another_site_alone_counts_for_nothing_here(world: World) -> None:
    """R13: a PIN of another site opens nothing, and nothing is lost with it."""
    pin = identity.IdentificationAdded(
        identification_id="pin",
        user_id="joan",
        type="PIN",
        status="ACTIVE",
        installation_id="office",
    )
    granted = access.PermissionGranted(
        installation_id="home", permission_id="of-joan", roles=("USER",), user_id="joan"
    )
    for event in (pin, granted):
        world.gateway.view.apply(event)
    assert not (await preview(world, blocked_user_id="joan")).losses
    assert not (await preview(world, revoked_permission_id="of-joan")).losses
