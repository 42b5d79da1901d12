"""What must not run is stopped: from what is, so a restart or an offline charger converges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from chargekey_common.published import access, identity
from chargekey_common.published.sessions import Inputs, SessionEnded, SessionStarted
from chargekey_gateway.reconcile import Reconciler, to_stop
from chargekey_gateway.sessions.running import RunningSession, RunningSessions
from chargekey_gateway.view.entries import Charger, User
from chargekey_gateway.view.view import View

SOON = 0.01  # seconds between repetitions
LONG = 60.0


class RemoteCharger:
    """A connected charger that keeps what it was asked for."""

    def __init__(self, charger: Charger) -> None:
        self.charger = charger
        self.asked: asyncio.Queue[int] = asyncio.Queue()

    async def remote_stop(self, transaction_id: int) -> bool:
        self.asked.put_nowait(transaction_id)
        return True

    async def next(self) -> int:
        async with asyncio.timeout(LONG):
            return await self.asked.get()


class Site:
    """A view and running sessions that a test tells what it wants to be so."""

    def __init__(self) -> None:
        self.view = View()
        self.running = RunningSessions()
        for charger_id in ("first", "second"):
            self.view.apply(
                access.ChargerAdded(
                    charger_id=charger_id,
                    installation_id="site",
                    ocpp_identity=charger_id,
                    authorisation_override="INHERIT",
                    identification_types=("PIN",),
                )
            )

    def connection(self, charger_id: str = "first") -> RemoteCharger:
        charger = self.view.charger(charger_id)
        assert charger is not None
        return RemoteCharger(charger)

    def block(self, scope: str | None = "site") -> None:
        self.view.apply(identity.UserBlocked(user_id="ada", installation_id=scope))

    def unblock(self) -> None:
        self.view.apply(identity.UserUnblocked(user_id="ada", installation_id="site"))

    def start(self, transaction_id: int, charger_id: str = "first", user: str = "ada") -> None:
        self.running.started(
            transaction_id,
            SessionStarted(
                installation_id="site",
                charger_id=charger_id,
                session_id=f"session-{transaction_id}",
                connector=1,
                started_at=0,
                meter_start=0,
                status="Accepted",
                reason="installation_permission",
                inputs=Inputs(at=0),
                user_id=user,
                identification_id="pin",
            ),
        )

    def end(self, transaction_id: int, charger_id: str = "first") -> None:
        self.running.ended(
            transaction_id + 100,
            SessionEnded(
                installation_id="site",
                charger_id=charger_id,
                session_id=f"session-{transaction_id}",
                transaction_id=transaction_id,
                connector=1,
                ended_at=1,
                meter_stop=1,
                reason="Remote",
            ),
        )


@pytest.fixture
def site() -> Site:
    return Site()


@pytest_asyncio.fixture
async def reconciler(site: Site) -> AsyncIterator[Reconciler]:
    reconciler = Reconciler(site.view, site.running, delays=[SOON] * 3)
    yield reconciler
    await reconciler.close()


SESSION = RunningSession(
    7, "session", "first", "site", 1, "ada", "pin", 0, holds_lock=True, sequence=7
)


@pytest.mark.parametrize(
    ("blocks", "session", "stopped"),
    [
        (frozenset(), SESSION, ()),
        (frozenset({"site"}), SESSION, (7,)),
        (frozenset({None}), SESSION, (7,)),
        (frozenset({"site"}), msgspec.structs.replace(SESSION, user_id=None), ()),
        (frozenset({"site"}), msgspec.structs.replace(SESSION, user_id="stranger"), ()),
        (frozenset({"site"}), msgspec.structs.replace(SESSION, holds_lock=False), ()),
        (frozenset({None}), msgspec.structs.replace(SESSION, holds_lock=False), (7,)),
    ],
)
def test_the_sessions_of_blocked_users_are_to_stop(
    blocks: frozenset[str | None], session: RunningSession, stopped: tuple[int, ...]
) -> None:
    """R12: at an open charger (no lock) only a block of the whole platform can be enforced."""
    users = {"ada": User("ada", blocks)}
    assert to_stop([session], users.get) == stopped


async def test_a_block_stops_the_running_sessions_of_the_user_only(
    site: Site, reconciler: Reconciler
) -> None:
    """R12, policy STOP."""
    first, second = site.connection("first"), site.connection("second")
    reconciler.connected(first)
    reconciler.connected(second)
    site.start(1, "first")
    site.start(2, "first", user="bob")
    site.start(3, "second")
    site.block()
    assert {await first.next(), await second.next()} == {1, 3}


async def test_a_charger_that_connects_after_the_block_is_stopped_as_well(
    site: Site, reconciler: Reconciler
) -> None:
    site.start(1)
    site.block()
    charger = site.connection()
    reconciler.connected(charger)
    assert await charger.next() == 1


async def test_a_session_that_overtook_the_block_is_stopped(
    site: Site, reconciler: Reconciler
) -> None:
    charger = site.connection()
    reconciler.connected(charger)
    site.block()
    site.start(1)
    assert await charger.next() == 1


async def test_the_charger_is_asked_until_the_session_has_ended(
    site: Site, reconciler: Reconciler
) -> None:
    charger = site.connection()
    reconciler.connected(charger)
    site.start(1)
    site.block()
    assert [await charger.next(), await charger.next()] == [1, 1]
    site.end(1)
    await reconciler.idle()
    assert charger.asked.empty()


async def test_a_lifted_block_stops_nothing_more(site: Site, reconciler: Reconciler) -> None:
    charger = site.connection()
    reconciler.connected(charger)
    site.start(1)
    site.block()
    assert await charger.next() == 1
    site.unblock()
    await reconciler.idle()
    assert charger.asked.empty()


async def test_asking_is_bounded_and_begins_again_with_a_new_connection(
    site: Site, reconciler: Reconciler
) -> None:
    charger = site.connection()
    reconciler.connected(charger)
    site.start(1)
    site.block()
    await reconciler.idle()
    assert charger.asked.qsize() == 3
    again = site.connection()
    reconciler.connected(again)
    assert await again.next() == 1


async def test_a_charger_that_is_gone_is_not_asked(site: Site, reconciler: Reconciler) -> None:
    charger = site.connection()
    reconciler.connected(charger)
    site.start(1)
    site.block()
    assert await charger.next() == 1
    reconciler.disconnected(charger)
    await reconciler.idle()
    assert charger.asked.empty()


async def test_the_end_of_a_replaced_connection_leaves_the_new_one(
    site: Site, reconciler: Reconciler
) -> None:
    old, new = site.connection(), site.connection()
    reconciler.connected(old)
    reconciler.connected(new)
    reconciler.disconnected(old)
    site.start(1)
    site.block()
    assert await new.next() == 1
    assert old.asked.empty()


async def test_a_new_session_is_stopped_while_another_is_being_waited_for(site: Site) -> None:
    reconciler = Reconciler(site.view, site.running, delays=[LONG])
    charger = site.connection()
    reconciler.connected(charger)
    site.start(1)
    site.block()
    assert await charger.next() == 1
    site.start(2)
    assert {await charger.next(), await charger.next()} == {1, 2}
    await reconciler.close()
