"""What can be done in access, as a table of contents.

Commands get a `Work` (see chargekey_common.eventstore.store) and are called with
the caller's `Context` in its place; they block, and answer result and position.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping, Sequence

from chargekey_access.domain import charger, installation, owners, permission, rules
from chargekey_access.domain.errors import LocalUserElsewhereError, ObjectMalformedError
from chargekey_access.domain.events import IdentificationType, Override, Role
from chargekey_access.domain.permission import Target
from chargekey_access.projections.directory import Directory
from chargekey_common import local_days, names
from chargekey_common.accounts import Caller
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.errors import NotFoundError
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import EventStore, Reaction, Work, command
from chargekey_common.positions import Position
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.published.identity import LocalUserAdded

# The reactions that can be waited for, each with the event it follows.
REACTIONS: Mapping[str, type[PublishedEvent]] = {"access-on-local-user-added": LocalUserAdded}

_NAMESPACE = uuid.UUID("0f6c7c0e-51a1-5a3c-8f0e-8a3c2f6f1d21")

_OBJECT = re.compile(r"system|(?:installation|charger|permission):.*", re.DOTALL)


def _derived_id(kind: str, *parts: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "/".join((kind, *parts))))


class Access:
    """The application: every command of the service, and the one question of the rules."""

    def __init__(
        self, store: EventStore, directory: Directory, passwords: ChargerPasswords
    ) -> None:
        self.store = store
        self.directory = directory
        self._passwords = passwords

    @command
    def create_installation(self, work: Work, *, name: str, time_zone: str) -> str:
        """Create a site and return its id."""
        zone = local_days.time_zone(time_zone).key
        site = work.load(installation.evolve, new_id())
        work.record(site, *installation.create(name=names.name(name), time_zone=zone))
        return site.id

    @command
    def set_authorisation_required(
        self, work: Work, *, installation_id: str, required: bool
    ) -> None:
        """Open or restrict a site."""
        site = work.load(installation.evolve, installation_id)
        work.record(site, *installation.set_authorisation_required(site.state, required=required))

    @command
    def add_charger(self, work: Work, *, installation_id: str, ocpp_identity: str) -> str:
        """Register a charger and return its id, which follows from its OCPP identity."""
        installation.existing(work.load(installation.evolve, installation_id).state)
        identity = charger.ocpp_identity(ocpp_identity)
        loaded = work.load(charger.evolve, _derived_id("charger", identity))
        password = self.password(loaded.id, work.cause)
        events = charger.add(
            loaded.state,
            installation_id=installation_id,
            ocpp_identity=identity,
            password_hash=self._passwords.hash(loaded.id, password),
        )
        work.record(loaded, *events)
        return loaded.id

    def password(self, charger_id: str, command_id: str) -> str:
        """Return the password that adding this charger by this command gave it."""
        return self._passwords.derive(charger_id, command_id)

    @command
    def set_authorisation_override(
        self, work: Work, *, charger_id: str, override: Override
    ) -> None:
        """Let a charger deviate from its installation."""
        loaded = work.load(charger.evolve, charger_id)
        work.record(loaded, *charger.set_authorisation_override(loaded.state, override))

    @command
    def set_identification_types(
        self, work: Work, *, charger_id: str, types: Sequence[IdentificationType]
    ) -> None:
        """Say what a charger accepts."""
        loaded = work.load(charger.evolve, charger_id)
        work.record(loaded, *charger.set_identification_types(loaded.state, types))

    @command
    def grant_permission(
        self, work: Work, *, target: Target, user_id: str, roles: Sequence[Role], valid_until: str
    ) -> str:
        """Give a user exactly these roles on the target; return the permission's id."""
        site = installation.existing(work.load(installation.evolve, target.installation_id).state)
        if self.directory.home_of(user_id) != target.installation_id:
            raise LocalUserElsewhereError
        end = local_days.end_of(valid_until, site.time_zone, now=work.at)
        return self._grant(work, target, user_id, roles, end, local=True)

    @command
    def revoke_permission(self, work: Work, *, permission_id: str) -> None:
        """Take a permission away."""
        held = work.load(permission.evolve, permission_id)
        events = permission.revoke(held.state)
        work.record(held, *events)
        state = permission.existing(held.state)
        self._change_owner(work, state.target, state.user_id, owns=False)

    def react_to_local_user_added(self, event: LocalUserAdded, reaction: Reaction) -> Position:
        """Let a new local user charge at the own installation; never a second time."""
        target = Target(event.installation_id)

        def decide(work: Work) -> None:
            held = work.load(permission.evolve, _permission_id(event.user_id, target))
            if held.state is None:
                self._grant(work, target, event.user_id, ["USER"], None, local=True)

        return self.store.react(reaction, decide)

    def allowed(self, caller: Caller, action: str, obj: str) -> bool:
        """Whether the caller may do `action` to `obj` (`installation:<id>`, ..., `system`).

        People may nothing to what does not exist, so they hear of it what they hear of
        what others have. Raises ObjectMalformedError.
        """
        if _OBJECT.fullmatch(obj) is None:
            raise ObjectMalformedError
        kind, _, name = caller.partition(":")
        if kind != "user":
            return rules.allowed(kind, name, action, frozenset())
        try:
            target = self._target(obj)
        except NotFoundError:
            return False
        if target is None:
            return False
        roles = self.directory.roles(name, target, now=time.time_ns())
        return rules.allowed(kind, name, action, roles)

    def _target(self, obj: str) -> Target | None:
        kind, _, key = obj.partition(":")
        match kind:
            case "installation":
                return Target(key)
            case "charger":
                return Target(self.directory.charger(key).installation_id, key)
            case "permission":
                return self.directory.target_of(key)
            case _:
                return None

    def _grant(
        self,
        work: Work,
        target: Target,
        user_id: str,
        roles: Sequence[Role],
        valid_until: int | None,
        *,
        local: bool,
    ) -> str:
        held = work.load(permission.evolve, _permission_id(user_id, target))
        events = permission.grant(
            held.state,
            target=target,
            user_id=user_id,
            roles=roles,
            valid_until=valid_until,
            local=local,
        )
        work.record(held, *events)
        self._change_owner(work, target, user_id, owns="OWNER" in roles)
        return held.id

    def _change_owner(self, work: Work, target: Target, user_id: str, *, owns: bool) -> None:
        """Keep the owners of an installation in step with its permissions, in the same save."""
        if target.charger_id is not None:
            return
        loaded = work.load(owners.evolve, _derived_id("owners", target.installation_id))
        events = owners.change(
            loaded.state, installation_id=target.installation_id, user_id=user_id, owns=owns
        )
        work.record(loaded, *events)


def _permission_id(user_id: str, target: Target) -> str:
    """One permission per subject and target, so that granting twice meets itself."""
    return _derived_id("permission", user_id, target.installation_id, target.charger_id or "")
