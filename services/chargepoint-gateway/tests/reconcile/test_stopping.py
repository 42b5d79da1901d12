"""What must not run is stopped: from what is, so a restart or an offline charger converges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import msgspec
import pytest
import pytest_asyncio
from nats.aio.client import Client

from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.published import access, identity
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.published.sessions import Inputs, SessionEnded, SessionStarted
from chargekey_gateway.commands import Command, Outcome, RemoteStop, Result
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.reconcile.codes import NOBODY_TELLS
from chargekey_gateway.reconcile.confirmed import Confirmed
from chargekey_gateway.reconcile.convergence import Convergence
from chargekey_gateway.reconcile.lists import Lists
from chargekey_gateway.reconcile.reconciler import Reconciler
from chargekey_gateway.reconcile.seen import Seen
from chargekey_gateway.reconcile.stopping import next_end, to_stop
from chargekey_gateway.sessions.running import RunningSession, RunningSessions
from chargekey_gateway.view.entries import Charger
from chargekey_gateway.view.view import View

Policy = access.RunningSessions
SOON = 0.01  # seconds between repetitions
LONG = 60.0


class RemoteCharger:
    """A connected charger that keeps what it was asked for."""

    def __init__(self, charger: Charger) -> None:
        self.charger = charger
        self.version = "1.6"
        self.asked: asyncio.Queue[int] = asyncio.Queue()

    async def carry_out(self, command: Command) -> Result:
        if not isinstance(command, RemoteStop):
            return Result(outcome=Outcome.NOT_SUPPORTED)
        self.asked.put_nowait(command.transaction_id)
        return Result(outcome=Outcome.ACCEPTED)

    async def next(self) -> int:
        async with asyncio.timeout(LONG):
            return await self.asked.get()


class Site:
    """A view and running sessions that a test tells what it wants to be so."""

    def __init__(self) -> None:
        self.view = View()
        self.running = RunningSessions()
        self.at = 0
        self.register()
        self.identify()

    def register(self) -> None:
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

    def identify(self, user: str = "ada", **others: object) -> None:
        self.view.apply(
            identity.IdentificationAdded(
                user_id=user,
                identification_id="pin",
                type="PIN",
                status="ACTIVE",
                **others,  # type: ignore[arg-type] # names of fields
            )
        )

    def now(self) -> int:
        return self.at

    def grant(self, valid_until: int | None = None, **held_by: str) -> None:
        self.view.apply(
            access.PermissionGranted(
                installation_id="site",
                permission_id="permission",
                roles=("USER",),
                valid_until=valid_until,
                **(held_by or {"user_id": "ada"}),  # type: ignore[arg-type] # names of fields
            )
        )

    def revoke(self) -> None:
        self.view.apply(
            access.PermissionRevoked(
                installation_id="site", permission_id="permission", user_id="ada"
            )
        )

    def policies(self, *, on_block: Policy = "STOP", on_revoke: Policy = "FINISH") -> None:
        self.view.apply(
            access.PoliciesSet(
                installation_id="site",
                on_block=on_block,
                on_revoke=on_revoke,
                on_operator_timeout="DENY",
                pin_length=4,
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


def made(site: Site, delays: tuple[float, ...]) -> Reconciler:
    keyed_ids = KeyedIds(bytes(16))
    confirmed, seen = Confirmed(Client()), Seen(site.view, site.running)
    lists = Lists(site.view, seen, keyed_ids.group_token)
    return Reconciler(
        site.view,
        site.running,
        confirmed,
        lists,
        seen,
        Convergence(site.view, site.running, confirmed, lists, clock=site.now),
        codes=NOBODY_TELLS,
        look_up=Lookup(site.view, keyed_ids),
        tell=[].append,
        clock=site.now,
        delays=delays,
        greeting=0,
    )


def stopped(sessions: list[RunningSession], view: View, at: int) -> tuple[int, ...]:
    return tuple(session.transaction_id for session in to_stop(sessions, view, at))


@pytest_asyncio.fixture
async def reconciler(site: Site) -> AsyncIterator[Reconciler]:
    reconciler = made(site, (SOON,) * 3)
    yield reconciler
    await reconciler.close()


SESSION = RunningSession(
    7,
    "session",
    "first",
    "site",
    1,
    "ada",
    "pin",
    None,
    0,
    by_permission=True,
    holds_lock=True,
    sequence=7,
)
ANONYMOUS = msgspec.structs.replace(SESSION, by_permission=False, holds_lock=False)
EVERYWHERE = identity.UserBlocked(user_id="ada")
AS_A_LOCAL_USER = identity.UserBlocked(user_id="ada", installation_id="site")
AT_THE_SITE = access.UserBlockedAtInstallation(installation_id="site", user_id="ada")
AT_ANOTHER = access.UserBlockedAtInstallation(installation_id="another", user_id="ada")


@pytest.mark.parametrize(
    ("block", "session", "to_end"),
    [
        (None, SESSION, ()),
        (AS_A_LOCAL_USER, SESSION, (7,)),
        (EVERYWHERE, SESSION, (7,)),
        (AT_THE_SITE, SESSION, (7,)),
        (AT_ANOTHER, SESSION, ()),
        (EVERYWHERE, msgspec.structs.replace(SESSION, user_id=None), ()),
        (EVERYWHERE, msgspec.structs.replace(SESSION, user_id="stranger"), ()),
        (AS_A_LOCAL_USER, ANONYMOUS, ()),
        (AT_THE_SITE, ANONYMOUS, ()),
        (EVERYWHERE, ANONYMOUS, (7,)),
        # A group card locks nothing, and is asked for a permission all the same.
        (AT_THE_SITE, msgspec.structs.replace(SESSION, holds_lock=False), (7,)),
    ],
)
def test_the_sessions_of_blocked_users_are_to_stop(
    site: Site, block: PublishedEvent | None, session: RunningSession, to_end: tuple[int, ...]
) -> None:
    """R12: at an open charger only a block of the whole platform can be enforced."""
    if block is not None:
        site.view.apply(block)
    assert stopped([session], site.view, 0) == to_end
    site.policies(on_block="FINISH")
    assert stopped([session], site.view, 0) == ()


def test_a_session_whose_permission_is_gone_ends_only_where_the_policy_says_so(site: Site) -> None:
    """R12: FINISH is the default."""
    site.grant(valid_until=50)
    site.policies(on_revoke="STOP")
    assert stopped([SESSION], site.view, 49) == ()
    assert stopped([SESSION], site.view, 50) == (7,)
    site.revoke()
    assert stopped([SESSION, ANONYMOUS], site.view, 0) == (7,)
    site.policies()
    assert stopped([SESSION], site.view, 0) == ()


@pytest.mark.parametrize("status", ["BLOCKED", "INACTIVE"])
def test_a_session_ends_with_the_card_that_is_switched_off(
    site: Site, status: Literal["BLOCKED", "INACTIVE"]
) -> None:
    """R12: a lost card charges no further, however its charger tells of it."""
    site.grant()
    site.view.apply(
        identity.IdentificationStatusChanged(user_id="ada", identification_id="pin", status=status)
    )
    assert stopped([SESSION, ANONYMOUS], site.view, 0) == (7,)
    site.policies(on_block="FINISH", on_revoke="STOP")
    assert stopped([SESSION], site.view, 0) == ()


def test_a_card_that_is_gone_or_expired_ends_its_session_as_a_revocation_does(site: Site) -> None:
    """R12: FINISH is the default."""
    site.grant()
    site.view.apply(
        identity.IdentificationExpiryChanged(user_id="ada", identification_id="pin", valid_until=50)
    )
    assert stopped([SESSION], site.view, 50) == ()
    site.policies(on_revoke="STOP")
    assert stopped([SESSION], site.view, 49) == ()
    assert next_end([SESSION], site.view, 49) == 50
    assert stopped([SESSION, ANONYMOUS], site.view, 50) == (7,)
    site.view.apply(identity.IdentificationRemoved(user_id="ada", identification_id="pin"))
    assert stopped([SESSION, ANONYMOUS], site.view, 0) == (7,)


async def test_a_card_that_is_blocked_stops_the_running_session_at_once(
    site: Site, reconciler: Reconciler
) -> None:
    """R12."""
    site.grant()
    charger = site.connection()
    reconciler.connected(charger)
    site.start(1)
    await reconciler.idle()
    assert charger.asked.empty()
    site.view.apply(
        identity.IdentificationStatusChanged(
            user_id="ada", identification_id="pin", status="BLOCKED"
        )
    )
    assert await charger.next() == 1


def test_a_blocked_user_may_finish_where_only_revocations_stop(site: Site) -> None:
    site.grant()
    site.policies(on_block="FINISH", on_revoke="STOP")
    site.view.apply(AT_THE_SITE)
    assert stopped([SESSION], site.view, 0) == ()


def test_a_session_begun_through_a_partner_ends_with_the_membership(site: Site) -> None:
    """R8, R12."""
    site.policies(on_revoke="STOP")
    site.grant(partner_id="fleet")
    site.view.apply(access.PartnerMemberAdded(partner_id="fleet", user_id="ada"))
    assert stopped([SESSION], site.view, 0) == ()
    site.view.apply(access.PartnerMemberRemoved(partner_id="fleet", user_id="ada"))
    assert stopped([SESSION], site.view, 0) == (7,)


def test_where_an_operator_decides_no_session_ends_for_want_of_a_permission(site: Site) -> None:
    site.policies(on_revoke="STOP")
    site.view.apply(
        access.AuthenticationTypeSet(installation_id="site", authentication_type="EXTERNAL")
    )
    assert stopped([SESSION], site.view, 0) == ()


async def test_while_a_restored_store_is_read_again_no_permission_counts_as_revoked(
    site: Site, reconciler: Reconciler
) -> None:
    """What is not there may be on its way; when all of it is there, it is gone."""
    site.grant()
    site.start(1)
    site.view.reset("access")
    site.register()
    charger = site.connection()
    reconciler.connected(charger)
    site.policies(on_revoke="STOP")
    await reconciler.idle()
    assert charger.asked.empty()
    site.view.mended()
    assert await charger.next() == 1


async def test_a_revoked_permission_stops_the_running_session_at_once(
    site: Site, reconciler: Reconciler
) -> None:
    """R12, policy STOP on revocations."""
    site.grant()
    site.policies(on_revoke="STOP")
    charger = site.connection()
    reconciler.connected(charger)
    site.start(1)
    await reconciler.idle()
    assert charger.asked.empty()
    site.revoke()
    assert await charger.next() == 1


async def test_a_type_that_is_switched_off_stops_what_runs_by_it_where_revocations_stop(
    site: Site, reconciler: Reconciler
) -> None:
    """R12, R19: FINISH is the default; where nothing is asked for, no type is refused."""
    off = access.IdentificationTypesSet(
        charger_id="first", installation_id="site", identification_types=("RFID",)
    )
    site.grant()
    site.start(1)
    charger = site.connection()
    reconciler.connected(charger)
    site.view.apply(off)
    await reconciler.idle()
    assert charger.asked.empty()
    site.policies(on_revoke="STOP")
    assert await charger.next() == 1
    site.view.apply(
        access.AuthorisationRequiredSet(installation_id="site", authorisation_required=False)
    )
    assert stopped([SESSION], site.view, 0) == ()


async def test_a_policy_counts_for_what_runs_already(site: Site, reconciler: Reconciler) -> None:
    """Switchable live."""
    site.policies(on_block="FINISH")
    charger = site.connection()
    reconciler.connected(charger)
    site.start(1)
    site.block()
    await reconciler.idle()
    assert charger.asked.empty()
    site.policies(on_block="STOP")
    assert await charger.next() == 1


async def test_a_permission_that_ends_in_the_middle_of_a_session_stops_it_then(
    site: Site, reconciler: Reconciler
) -> None:
    """R10, R12, policy STOP on revocations."""
    site.grant(valid_until=20_000_000)
    site.policies(on_revoke="STOP")
    charger = site.connection()
    reconciler.connected(charger)
    site.start(1)
    await reconciler.idle()
    assert charger.asked.empty()
    site.at = 20_000_000  # twenty milliseconds, which the reconciler waits for
    assert await charger.next() == 1


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
    reconciler = made(site, (LONG,))
    charger = site.connection()
    reconciler.connected(charger)
    site.start(1)
    site.block()
    assert await charger.next() == 1
    site.start(2)
    assert await charger.next() == 2
    await reconciler.close()
