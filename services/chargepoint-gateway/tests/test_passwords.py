"""A charger's password is replaced: whoever came in by the one before is out at once (O49)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
import websockets
from nats.aio.client import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.headers import build_authorization_basic

from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.published import access
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.ocpp.profiles import SecurityProfiles

from .replicas import SECRET, Replica, fill

PATIENCE = 20.0  # seconds, and never used up
OLD, NEW, NEIGHBOURS = "0" * 40, "1" * 40, "2" * 40


class Place:
    """A gateway with a server, and the chargers `first` and `second`."""

    def __init__(self) -> None:
        self.replica = Replica(Client())
        self.view = self.replica.view
        self.give("first", OLD)
        self.give("second", NEIGHBOURS)
        self.server = OcppServer(
            self.replica.gateway,
            limits=Limits(close_timeout=0.2),
            profiles=SecurityProfiles(allowed=frozenset({0, 1})),
        )
        self.view.on_password_change(self.server.passwords_changed)

    def give(self, charger_id: str, password: str) -> None:
        """Have access tell of a charger's password, before it tells of the rest."""
        hashed = ChargerPasswords(SECRET).hash(charger_id, password)
        self.view.apply(access.ChargerCredential(charger_id=charger_id, password_hash=hashed))

    def replace(self, charger_id: str, password: str) -> None:
        """Have access tell of another one."""
        self.give(charger_id, password)
        self.view.apply(
            access.ChargerPasswordReplaced(charger_id=charger_id, installation_id="site")
        )

    def open(self, charger_id: str, password: str | None) -> websockets.connect:
        headers = {}
        if password is not None:
            headers["Authorization"] = build_authorization_basic(charger_id, password)
        return websockets.connect(
            f"ws://127.0.0.1:{self.server.port}/ocpp/{charger_id}",
            subprotocols=["ocpp1.6"],  # type: ignore[list-item] # a plain string
            additional_headers=headers,
            proxy=None,
        )


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    made = Place()
    await made.server.start("127.0.0.1:0")
    yield made
    await made.server.stop()


async def lives(socket: websockets.ClientConnection) -> None:
    """Demand an answer."""
    async with asyncio.timeout(PATIENCE):
        await socket.send(json.dumps([2, "1", "Heartbeat", {}]))
        while json.loads(await socket.recv())[:2] != [3, "1"]:
            pass


async def closed(socket: websockets.ClientConnection) -> int | None:
    """Return with which code it is closed."""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code


async def test_the_old_password_keeps_nobody_in_and_the_new_one_lets_in(place: Place) -> None:
    """O12, O49: and nobody else notices."""
    async with place.open("first", OLD) as thief, place.open("second", NEIGHBOURS) as neighbour:
        await lives(thief)
        await lives(neighbour)
        place.replace("first", NEW)
        assert await closed(thief) == 1008
        assert "first" not in place.server
        with pytest.raises(InvalidStatus) as refused:
            await place.open("first", OLD)
        assert refused.value.response.status_code == 401
        async with place.open("first", NEW) as charger:
            await lives(charger)
            place.replace("second", NEIGHBOURS)  # the same once more is no other
            await lives(charger)
            await lives(neighbour)


async def test_who_came_in_without_a_password_stays(place: Place) -> None:
    """O49: on a development network (profile 0) none was asked for."""
    async with place.open("first", None) as charger:
        await lives(charger)
        place.replace("first", NEW)
        await lives(charger)


async def test_a_view_that_hears_everything_again_closes_nobody_on_its_way(place: Place) -> None:
    """O49: it passes through every password there ever was; the last one counts."""
    place.replace("first", NEW)
    async with place.open("first", NEW) as charger, place.open("second", NEIGHBOURS) as other:
        await lives(charger)
        await lives(other)
        place.view.reset("access")
        place.give("first", OLD)
        place.give("second", NEIGHBOURS)
        fill(place.view)
        place.replace("first", NEW)
        place.replace("second", OLD)  # a store restored from a backup knows another
        await lives(charger)
        await lives(other)
        place.view.mended()
        assert await closed(other) == 1008
        await lives(charger)


async def test_a_charger_of_which_nothing_is_told_any_more_is_not_closed_for_it(
    place: Place,
) -> None:
    async with place.open("first", OLD) as charger:
        await lives(charger)
        place.view.reset("access")
        place.view.mended()
        await lives(charger)


async def test_who_comes_in_by_an_old_password_on_the_way_is_out_at_its_end(place: Place) -> None:
    """O49."""
    place.view.reset("access")
    place.give("first", OLD)
    fill(place.view)
    async with place.open("first", OLD) as thief:
        await lives(thief)
        place.replace("first", NEW)
        place.view.mended()
        assert await closed(thief) == 1008
