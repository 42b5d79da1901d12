"""People, partners and what they hold, put into the store as if it had come about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from grpc import aio

from chargekey.access.v1.chargers_pb2_grpc import ChargerServiceStub
from chargekey.access.v1.installations_pb2_grpc import InstallationServiceStub
from chargekey_access.application import holding
from chargekey_access.domain.events import PartnerKind, Role
from chargekey_access.domain.permission import Subject, SubjectKind, Target
from chargekey_common.accounts import Caller
from chargekey_common.eventstore.store import Work
from chargekey_common.testing.grpc import stubs

from .conftest import Access
from .given import a_partner, now


def done(access: Access, decide: Callable[[Work], Any]) -> Any:
    """Save what a decision records, and return its result."""
    return access.store.execute("done", Any, now(), decide).result


def given(
    access: Access,
    subject: Subject,
    target: Target,
    *roles: Role,
    kind: SubjectKind = "PERSON",
    valid_until: int | None = None,
) -> str:
    """Let a subject hold these roles there."""
    return str(
        done(
            access,
            lambda work: holding.give(
                work,
                target=target,
                subject=subject,
                kind=kind,
                roles=roles,
                valid_until=valid_until,
            ),
        )
    )


def taken(access: Access, subject: Subject, target: Target) -> None:
    """Take away what a subject holds there."""
    done(access, lambda work: holding.take(work, holding.held(work, subject, target)))


def a_partner_called(
    access: Access,
    key: str,
    *members: str,
    kind: PartnerKind = "PAYMENT_OPERATOR",
    lookup_key: str = "VOLT",
) -> Subject:
    """Make a partner under this id with these members, of whom none manages it."""
    joined = dict.fromkeys(members, False)
    a_partner(access, kind, partner_id=key, key=lookup_key, members=joined)
    return Subject(partner_id=key)


def events(access: Access) -> Sequence[Any]:
    """Return everything that happened, in order."""
    return [record.event for _, record, _ in access.store.read(0, 10_000)]


class Callers:
    """Everybody's stubs of the services about sites."""

    def __init__(self, as_caller: Callable[[Caller], aio.Channel]) -> None:
        self._as_caller = as_caller
        self._stubs: dict[str, Any] = {}

    def __getitem__(self, caller: str) -> Any:
        """Return the stubs of `user:ada`, `partner:volt`, `administrator:local` ..."""
        if caller not in self._stubs:
            channel = self._as_caller(Caller(caller))
            self._stubs[caller] = stubs(channel, InstallationServiceStub, ChargerServiceStub)
        return self._stubs[caller]
