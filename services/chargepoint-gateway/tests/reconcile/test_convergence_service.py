"""How far chargers are, asked by people: of every charger, connected or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client

from chargekey.gateway.v1 import convergence_pb2 as pb
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.process import cancel
from chargekey_common.testing.bad_input import (
    Door,
    assert_a_stranger_learns_nothing,
    assert_every_bad_value_is_refused,
    assert_no_message_is_refused,
)
from chargekey_common.testing.grpc import served
from chargekey_gateway.api.convergence import service
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.reconcile.confirmed import Record
from chargekey_gateway.reconcile.convergence import State
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.view.entries import Charger

from .conftest import ADA, KEYED_IDS, SECRET, Site

SERVICE = pb.DESCRIPTOR.services_by_name["ConvergenceService"]


class World(msgspec.Struct, frozen=True):
    """A gateway that is asked, and the site it knows."""

    site: Site
    gateway: Gateway
    administrator: Door
    stranger: Door


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    site = Site("first", "second")
    site.add_charger("third", "another")
    gateway = Gateway(
        Client(),
        view=site.view,
        running=site.running,
        keyed_ids=KEYED_IDS,
        start_keys=StartKeys(SECRET),
        passwords=ChargerPasswords(SECRET),
        unknown=[].append,
        clock=site.now,
    )

    async def check(caller: Caller, _: str, __: str) -> None:
        if caller != ADMINISTRATOR:
            raise PermissionDeniedError

    async with served(service(gateway, OcppServer(gateway)), tmp_path, check) as as_caller:
        yield World(
            site,
            gateway,
            Door(SERVICE, as_caller(ADMINISTRATOR)),
            Door(SERVICE, as_caller(Caller("user:somebody"))),
        )


async def test_a_charger_is_told_of_with_everything_it_confirmed_and_owes(world: World) -> None:
    world.site.resident("ada", ADA)
    since = world.site.at
    world.gateway.confirmed.put(
        "first",
        Record(
            version="1.6",
            list_supported=True,
            list_version=4,
            list_entries=3,
            cache_cleared_as_of=world.site.at,
            reboot_required=True,
            converged_at=since - 1,
        ),
    )
    answer = await world.administrator.call(
        "ListConvergence", pb.ListConvergenceRequest(charger_id="first")
    )
    assert list(answer.chargers) == [
        pb.Convergence(
            charger_id="first",
            local_list_supported=True,
            list_version_wanted=5,
            list_version_confirmed=4,
            list_entries_wanted=1,
            list_entries_confirmed=3,
            pending=["settings", "local_list"],
            pending_since=since,
            reboot_required=True,
            converged_at=since - 1,
        )
    ]


async def test_all_chargers_of_an_installation_are_told_of_also_those_nobody_ever_saw(
    world: World,
) -> None:
    answer = await world.administrator.call(
        "ListConvergence", pb.ListConvergenceRequest(installation_id="site")
    )
    assert [each.charger_id for each in answer.chargers] == ["first", "second"]
    first = answer.chargers[0]
    assert not first.HasField("local_list_supported")
    assert not first.HasField("converged_at")
    assert list(first.pending) == ["settings", "local_list"]
    unknown = pb.ListConvergenceRequest(charger_id="nobody")
    assert not (await world.administrator.call("ListConvergence", unknown)).chargers


async def test_taps_come_between_two_of_a_thousand_chargers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, state = [], world.gateway.convergence.state
    turn = 0

    def note(charger: Charger, *, online: bool) -> State:
        told.append(turn)
        return state(charger, online=online)

    async def take_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(world.gateway.convergence, "state", note)
    task = asyncio.create_task(take_turns())
    for number in range(8):
        world.site.add_charger(f"another-{number}")
    request = pb.ListConvergenceRequest(installation_id="site")
    await world.administrator.call("ListConvergence", request)
    await cancel(task)
    assert told == sorted(set(told))
    assert len(told) == 10


async def test_whatever_is_asked_nothing_is_an_error_and_a_stranger_learns_nothing(
    world: World,
) -> None:
    """Access knows what there is; nothing stands at what nobody has heard of."""
    good = pb.ListConvergenceRequest(charger_id="first")
    fields = {"installation_id": (), "charger_id": ()}
    await assert_every_bad_value_is_refused(world.administrator, good, fields)
    await assert_no_message_is_refused(world.administrator, "ListConvergence")
    await assert_a_stranger_learns_nothing(world.stranger, good)
