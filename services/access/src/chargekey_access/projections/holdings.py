"""Who holds what: permissions, owners, blocks at installations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from chargekey_access.domain import owners, permission
from chargekey_access.domain.errors import PermissionUnknownError, UserUnknownError
from chargekey_access.domain.events import (
    OwnersEvent,
    OwnershipOffered,
    PermissionEvent,
    Role,
    UserBlockedAtInstallation,
    UserForgotten,
)
from chargekey_access.domain.owners import NOBODY, Owners
from chargekey_access.domain.permission import Permission, Subject, Target
from chargekey_common.eventstore.projection import CaughtUp


class Holdings:
    """Answers about who holds what on which target."""

    def __init__(self, caught_up: CaughtUp) -> None:
        self._caught_up = caught_up
        self._permissions: dict[str, Permission] = {}
        # By numbers, which tell the order that pages keep.
        self._of_target: dict[Target, dict[str, int]] = defaultdict(dict)
        self._of_subject: dict[Subject, dict[str, None]] = defaultdict(dict)
        # By installation, for good: the past is told by their names.
        self._partners_at: dict[str, set[str]] = defaultdict(set)
        self._owners: dict[str, Owners] = {}
        # Also those whose block was lifted: pages keep their order.
        self._ever_blocked: dict[str, dict[str, None]] = defaultdict(dict)
        self._local_users: dict[str, str] = {}
        self._offered: set[str] = set()
        self._forgotten: set[str] = set()

    def permission(self, permission_id: str) -> Permission:
        """Return a permission, also one that was revoked; raises PermissionUnknownError."""
        with self._caught_up():
            if permission_id not in self._permissions:
                raise PermissionUnknownError
            return self._permissions[permission_id]

    def on(self, target: Target) -> Sequence[tuple[str, Permission]]:
        """Return the permissions that hold on exactly this target, with their ids."""
        with self._caught_up():
            return self._holding(self._of_target.get(target, {}))

    def of(self, subject: Subject) -> Sequence[tuple[str, Permission]]:
        """Return the permissions that a subject holds anywhere, with their ids."""
        with self._caught_up():
            return self._holding(self._of_subject.get(subject, {}))

    def ever_on(self, target: Target) -> Sequence[str]:
        """Return the permissions there are or once were on this target, by id, oldest first."""
        with self._caught_up():
            return list(self._of_target.get(target, ()))

    def ever_on_of(self, target: Target, subjects: Iterable[Subject]) -> Sequence[str]:
        """Return those of them that one of the subjects holds or once held."""
        with self._caught_up():
            theirs = {key for each in subjects for key in self._of_subject.get(each, ())}
            here = self._of_target.get(target, {})
            return sorted(theirs & here.keys(), key=here.__getitem__)

    def ever_of(self, subject: Subject) -> Sequence[str]:
        """Return the permissions that a subject holds or once held, by id, oldest first."""
        with self._caught_up():
            return list(self._of_subject.get(subject, ()))

    def partners_ever_at(self, installation_id: str) -> AbstractSet[str]:
        """Return the partners that hold or held anything there or at a charger of it, by id."""
        with self._caught_up():
            return frozenset(self._partners_at.get(installation_id, ()))

    def ever_blocked(self, installation_id: str, user_ids: Iterable[str] = ()) -> Sequence[str]:
        """Return who is or once was blocked there, by id, in the order it came to that.

        Of these alone where any are named.
        """
        wanted = frozenset(user_ids)
        with self._caught_up():
            ever = self._ever_blocked.get(installation_id, ())
            return [each for each in ever if not wanted or each in wanted]

    def roles(self, subject: Subject, target: Target, *, now: int) -> AbstractSet[Role]:
        """Return what the subject holds on the target and, for a charger, above it (R4).

        A role counts until its permission ends; `now` in nanoseconds since the epoch.
        """
        above = Target(target.installation_id)
        return {
            role
            for _, held in self.of(subject)
            if held.target in (target, above) and held.counts(now=now)
            for role in held.roles
        }

    def installations(self, subject: Subject, *, now: int) -> AbstractSet[str]:
        """Return where the subject holds anything, on the installation or a charger of it."""
        return {held.target.installation_id for _, held in self.of(subject) if held.counts(now=now)}

    def owners(self, installation_id: str) -> Owners:
        """Return who owns an installation, and who is blocked there."""
        with self._caught_up():
            return self._owners.get(installation_id, NOBODY)

    def invited_at(self, user_id: str) -> Sequence[str]:
        """Return the installations that he owns and has yet to accept."""
        with self._caught_up():
            return [site for site, known in self._owners.items() if user_id in known.invited]

    def home_of(self, user_id: str) -> str | None:
        """Return the installation a LOCAL user belongs to; None for everybody else."""
        with self._caught_up():
            return self._local_users.get(user_id)

    def require_user(self, user_id: str) -> None:
        """Return where anybody of this id was ever given or offered anything.

        Raises UserUnknownError.
        """
        with self._caught_up():
            if Subject(user_id) not in self._of_subject and user_id not in self._offered:
                raise UserUnknownError

    def is_forgotten(self, user_id: str) -> bool:
        """Return whether the user is to be given nothing any more (R20)."""
        with self._caught_up():
            return user_id in self._forgotten

    def apply(self, key: str, event: PermissionEvent | OwnersEvent | UserForgotten) -> None:
        """Take in one event."""
        if isinstance(event, UserForgotten):
            self._forgotten.add(event.user_id)
        elif isinstance(event, OwnersEvent):
            site = event.installation_id
            self._owners[site] = owners.evolve(self._owners.get(site), event)
            if isinstance(event, UserBlockedAtInstallation):
                self._ever_blocked[site][event.user_id] = None
            elif isinstance(event, OwnershipOffered):
                self._offered.add(event.to_user_id)
        else:
            held = permission.evolve(self._permissions.get(key), event)
            self._permissions[key] = held
            ever_there = self._of_target[held.target]
            ever_there.setdefault(key, len(ever_there))
            self._of_subject[held.subject][key] = None
            if held.subject.partner_id is not None:
                self._partners_at[held.target.installation_id].add(held.subject.partner_id)
            if held.local and held.subject.user_id is not None:
                self._local_users.setdefault(held.subject.user_id, held.target.installation_id)

    def _holding(self, keys: Iterable[str]) -> Sequence[tuple[str, Permission]]:
        found = ((key, self._permissions[key]) for key in keys)
        return [(key, held) for key, held in found if held.holds]
