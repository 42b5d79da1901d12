"""Requests for access, and what became of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import msgspec

from chargekey_access.domain import access_request
from chargekey_access.domain.access_request import AccessRequest
from chargekey_access.domain.events import AccessRequestEvent
from chargekey_access.domain.permission import Subject
from chargekey_common.eventstore.projection import CaughtUp


class Asked(msgspec.Struct, frozen=True):
    """A request with its id and when it was made, in nanoseconds since the epoch."""

    id: str
    at: int
    request: AccessRequest


class AccessRequests:
    """Answers about who asked for what."""

    def __init__(self, caught_up: CaughtUp) -> None:
        self._caught_up = caught_up
        self._requests: dict[str, AccessRequest] = {}
        self._asked_at: dict[str, int] = {}
        self._of_installation: dict[str, list[str]] = defaultdict(list)
        self._of_partner: dict[str, list[str]] = defaultdict(list)
        self._partners_at: dict[str, set[str]] = defaultdict(set)

    def access_request(self, access_request_id: str) -> Asked:
        """Return the request; raises AccessRequestUnknownError."""
        with self._caught_up():
            state = access_request.existing(self._requests.get(access_request_id))
            return Asked(access_request_id, self._asked_at[access_request_id], state)

    def ever_at(self, installation_id: str) -> Sequence[str]:
        """Return the requests that were ever made of an installation, by id, oldest first."""
        with self._caught_up():
            return list(self._of_installation.get(installation_id, ()))

    def partners_ever_at(self, installation_id: str) -> AbstractSet[str]:
        """Return the partners that such a request was ever made for, by id."""
        with self._caught_up():
            return frozenset(self._partners_at.get(installation_id, ()))

    def ever_of(self, partner_id: str) -> Sequence[str]:
        """Return the requests that were ever made for a partner, by id, oldest first."""
        with self._caught_up():
            return list(self._of_partner.get(partner_id, ()))

    def waiting_of(self, subject: Subject) -> Sequence[str]:
        """Return the ids of a subject's requests that nobody has answered."""
        with self._caught_up():
            found = self._requests.items()
            return [key for key, each in found if each.subject == subject and each.answer is None]

    def apply(self, key: str, event: AccessRequestEvent, at: int) -> None:
        """Take in one event of the time `at`."""
        before = self._requests.get(key)
        self._requests[key] = after = access_request.evolve(before, event)
        if before is None:
            self._asked_at[key] = at
            partner_id = after.subject.partner_id
            if after.installation_id is not None:
                self._of_installation[after.installation_id].append(key)
            if partner_id is not None:
                self._of_partner[partner_id].append(key)
            if after.installation_id is not None and partner_id is not None:
                self._partners_at[after.installation_id].add(partner_id)
