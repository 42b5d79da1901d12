"""What a partner sees: by which roles it has access where, and what it is told of that at once.

A look changes nothing. What is seen is a mapping of things to the event that tells of each, so
that two looks, before a change of access and after it, differ by just what has to be told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from chargekey_common.published import feed
from chargekey_common.published.access import Role
from chargekey_common.published.feed import FeedEvent
from chargekey_notifier.feeds.memory import (
    Charger,
    Identification,
    Memory,
    Permission,
    Scope,
    Session,
    Site,
)
from chargekey_notifier.feeds.translating import told

ANY: AbstractSet[Role] = frozenset({"OWNER", "USER", "SERVICE", "OPERATOR"})
# Whom users' permissions and refusals are told to.
CARE: AbstractSet[Role] = frozenset({"OWNER", "SERVICE", "OPERATOR"})
# Whom what users present, their blocks and their sessions are told to.
PEOPLE: AbstractSet[Role] = frozenset({"OWNER", "OPERATOR"})

Things = Mapping[str, FeedEvent]


class Sight:
    """Looks at a memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def partners(
        self,
        installation_id: str,
        charger_id: str | None,
        by: AbstractSet[Role],
        *,
        at: int | None = None,
    ) -> Sequence[str]:
        """Return who has access by one of these roles to the charger, or to the site.

        With `at`, only who had it already then: of what is told again.
        """
        found = {
            scope.partner_id: None
            for scope in self._memory.scopes.where("installation_id", installation_id)
            if _covers(scope, charger_id) and by & set(scope.roles)
            if at is None or scope.since <= at
        }
        return sorted(found)

    def anywhere_at(self, installation_id: str) -> Sequence[str]:
        """Return who has access to the site, or to any charger of it."""
        scopes = self._memory.scopes.where("installation_id", installation_id)
        return sorted({scope.partner_id for scope in scopes if scope.ended_by is None})

    def sees(
        self, partner_id: str, installation_id: str, charger_id: str | None, by: AbstractSet[Role]
    ) -> bool:
        """Whether the partner has access there by one of these roles."""
        return any(
            scope.partner_id == partner_id and _covers(scope, charger_id) and by & set(scope.roles)
            for scope in self._memory.scopes.where("installation_id", installation_id)
        )

    def known_at(self, partner_id: str, user_id: str) -> AbstractSet[str]:
        """Return the sites where the user holds something that the partner knows him by."""
        return {
            permission.installation_id
            for permission in self._memory.permissions.where("user_id", user_id)
            if self.sees(partner_id, permission.installation_id, permission.charger_id, PEOPLE)
        }

    def who_knows(self, user_id: str, installation_id: str | None = None) -> Sequence[str]:
        """Return who knows the user from the site, or from any."""
        return sorted(
            {
                partner_id
                for permission in self._memory.permissions.where("user_id", user_id)
                if installation_id in {None, permission.installation_id}
                for partner_id in self.partners(
                    permission.installation_id, permission.charger_id, PEOPLE
                )
            }
        )

    def user(self, partner_id: str, user_id: str) -> Things:
        """Return what the partner sees of the user: what he presents, and how he is blocked."""
        known_at = self.known_at(partner_id, user_id)
        if not known_at:
            return {}
        everywhere = {None, *known_at}
        return {
            **{
                f"identification {each.id}": identification_added(each)
                for each in self._memory.identifications.where("user_id", user_id)
                if each.installation_id in everywhere
            },
            **{
                f"block {user_id} {each.installation_id}": told(each, "UserBlocked")
                for each in self._memory.user_blocks.where("user_id", user_id)
                if each.installation_id in everywhere
            },
            **{
                f"block at {each.installation_id} {user_id}": told(
                    each, "UserBlockedAtInstallation"
                )
                for each in self._memory.site_blocks.where("user_id", user_id)
                if each.installation_id in known_at
            },
        }

    def charger(self, charger: Charger) -> Things:
        """Return the charger, whether it is online, and its connectors."""
        key = f"charger {charger.id}"
        there = {"installation_id": charger.installation_id, "charger_id": charger.id}
        found: dict[str, FeedEvent] = {key: charger_added(charger)}
        connection = self._memory.connections.get(charger.id)
        if connection is None:
            return found
        if connection.ocpp_version is not None:
            found[f"{key} online"] = feed.ChargerConnected(
                **there, ocpp_version=connection.ocpp_version
            )
        for connector, (status, error_code) in sorted(connection.connectors.items()):
            found[f"{key} connector {connector}"] = feed.ConnectorStatusChanged(
                **there, connector=connector, status=status, error_code=error_code
            )
        return found

    def site(self, partner_id: str, installation_id: str) -> Things:
        """Return all that the partner sees there, in the order in which it is to be told."""
        if partner_id not in self.anywhere_at(installation_id):
            return dict(self._sessions(partner_id, installation_id))
        found: dict[str, FeedEvent] = dict(self._settings(partner_id, installation_id))
        for charger in self._memory.chargers.where("installation_id", installation_id):
            if self.sees(partner_id, installation_id, charger.id, ANY):
                found.update(self.charger(charger))
        users: dict[str, None] = {}
        for permission in self._memory.permissions.where("installation_id", installation_id):
            if self.sees(partner_id, installation_id, permission.charger_id, CARE):
                users[permission.user_id] = None
                found[f"permission {permission.id}"] = permission_granted(permission)
        for user_id in users:
            found.update(self.user(partner_id, user_id))
        found.update(self._sessions(partner_id, installation_id))
        return found

    def _sessions(self, partner_id: str, installation_id: str) -> Iterator[tuple[str, FeedEvent]]:
        """Yield those that run, also what is awaited of those that were seen once."""
        awaited = {
            session_id
            for scope in self._memory.scopes.where("installation_id", installation_id)
            if scope.partner_id == partner_id
            for session_id in scope.awaits
        }
        manages = self.manages(partner_id, installation_id)
        for session in self._memory.sessions.where("installation_id", installation_id):
            if session.id in awaited or self.sees(
                partner_id, installation_id, session.charger_id, PEOPLE
            ):
                started = session_started(session, to_its_operator=manages)
                yield f"session {session.id}", started

    def manages(self, partner_id: str, installation_id: str) -> bool:
        """Whether the partner is the operator that manages the site."""
        site = self._memory.sites.get(installation_id)
        return site is not None and site.managed_by == partner_id

    def _settings(self, partner_id: str, installation_id: str) -> Iterator[tuple[str, FeedEvent]]:
        site = self._memory.sites.get(installation_id) or Site(id=installation_id)
        key = f"site {installation_id}"
        here = {"installation_id": installation_id}
        yield f"{key} authorisation required", told(site, "AuthorisationRequiredSet", **here)
        yield f"{key} authentication type", told(site, "AuthenticationTypeSet", **here)
        yield f"{key} policies", told(site, "PoliciesSet", **here)
        if site.managed_by == partner_id:
            yield f"{key} operator", told(site, "OperatorConnected", **here)
        if site.managed_by is not None:
            yield f"{key} overrides allowed", told(site, "OverridesAllowedSet", **here)


def _covers(scope: Scope, charger_id: str | None) -> bool:
    """Whether it is open, and about this charger, or about the whole site."""
    return scope.ended_by is None and scope.charger_id in {None, charger_id}


def charger_added(charger: Charger) -> FeedEvent:
    """Tell of a charger as it is."""
    return told(charger, "ChargerAdded", charger_id=charger.id)


def permission_granted(permission: Permission) -> FeedEvent:
    """Tell of a permission as it is."""
    return told(permission, "PermissionGranted", permission_id=permission.id)


def identification_added(identification: Identification) -> FeedEvent:
    """Tell of an identification as it is."""
    return told(identification, "IdentificationAdded", identification_id=identification.id)


def session_started(session: Session, *, to_its_operator: bool) -> FeedEvent:
    """Tell of a start; what its operator said of it is told to that alone."""
    return told(
        session,
        "SessionStarted",
        session_id=session.id,
        authorization_reference=session.authorization_reference if to_its_operator else None,
        by_operator=session.by_operator and to_its_operator,
    )
