"""Two owners who remove each other at the same moment always leave one (R6)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from grpc import aio

from chargekey.access.v1 import owners_pb2, permissions_pb2
from chargekey.access.v1.owners_pb2_grpc import OwnersServiceStub
from chargekey.access.v1.permissions_pb2_grpc import PermissionServiceStub
from chargekey_access.domain import owners
from chargekey_access.domain.permission import Subject, Target, permission_id
from chargekey_common.accounts import Caller
from chargekey_common.errors import ChargekeyError
from chargekey_common.grpc.client import remote_error
from chargekey_common.postgres import Postgres
from chargekey_common.testing.grpc import stubs

from .conftest import Access, serving
from .given import a_site, accepts, by, change, grant, opened, revoke

ROUNDS = 25
A, B = "ada", "bo"
# What the slower one is told: he owns no more, or would be the last to go.
LOST = {"last_owner", "role_not_grantable", "permission_denied"}

Act = Callable[[Access, str, str, str], object]
"""What `by` does to `whom` at a site."""


def _remove(access: Access, site: str, who: str, whom: str) -> None:
    revoke(access, by(who), Target(site), Subject(whom))


def _downgrade(access: Access, site: str, who: str, whom: str) -> None:
    change(access, by(who), Target(site), Subject(whom), "USER")


def _block(access: Access, site: str, who: str, whom: str) -> None:
    access.owners.block_user_at_installation(by(who), installation_id=site, user_id=whom)


def _leave(access: Access, site: str, who: str, _: str) -> None:
    revoke(access, by(who), Target(site), Subject(who))


def _forget(access: Access, _: str, __: str, whom: str) -> None:
    access.forgetting.forget_user(by("service:identity"), user_id=whom)


ACTS = {
    "remove": _remove,
    "downgrade": _downgrade,
    "block": _block,
    "leave": _leave,
    "forget": _forget,
}


@pytest.fixture
def replicas(place: Path | Postgres) -> Iterator[Sequence[Access]]:
    """Yield two of them on PostgreSQL, and twice the one that a file can have."""
    with contextlib.ExitStack() as closing:
        store = opened(place)
        closing.callback(store.close)
        one = other = Access(store)
        if isinstance(place, Postgres):
            second = opened(place)
            closing.callback(second.close)
            other = Access(second)
        yield one, other


def at_once(*acts: Callable[[], object]) -> list[str]:
    """Do it all at the same moment; return what became of each."""
    barrier = threading.Barrier(len(acts))
    results = [""] * len(acts)

    def run(number: int) -> None:
        barrier.wait()
        try:
            acts[number]()
        except ChargekeyError as error:
            results[number] = error.code

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def still_owning(access: Access, site: str) -> set[str]:
    """Return the owners who count, and see that permissions say the same."""
    state = access.directory.holdings.owners(site)
    by_permission = {
        held.subject.user_id
        for _, held in access.directory.holdings.on(Target(site))
        if "OWNER" in held.roles
    }
    assert by_permission == set(state.owners)
    return set(state.owners - state.blocked - state.invited)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("leave", "leave"),
        *itertools.product(("remove", "downgrade", "block", "forget"), ("remove", "block")),
    ],
)
def test_of_two_owners_who_remove_each_other_at_once_one_is_left(
    replicas: Sequence[Access], first: str, second: str
) -> None:
    """R6, whichever way each goes about it."""
    one, other = replicas
    for number in range(ROUNDS // 4):
        a, b = f"{A}-{number}", f"{B}-{number}"
        site = a_site(one, a, b)
        results = at_once(
            lambda site=site, a=a, b=b: ACTS[first](one, site, a, b),
            lambda site=site, a=a, b=b: ACTS[second](other, site, b, a),
        )
        assert len(still_owning(one, site)) == 1
        assert still_owning(one, site) == still_owning(other, site)
        [lost] = [code for code in results if code]
        assert lost in LOST


def test_two_owners_who_remove_each_other_at_once_leave_one_in_many_rounds(
    replicas: Sequence[Access],
) -> None:
    """R6."""
    one, other = replicas
    site = a_site(one, A, B)
    for _ in range(ROUNDS * 4):
        results = at_once(
            lambda: _remove(one, site, A, B),
            lambda: _remove(other, site, B, A),
        )
        [left] = still_owning(one, site)
        assert sorted(map(bool, results)) == [False, True]
        gone = B if left == A else A
        one.permissions.grant_permission(
            by(left),
            target=Target(site),
            subject=Subject(gone),
            roles=["OWNER", "USER"],
            valid_until="",
        )


def test_many_owners_who_all_leave_at_once_leave_one(replicas: Sequence[Access]) -> None:
    """R6: who was refused because of the others' haste may try again."""
    people = [f"owner-{number}" for number in range(5)]
    for _ in range(ROUNDS // 5):
        site = a_site(replicas[0], *people)

        def leave(number: int, site: str = site) -> None:
            _leave(replicas[number % 2], site, people[number], "")

        results = at_once(*(lambda n=number, go=leave: go(n) for number in range(len(people))))
        left = still_owning(replicas[0], site)
        assert left
        assert set(results) <= {"", "last_owner", "contended"}
        assert len(left) == sum(map(bool, results))


def test_accepting_ownership_races_with_the_end_of_the_offer(replicas: Sequence[Access]) -> None:
    """R6: either he took over before the offerer left, or not at all."""
    one, other = replicas
    for number in range(ROUNDS // 2):
        giver, taker, third = (f"{name}-{number}" for name in ("ada", "bo", "cy"))
        site = a_site(one, giver, third)
        one.owners.offer_ownership(by(giver), installation_id=site, user_id=taker, invited=True)
        accepted, removed = at_once(
            lambda taker=taker, site=site: one.owners.accept_ownership(
                by(taker), installation_id=site
            ),
            lambda giver=giver, third=third, site=site: _remove(other, site, third, giver),
        )
        expected = {third} if accepted else {third, taker}
        assert still_owning(one, site) == expected
        assert accepted in {"", "ownership_not_offered"}
        # Whoever handed over holds USER, and loses that to the one who came later.
        assert removed == ""


@pytest.mark.parametrize("second", ["leave", "remove"])
def test_accepting_an_invitation_races_with_the_last_owner_s_leaving(
    replicas: Sequence[Access], second: str
) -> None:
    """R6: at no moment is nobody there who has accepted, however it comes out."""
    one, other = replicas
    for number in range(ROUNDS // 2):
        first, invited = f"ada-{number}", f"bo-{number}"
        site = a_site(one, first)
        grant(one, by(first), Target(site), Subject(invited), "OWNER", "USER", invited=True)
        # The one leaves, while the other accepts and leaves too, or takes the first away.
        left, arrived = at_once(
            lambda first=first, site=site: _leave(one, site, first, ""),
            lambda first=first, invited=invited, site=site: (
                accepts(other, invited),
                ACTS[second](other, site, invited, first),
            ),
        )
        assert len(still_owning(one, site)) == 1
        state: owners.Owners | None = None
        for record in one.store.records(owners.owners_id(site)):
            state = owners.evolve(state, record.event)
            assert state.owners - state.invited
        assert {left, arrived} <= LOST | {"", "permission_unknown"}


async def test_over_grpc_two_owners_who_remove_each_other_leave_one(
    replicas: Sequence[Access], tmp_path: Path
) -> None:
    """R6, S3-5: as people do it, each at his own replica on PostgreSQL."""
    one, other = replicas
    site = a_site(one, A, B)
    async with (
        serving(one, tmp_path / "one") as at_one,
        serving(other, tmp_path / "other") as at_other,
    ):
        doors = {
            A: stubs(at_one(Caller(f"user:{A}")), PermissionServiceStub, OwnersServiceStub),
            B: stubs(at_other(Caller(f"user:{B}")), PermissionServiceStub, OwnersServiceStub),
        }

        async def outcome(call: object) -> str:
            try:
                await call  # type: ignore[misc] # any call
            except aio.AioRpcError as error:
                return remote_error(error).code
            return ""

        def removal(who: str, whom: str) -> object:
            key = permission_id(Subject(whom), Target(site))
            return doors[who].RevokePermission(
                permissions_pb2.RevokePermissionRequest(permission_id=key)
            )

        def blocking(who: str, whom: str) -> object:
            return doors[who].BlockUserAtInstallation(
                owners_pb2.BlockUserAtInstallationRequest(installation_id=site, user_id=whom)
            )

        for number in range(ROUNDS):
            act = blocking if number % 3 == 0 else removal
            results = await asyncio.gather(outcome(act(A, B)), outcome(removal(B, A)))
            [left] = still_owning(one, site)
            [lost] = [code for code in results if code]
            assert lost in LOST
            gone = B if left == A else A
            with contextlib.suppress(ChargekeyError):
                one.owners.unblock_user_at_installation(
                    by(left), installation_id=site, user_id=gone
                )
            await doors[left].GrantPermission(
                permissions_pb2.GrantPermissionRequest(
                    installation_id=site,
                    user_id=gone,
                    roles=[permissions_pb2.ROLE_OWNER, permissions_pb2.ROLE_USER],
                )
            )


# A process of its own: it says that it is there, and acts whenever it is told whom to remove.
PROCESS = """
import json, sys
from chargekey_access.application.permissions import Permissions
from chargekey_access.domain.events import EVENTS
from chargekey_access.projections.directory import Directory
from chargekey_common.errors import ChargekeyError
from chargekey_common.eventstore.store import Context, EventStore
from chargekey_common.postgres import Postgres

dsn, schema, who = sys.argv[1:]
store = EventStore("access", Postgres(dsn, schema), EVENTS)
directory = Directory(store)
permissions = Permissions(store, directory)
with directory.caught_up():
    pass
print("ready", flush=True)
for number, permission_id in enumerate(map(str.strip, sys.stdin)):
    try:
        permissions.revoke_permission(
            Context(f"user:{who}", f"{who}-{number}"), permission_id=permission_id
        )
        print("", flush=True)
    except ChargekeyError as error:
        print(error.code, flush=True)
store.close()
"""


def test_from_two_processes_two_owners_who_remove_each_other_leave_one(
    postgres: Postgres,
) -> None:
    """R6, on PostgreSQL: a file belongs to one process."""
    store = opened(postgres)
    access = Access(store)
    site = a_site(access, A, B)
    with contextlib.ExitStack() as closing:
        closing.callback(store.close)
        processes = {}
        for who in (A, B):
            process = subprocess.Popen(
                [sys.executable, "-c", PROCESS, postgres.dsn, postgres.schema, who],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            processes[who] = closing.enter_context(process)
            closing.callback(process.kill)
        told = {who: iter(process.stdout or ()) for who, process in processes.items()}
        assert [next(told[who]).strip() for who in (A, B)] == ["ready", "ready"]
        for _ in range(ROUNDS):
            for who, whom in ((A, B), (B, A)):
                stdin = processes[who].stdin
                assert stdin is not None
                stdin.write(permission_id(Subject(whom), Target(site)) + "\n")
                stdin.flush()
            results = [next(told[who]).strip() for who in (A, B)]
            [left] = still_owning(access, site)
            assert sorted(map(bool, results)) == [False, True]
            gone = B if left == A else A
            access.permissions.grant_permission(
                by(left),
                target=Target(site),
                subject=Subject(gone),
                roles=["OWNER", "USER"],
                valid_until="",
            )
