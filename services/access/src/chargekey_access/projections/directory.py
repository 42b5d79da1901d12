"""What there is: installations, chargers, permissions, as access's own events tell it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from chargekey_access.domain import charger, installation, permission
from chargekey_access.domain.charger import Charger
from chargekey_access.domain.errors import (
    ChargerUnknownError,
    PermissionUnknownError,
    UserUnknownError,
)
from chargekey_access.domain.events import (
    AuthorisationOverrideSet,
    AuthorisationRequiredSet,
    ChargerAdded,
    IdentificationTypesSet,
    InstallationCreated,
    PermissionChanged,
    PermissionGranted,
    PermissionRevoked,
    Role,
)
from chargekey_access.domain.installation import Installation
from chargekey_access.domain.permission import Permission, Target
from chargekey_common.eventstore.projection import Projection
from chargekey_common.eventstore.records import Record
from chargekey_common.eventstore.store import EventStore


class Directory(Projection):
    """Answers about what stands where, and who holds what on it."""

    def __init__(self, store: EventStore) -> None:
        super().__init__(store)
        self._installations: dict[str, Installation] = {}
        self._chargers: dict[str, Charger] = {}
        self._by_identity: dict[str, str] = {}
        self._permissions: dict[str, Permission] = {}
        self._of_target: dict[Target, dict[str, None]] = defaultdict(dict)
        self._of_user: dict[str, dict[str, None]] = defaultdict(dict)
        self._local_users: dict[str, str] = {}

    def installation(self, installation_id: str) -> Installation:
        """Return the installation; raises InstallationUnknownError."""
        with self.caught_up():
            return installation.existing(self._installations.get(installation_id))

    def installations(self) -> Sequence[tuple[str, Installation]]:
        """Return all of them with their ids, oldest first."""
        with self.caught_up():
            return list(self._installations.items())

    def charger(self, charger_id: str) -> Charger:
        """Return the charger; raises ChargerUnknownError."""
        with self.caught_up():
            return charger.existing(self._chargers.get(charger_id))

    def charger_id(self, ocpp_identity: str) -> str:
        """Return the id of the charger that connects so; raises ChargerUnknownError."""
        with self.caught_up():
            if ocpp_identity not in self._by_identity:
                raise ChargerUnknownError
            return self._by_identity[ocpp_identity]

    def chargers(self, installation_id: str) -> Sequence[tuple[str, Charger]]:
        """Return an installation's chargers with their ids; raises InstallationUnknownError."""
        self.installation(installation_id)
        with self.caught_up():
            return [
                (charger_id, state)
                for charger_id, state in self._chargers.items()
                if state.installation_id == installation_id
            ]

    def target_of(self, permission_id: str) -> Target:
        """Return what a permission is or was on; raises PermissionUnknownError."""
        with self.caught_up():
            if permission_id not in self._permissions:
                raise PermissionUnknownError
            return self._permissions[permission_id].target

    def permissions(self, target: Target) -> Sequence[tuple[str, Permission]]:
        """Return the permissions that hold on exactly this target."""
        with self.caught_up():
            found = [(key, self._permissions[key]) for key in self._of_target.get(target, ())]
            return [(key, state) for key, state in found if state.holds]

    def home_of(self, user_id: str) -> str:
        """Return the installation a LOCAL user belongs to; raises UserUnknownError."""
        with self.caught_up():
            if user_id not in self._local_users:
                raise UserUnknownError
            return self._local_users[user_id]

    def require_user(self, user_id: str) -> None:
        """Return where anybody of this id ever had a permission; raises UserUnknownError."""
        with self.caught_up():
            if user_id not in self._of_user:
                raise UserUnknownError

    def roles(self, user_id: str, target: Target, *, now: int) -> AbstractSet[Role]:
        """Return what the user holds on the target and, for a charger, above it (R4)."""
        above = Target(target.installation_id)
        with self.caught_up():
            return {
                role
                for key in self._of_user.get(user_id, ())
                if (state := self._permissions[key]).target in (target, above)
                and (state.valid_until is None or now < state.valid_until)
                for role in state.roles
            }

    def apply(self, record: Record) -> None:
        """Take in one event."""
        key, event = record.originator_id, record.event
        match event:
            case InstallationCreated() | AuthorisationRequiredSet():
                self._installations[key] = installation.evolve(self._installations.get(key), event)
            case ChargerAdded() | AuthorisationOverrideSet() | IdentificationTypesSet():
                state = charger.evolve(self._chargers.get(key), event)
                self._chargers[key] = state
                self._by_identity[state.ocpp_identity] = key
            case PermissionGranted() | PermissionChanged() | PermissionRevoked():
                held = permission.evolve(self._permissions.get(key), event)
                self._permissions[key] = held
                self._of_target[held.target][key] = None
                self._of_user[held.user_id][key] = None
                if held.local:
                    self._local_users.setdefault(held.user_id, held.target.installation_id)
            case _:
                pass  # owners are asked about through their permissions
