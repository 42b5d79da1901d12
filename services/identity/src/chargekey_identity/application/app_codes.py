"""What the portal starts sessions with: the code of a user's own APP identification."""

from __future__ import annotations

from chargekey_common.eventstore.store import EventStore
from chargekey_identity.domain import identification
from chargekey_identity.domain.errors import AppMissingError, UserBlockedError
from chargekey_identity.projections.directory import Directory


class AppCodes:
    """Reads them for the gateway, which presents one in its user's name and forgets it."""

    def __init__(self, store: EventStore, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    def reveal(self, user_id: str) -> tuple[str, str]:
        """Return the id and the code of the identification; nothing is recorded.

        Its user is shown neither. Raises UserUnknownError, UserBlockedError, or
        AppMissingError for whoever has no account, or none of these any more.
        """
        if self._directory.user(user_id).blocked_everywhere:
            raise UserBlockedError
        for key, held in self._directory.identifications(user_id):
            if held.type == "APP":
                state = self._store.load(identification.evolve, key).state
                return key, identification.readable(state).code.text
        raise AppMissingError
