"""Partners and their members."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from chargekey_access.domain import partner
from chargekey_access.domain.errors import PartnerUnknownError
from chargekey_access.domain.events import PartnerEvent
from chargekey_access.domain.partner import Partner
from chargekey_common.eventstore.projection import CaughtUp


class Partners:
    """Answers about organisations, and who is in them."""

    def __init__(self, caught_up: CaughtUp) -> None:
        self._caught_up = caught_up
        self._partners: dict[str, Partner] = {}
        self._by_lookup_key: dict[str, str] = {}
        self._of_user: dict[str, dict[str, None]] = defaultdict(dict)
        # Also those who left: pages keep their order.
        self._ever_in: dict[str, dict[str, None]] = defaultdict(dict)

    def partner(self, partner_id: str) -> Partner:
        """Return the partner; raises PartnerUnknownError."""
        with self._caught_up():
            return partner.existing(self._partners.get(partner_id))

    def partner_ids(self) -> Sequence[str]:
        """Return the ids of all of them, oldest first."""
        with self._caught_up():
            return list(self._partners)

    def ever_in(self, partner_id: str) -> Sequence[str]:
        """Return who is or once was a member, by user id, in the order they first came.

        Raises PartnerUnknownError.
        """
        self.partner(partner_id)
        with self._caught_up():
            return list(self._ever_in.get(partner_id, ()))

    def find(self, lookup_key: str) -> str:
        """Return the id of the partner with this canonical key; raises PartnerUnknownError."""
        with self._caught_up():
            if lookup_key not in self._by_lookup_key:
                raise PartnerUnknownError
            return self._by_lookup_key[lookup_key]

    def of_user(self, user_id: str) -> Mapping[str, bool]:
        """Return the partners a user is in, by id, each with whether he manages it."""
        with self._caught_up():
            mine = self._of_user.get(user_id, {})
            return {key: self._partners[key].members[user_id] for key in mine}

    def apply(self, key: str, event: PartnerEvent) -> None:
        """Take in one event."""
        before = self._partners.get(key)
        after = partner.evolve(before, event)
        self._partners[key] = after
        if before is not None and self._by_lookup_key.get(before.lookup_key) == key:
            del self._by_lookup_key[before.lookup_key]
        self._by_lookup_key[after.lookup_key] = key
        was = frozenset() if before is None else before.members.keys()
        for user_id in after.members.keys() - was:
            self._of_user[user_id][key] = None
            self._ever_in[key][user_id] = None
        for user_id in was - after.members.keys():
            del self._of_user[user_id][key]
