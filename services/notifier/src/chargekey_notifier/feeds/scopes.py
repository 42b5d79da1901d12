"""What each partner is told of an event, and how the event changes who is told of the next.

Pure but for the memory it changes: no clock, no database, no bus. The ids of what is told follow
from the event that makes it be told, so a replay tells the same under the same ids.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from chargekey_common.published import access, chargers, feed, identity, sessions
from chargekey_common.published.access import Role
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.published.feed import FeedEvent
from chargekey_notifier.feeds.memory import (
    Charger,
    Connection,
    Identification,
    Memory,
    Mention,
    Permission,
    Scope,
    Session,
    Site,
    SiteBlock,
    UserBlock,
)
from chargekey_notifier.feeds.sight import ANY, CARE, PEOPLE, Sight, Things, session_started
from chargekey_notifier.feeds.store import Telling
from chargekey_notifier.feeds.translating import told

# Nanoseconds. A session whose end nobody ever tells keeps no access open for longer.
LONGEST_WAIT = 7 * 24 * 3600 * 10**9

_IDS = uuid.UUID("0a1d1f0e-7c0c-4c55-9a53-3f0f1c6d2b7e")


class Happened(msgspec.Struct, frozen=True):
    """A published event, with its CloudEvents id and time in nanoseconds since the epoch.

    `again` where its stream may have told it before: then it is told of to nobody whose
    access began later.
    """

    id: str
    at: int
    event: PublishedEvent
    again: bool = False


def derived_id(cause: str, thing: str) -> str:
    """Return the id of what is told of a thing because of that event."""
    return str(uuid.uuid5(_IDS, f"{cause} {thing}"))


class Scopes:
    """Applies events to the memory, one by one, and returns what is told by each."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._sight = Sight(memory)
        self._told: list[Telling] = []
        self._cause = ""
        self._at = 0
        # Of whose access what is told again may be, None where it is told for the first time.
        self._since: int | None = None
        self._next_end = self._earliest_end()

    def apply(self, happened: Happened) -> Sequence[Telling]:
        """Apply an event, and before it what ends by its time."""
        self._told = []
        if not happened.again:
            self._expire(happened.at)
        self._cause, self._at = happened.id, happened.at
        self._since = happened.at if happened.again else None
        match happened.event:
            case event if event.stream == "access":
                self._of_access(event)
            case event if event.stream == "identity":
                self._of_identity(event)
            case event if event.stream == "sessions":
                self._of_sessions(event)
            case event:
                self._of_chargers(event)
        return self._told

    def ends_by(self, now: int) -> bool:
        """Whether anything ends by now."""
        return self._next_end is not None and self._next_end <= now

    def expire(self, now: int) -> Sequence[Telling]:
        """End what ends by now."""
        self._told = []
        self._expire(now)
        return self._told

    def take(self, scope_id: str, cause: str, at: int) -> Sequence[Telling]:
        """Take an access because of what has this id."""
        self._told = []
        self._cause, self._at, self._since = cause, at, None
        self._take_from_partner(scope_id)
        return self._told

    # Sites.

    def _of_access(self, event: PublishedEvent) -> None:
        match event:
            case access.InstallationCreated():
                self._set_site(event.installation_id, event)
            case (
                access.AuthorisationRequiredSet()
                | access.AuthenticationTypeSet()
                | access.PoliciesSet()
                | access.OverridesAllowedSet()
            ):
                self._set_site(event.installation_id, event)
                self._tell(self._sight.anywhere_at(event.installation_id), told(event))
            case access.InstallationAddressSet():
                self._tell(self._sight.anywhere_at(event.installation_id), told(event))
            case access.OperatorConnected():
                self._set_site(event.installation_id, event, managed_by=event.partner_id)
                if self._sight.sees(event.partner_id, event.installation_id, None, ANY):
                    self._tell([event.partner_id], told(event))
                self._tell_overrides(event.installation_id, allowed=event.overrides_allowed)
            case access.OperatorDisconnected():
                self._disconnect(event.installation_id, event.partner_id, self._cause)
                self._tell_overrides(event.installation_id, allowed=True)
            case _:
                self._of_holding(event)

    def _of_holding(self, event: PublishedEvent) -> None:
        match event:
            case access.UserBlockedAtInstallation():
                block = SiteBlock(
                    id=f"{event.installation_id} {event.user_id}",
                    installation_id=event.installation_id,
                    user_id=event.user_id,
                )
                self._memory.site_blocks.put(block)
                self._tell_who_knows(event.user_id, event.installation_id, told(event))
            case access.UserUnblockedAtInstallation():
                self._memory.site_blocks.drop(f"{event.installation_id} {event.user_id}")
                self._tell_who_knows(event.user_id, event.installation_id, told(event))
            case access.PermissionGranted() | access.PermissionChanged():
                if event.partner_id is not None:
                    self._give_partner(event, event.partner_id)
                elif event.user_id is not None:
                    self._give_user(event, event.user_id)
            case access.PermissionRevoked():
                if event.partner_id is not None:
                    self._take_from_partner(event.permission_id)
                else:
                    self._take_from_user(event)
            case _:
                self._of_charger(event)

    def _of_charger(self, event: PublishedEvent) -> None:
        match event:
            case access.ChargerAdded():
                self._memory.chargers.put(
                    Charger(
                        id=event.charger_id,
                        installation_id=event.installation_id,
                        ocpp_identity=event.ocpp_identity,
                        authorisation_override=event.authorisation_override,
                        identification_types=event.identification_types,
                    )
                )
                self._tell_at(event.installation_id, event.charger_id, ANY, told(event))
            case access.AuthorisationOverrideSet():
                self._set_charger(
                    event.charger_id, authorisation_override=event.authorisation_override
                )
                self._tell_at(event.installation_id, event.charger_id, ANY, told(event))
            case access.IdentificationTypesSet():
                self._set_charger(event.charger_id, identification_types=event.identification_types)
                self._tell_at(event.installation_id, event.charger_id, ANY, told(event))
            case access.ChargerMoved():
                self._move(event)
            case _:  # the rest is nothing to partners
                pass

    def _set_site(self, installation_id: str, event: PublishedEvent, **values: object) -> None:
        known = self._memory.sites.get(installation_id) or Site(id=installation_id)
        same = {
            field: getattr(event, field)
            for field in Site.__struct_fields__
            if hasattr(event, field)
        }
        self._memory.sites.put(msgspec.structs.replace(known, **same, **values))

    def _set_charger(self, charger_id: str, **values: object) -> None:
        known = self._memory.chargers.get(charger_id)
        if known is not None:
            self._memory.chargers.put(msgspec.structs.replace(known, **values))

    def _move(self, event: access.ChargerMoved) -> None:
        saw = self._sight.partners(event.from_installation_id, event.charger_id, ANY)
        self._set_charger(
            event.charger_id,
            installation_id=event.installation_id,
            authorisation_override="INHERIT",
        )
        sees = self._sight.partners(event.installation_id, event.charger_id, ANY)
        charger = self._memory.chargers.get(event.charger_id)
        for partner_id in sorted({*saw, *sees}):
            moved = feed.ChargerMoved(
                charger_id=event.charger_id,
                installation_id=event.installation_id if partner_id in sees else None,
                from_installation_id=event.from_installation_id if partner_id in saw else None,
            )
            self._tell([partner_id], moved)
            if partner_id not in saw and charger is not None:
                self._tell_new(partner_id, {}, self._sight.charger(charger))

    # Users' permissions.

    def _give_user(
        self, event: access.PermissionGranted | access.PermissionChanged, user_id: str
    ) -> None:
        partners = self._sight.partners(event.installation_id, event.charger_id, CARE)
        before = {each: self._sight.user(each, user_id) for each in partners}
        self._memory.permissions.put(
            Permission(
                id=event.permission_id,
                installation_id=event.installation_id,
                charger_id=event.charger_id,
                user_id=user_id,
                roles=event.roles,
                valid_until=event.valid_until,
            )
        )
        self._tell(partners, told(event))
        for partner_id in partners:
            self._tell_new(partner_id, before[partner_id], self._sight.user(partner_id, user_id))

    def _take_from_user(self, event: access.PermissionRevoked) -> None:
        self._memory.permissions.drop(event.permission_id)
        self._tell_at(event.installation_id, event.charger_id, CARE, told(event))

    # Partners' access.

    def _give_partner(
        self, event: access.PermissionGranted | access.PermissionChanged, partner_id: str
    ) -> None:
        known = self._memory.scopes.get(event.permission_id)
        if known is not None and known.ended_by is not None:
            self._end(known)
            known = None
        over = event.valid_until is not None and event.valid_until <= self._at
        if known is None and over:
            return
        if known is not None and over:
            self._take(known, self._cause)
            return
        before = self._sight.site(partner_id, event.installation_id)
        if known is None:
            scope = Scope(
                id=event.permission_id,
                partner_id=partner_id,
                installation_id=event.installation_id,
                charger_id=event.charger_id,
                roles=event.roles,
                since=self._at,
                ends=event.valid_until,
            )
            self._put(scope)
            self._tell([partner_id], told(event, "AccessStarted"))
        else:
            # What it has shown of sessions it shows to their end, whatever the roles are by now.
            loses = PEOPLE & set(known.roles) and not PEOPLE & set(event.roles)
            awaits = self._running(known) if loses else known.awaits
            scope = msgspec.structs.replace(
                known, roles=event.roles, ends=event.valid_until, awaits=awaits
            )
            self._put(scope)
            if set(known.roles) != set(event.roles):
                self._tell([partner_id], told(event, "AccessChanged"))
        self._tell_new(partner_id, before, self._sight.site(partner_id, event.installation_id))

    def _take_from_partner(self, permission_id: str) -> None:
        known = self._memory.scopes.get(permission_id)
        if known is not None and known.ended_by is None:
            self._take(known, self._cause)

    def _take(self, scope: Scope, ended_by: str) -> None:
        """Take access: its end is told once the sessions it showed are over (R9)."""
        if scope.charger_id is None:
            # Told later than this, it would come behind the end.
            self._disconnect(
                scope.installation_id,
                scope.partner_id,
                derived_id(ended_by, f"site {scope.installation_id} operator"),
            )
        awaits = self._running(scope) if PEOPLE & set(scope.roles) else scope.awaits
        taken = msgspec.structs.replace(
            scope, ended_by=ended_by, awaits=awaits, ends=self._at + LONGEST_WAIT
        )
        if awaits:
            self._put(taken)
        else:
            self._end(taken)

    def _end(self, taken: Scope) -> None:
        self._memory.scopes.drop(taken.id)
        self._next_end = self._earliest_end()
        self._tell_as(taken.partner_id, taken.ended_by or self._cause, told(taken, "AccessEnded"))

    def _disconnect(self, installation_id: str, partner_id: str, event_id: str) -> None:
        if not self._sight.manages(partner_id, installation_id):
            return
        site = self._memory.sites.get(installation_id) or Site(id=installation_id)
        self._memory.sites.put(
            msgspec.structs.replace(site, managed_by=None, overrides_allowed=False)
        )
        if self._sight.sees(partner_id, installation_id, None, ANY):
            self._tell_as(
                partner_id, event_id, feed.OperatorDisconnected(installation_id=installation_id)
            )

    def _tell_overrides(self, installation_id: str, *, allowed: bool) -> None:
        """Tell what an operator that comes or goes makes of the chargers' deviations."""
        event_id = derived_id(self._cause, f"site {installation_id} overrides allowed")
        event = feed.OverridesAllowedSet(installation_id=installation_id, overrides_allowed=allowed)
        for partner_id in self._sight.anywhere_at(installation_id):
            self._tell_as(partner_id, event_id, event)

    def _running(self, scope: Scope) -> tuple[str, ...]:
        """Return the sessions that run where the access is."""
        return tuple(
            session.id
            for session in self._memory.sessions.where("installation_id", scope.installation_id)
            if scope.charger_id in {None, session.charger_id}
        )

    def _put(self, scope: Scope) -> None:
        self._memory.scopes.put(scope)
        self._next_end = self._earliest_end()

    def _earliest_end(self) -> int | None:
        return min(
            (each.ends for each in self._memory.scopes if each.ends is not None), default=None
        )

    def _expire(self, now: int) -> None:
        while self._next_end is not None and self._next_end <= now:
            ends, scope = min(
                ((each.ends, each) for each in self._memory.scopes if each.ends is not None),
                key=lambda each: (each[0], each[1].id),
            )
            self._cause, self._at, self._since = derived_id(scope.id, f"end {ends}"), ends, None
            if scope.ended_by is None:
                self._take(scope, self._cause)
            else:
                self._end(scope)

    # People.

    def _of_identity(self, event: PublishedEvent) -> None:
        match event:
            case identity.LocalUserAdded(blocked=True) | identity.UserBlocked():
                block = UserBlock(
                    id=_block_id(event.user_id, event.installation_id),
                    user_id=event.user_id,
                    installation_id=event.installation_id,
                )
                self._memory.user_blocks.put(block)
                self._tell_who_knows(
                    event.user_id, event.installation_id, told(event, "UserBlocked")
                )
            case identity.UserUnblocked():
                self._memory.user_blocks.drop(_block_id(event.user_id, event.installation_id))
                self._tell_who_knows(event.user_id, event.installation_id, told(event))
            case identity.UserErased():
                self._erase(event)
            case identity.IdentificationAdded():
                self._memory.identifications.put(
                    Identification(
                        id=event.identification_id,
                        user_id=event.user_id,
                        type=event.type,
                        status=event.status,
                        installation_id=event.installation_id,
                        valid_until=event.valid_until,
                    )
                )
                self._tell_who_knows(event.user_id, event.installation_id, told(event))
            case identity.IdentificationStatusChanged():
                self._change_identification(event, status=event.status)
            case identity.IdentificationExpiryChanged():
                self._change_identification(event, valid_until=event.valid_until)
            case identity.IdentificationCodeChanged():
                self._change_identification(event)
            case identity.IdentificationRemoved():
                known = self._memory.identifications.drop(event.identification_id)
                if known is not None:
                    self._tell_who_knows(event.user_id, known.installation_id, told(event))
            case _:  # the rest is nothing to partners
                pass

    def _change_identification(
        self,
        event: identity.IdentificationStatusChanged
        | identity.IdentificationExpiryChanged
        | identity.IdentificationCodeChanged,
        **values: object,
    ) -> None:
        known = self._memory.identifications.get(event.identification_id)
        if known is not None:
            self._memory.identifications.put(msgspec.structs.replace(known, **values))
            self._tell_who_knows(event.user_id, known.installation_id, told(event))

    def _erase(self, event: identity.UserErased) -> None:
        """Tell everybody who was ever told of him, also whose access is over (GDPR, article 19)."""
        for identification in self._memory.identifications.where("user_id", event.user_id):
            self._memory.identifications.drop(identification.id)
        for block in self._memory.user_blocks.where("user_id", event.user_id):
            self._memory.user_blocks.drop(block.id)
        for mention in self._memory.mentions.where("user_id", event.user_id):
            self._tell([mention.partner_id], told(event))
            self._memory.mentions.drop(mention.id)

    # Chargers.

    def _of_chargers(self, event: PublishedEvent) -> None:
        match event:
            case chargers.ChargerConnected():
                self._set_connection(event.charger_id, ocpp_version=event.ocpp_version)
                self._tell_at(event.installation_id, event.charger_id, ANY, told(event))
            case chargers.ChargerDisconnected():
                self._set_connection(event.charger_id, ocpp_version=None)
                self._tell_at(event.installation_id, event.charger_id, ANY, told(event))
            case chargers.ConnectorStatusChanged():
                known = self._memory.connections.get(event.charger_id)
                connectors = {} if known is None else dict(known.connectors)
                connectors[event.connector] = (event.status, event.error_code)
                self._set_connection(event.charger_id, connectors=connectors)
                self._tell_at(event.installation_id, event.charger_id, ANY, told(event))
            case _:  # the rest is nothing to partners
                pass

    def _set_connection(self, charger_id: str, **values: object) -> None:
        known = self._memory.connections.get(charger_id) or Connection(id=charger_id)
        self._memory.connections.put(msgspec.structs.replace(known, **values))

    # Sessions.

    def _of_sessions(self, event: PublishedEvent) -> None:
        match event:
            case sessions.SessionStarted():
                self._start(event)
            case sessions.StartRefused() | sessions.AuthorizationRefused():
                for partner_id in self._partners(event.installation_id, event.charger_id, CARE):
                    refusing = _asked(event.inputs) and self._sight.manages(
                        partner_id, event.installation_id
                    )
                    self._tell([partner_id], told(event, by_operator=refusing))
            case sessions.SessionUpdated() | sessions.SessionCorrected():
                self._tell_of_session(event)
            case sessions.SessionEnded():
                self._tell_of_session(event)
                self._memory.sessions.drop(event.session_id)
                for scope in self._memory.scopes.where("installation_id", event.installation_id):
                    if event.session_id in scope.awaits:
                        self._await_no_more(scope, event.session_id)
            case _:  # of a later version
                pass

    def _start(self, event: sessions.SessionStarted) -> None:
        answer = event.inputs.operator_answer
        session = Session(
            id=event.session_id,
            installation_id=event.installation_id,
            charger_id=event.charger_id,
            connector=event.connector,
            started_at=event.started_at,
            reason=event.reason,
            user_id=event.user_id,
            identification_id=event.identification_id,
            meter_start=None if event.meter_unknown else event.meter_start,
            offline=event.offline,
            authorization_reference=None if answer is None else answer.reference,
            by_operator=_asked(event.inputs),
        )
        self._memory.sessions.put(session)
        for partner_id in self._partners(event.installation_id, event.charger_id, PEOPLE):
            manages = self._sight.manages(partner_id, event.installation_id)
            self._tell([partner_id], session_started(session, to_its_operator=manages))

    def _tell_of_session(
        self,
        event: sessions.SessionUpdated | sessions.SessionEnded | sessions.SessionCorrected,
    ) -> None:
        awaiting = (
            scope.partner_id
            for scope in self._memory.scopes.where("installation_id", event.installation_id)
            if event.session_id in scope.awaits
        )
        seeing = self._partners(event.installation_id, event.charger_id, PEOPLE)
        self._tell(sorted({*seeing, *awaiting}), told(event))

    def _await_no_more(self, scope: Scope, session_id: str) -> None:
        awaits = tuple(each for each in scope.awaits if each != session_id)
        left = msgspec.structs.replace(scope, awaits=awaits)
        if awaits or left.ended_by is None:
            self._put(left)
        else:
            self._end(left)

    # Telling.

    def _tell_at(
        self, installation_id: str, charger_id: str | None, by: AbstractSet[Role], event: FeedEvent
    ) -> None:
        self._tell(self._partners(installation_id, charger_id, by), event)

    def _tell_who_knows(self, user_id: str, installation_id: str | None, event: FeedEvent) -> None:
        self._tell(self._sight.who_knows(user_id, installation_id), event)

    def _tell_new(self, partner_id: str, before: Things, after: Things) -> None:
        """Tell what is so already, and was not seen before."""
        for thing, event in after.items():
            if before.get(thing) != event:
                self._tell_as(partner_id, derived_id(self._cause, thing), event)

    def _tell(self, partners: Iterable[str], event: FeedEvent) -> None:
        for partner_id in partners:
            self._tell_as(partner_id, self._cause, event)

    def _tell_as(self, partner_id: str, event_id: str, event: FeedEvent) -> None:
        self._told.append(Telling(partner_id, event_id, self._at, event))
        user_id: str | None = getattr(event, "user_id", None)
        if user_id is not None and not isinstance(event, feed.UserErased):
            self._memory.mentions.put(
                Mention(id=f"{partner_id} {user_id}", partner_id=partner_id, user_id=user_id)
            )

    def _partners(
        self, installation_id: str, charger_id: str | None, by: AbstractSet[Role]
    ) -> Sequence[str]:
        return self._sight.partners(installation_id, charger_id, by, at=self._since)


def _block_id(user_id: str, installation_id: str | None) -> str:
    return f"{user_id} {installation_id or ''}"


def _asked(inputs: sessions.Inputs) -> bool:
    """Whether the operator itself has just answered."""
    answer = inputs.operator_answer
    return answer is not None and answer.status != "UNREACHABLE" and not answer.last_known
