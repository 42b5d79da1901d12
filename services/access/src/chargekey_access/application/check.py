"""The one question of the rules, and what can be waited for."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec
from msgspec.structs import replace

from chargekey_access.application import callers
from chargekey_access.application.permissions import Permissions
from chargekey_access.domain import rules
from chargekey_access.domain.errors import ObjectMalformedError
from chargekey_access.domain.events import Role
from chargekey_access.domain.permission import Subject, Target
from chargekey_access.domain.rules import Refusal, Word
from chargekey_access.projections.directory import Directory
from chargekey_common.accounts import Caller, person_of
from chargekey_common.errors import (
    ChargekeyError,
    ManagedByThirdPartyError,
    NotFoundError,
    PermissionDeniedError,
)
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.published.identity import AccessProposed, LocalUserAdded

# The reactions that can be waited for, each with the event it follows.
REACTIONS: Mapping[str, type[PublishedEvent]] = {
    "access-on-local-user-added": LocalUserAdded,
    "access-on-access-proposed": AccessProposed,
}

_OBJECT = re.compile(
    r"(system)"
    r"|(user):([^/]*)/installation:([^/]*)"
    r"|(partner):([^/]*)/user:([^/]*)"
    r"|(installation|charger|permission|partner|access_request|user):(.*)",
    re.DOTALL,
)
_HOSTS = frozenset({"OWNER", "OPERATOR"})


class Towards(msgspec.Struct, frozen=True):
    """How a caller stands towards an object, and at which site that is, if at one.

    `managing` where it is the permission by which an operator manages that site.
    """

    words: AbstractSet[Word] = frozenset()
    installation_id: str | None = None
    managing: bool = False


NOTHING = Towards()


class Check:
    """Answers from memory; blocking, as it reads the store."""

    def __init__(self, directory: Directory, permissions: Permissions) -> None:
        self._directory = directory
        self._permissions = permissions

    def refusal(self, caller: Caller, action: str, obj: str) -> ChargekeyError | None:
        """Return why the caller may not do `action` to `obj`, or None where he may.

        People may nothing to what does not exist, so they hear of it what they hear of
        what others have. Raises ObjectMalformedError.
        """
        kind, _, name = caller.partition(":")
        parts = _parts(obj)
        with self._directory.caught_up():
            try:
                towards = self._towards(kind, name, parts)
            except NotFoundError:
                towards = NOTHING
            person = person_of(caller)
            if person is not None and self._directory.holdings.is_forgotten(person):
                kind = ""  # an erased user's last token is nobody's
            manager = self._manager(towards.installation_id)
        answer = rules.refusal(
            kind,
            name,
            action,
            towards.words,
            system=obj == "system",
            managed=manager is not None,
            managing=towards.managing,
        )
        match answer:
            case None:
                return None
            case Refusal.DENIED:
                return PermissionDeniedError()
            case Refusal.MANAGED:
                return ManagedByThirdPartyError(manager or "")

    def allowed(self, caller: Caller, actions: Iterable[str], obj: str) -> list[str]:
        """Return those of the actions that the caller may do; raises ObjectMalformedError."""
        return [each for each in actions if self.refusal(caller, each, obj) is None]

    def grantable(self, caller: Caller, obj: str) -> AbstractSet[Role]:
        """Return the roles that the caller may give and take on a site or a charger (R5).

        The empty set where an operator decides that, on everything else, and on what there is
        not; raises ObjectMalformedError.
        """
        if self.refusal(caller, "access.GrantPermission", obj) is not None:
            return frozenset()
        try:
            target = self._target(_parts(obj))
        except NotFoundError:
            return frozenset()
        if target is None:
            return frozenset()
        return self._permissions.grantable(caller, target, now=time.time_ns())

    def _target(self, parts: Sequence[str]) -> Target | None:
        """Return what permissions can be on, None where it is none; raises NotFoundError."""
        match parts:
            case ["installation", key]:
                self._directory.sites.installation(key)  # it must exist
                return Target(key)
            case ["charger", key]:
                return Target(self._directory.sites.charger(key).installation_id, key)
            case _:
                return None

    def _manager(self, installation_id: str | None) -> str | None:
        """Return name and contact of the operator that manages the site."""
        if installation_id is None:
            return None
        managed_by = self._directory.sites.installation(installation_id).managed_by
        if managed_by is None:
            return None
        partner = self._directory.partners.partner(managed_by)
        return f"{partner.name}, {partner.contact}"

    def _towards(self, kind: str, name: str, parts: Sequence[str]) -> Towards:  # noqa: PLR0911 - one a kind of object
        """Tell how the caller stands towards it; raises NotFoundError."""
        caller = Caller(f"{kind}:{name}")
        match parts:
            case ["installation", key]:
                return self._at(caller, Target(key), set(self._beside(kind, name, key)))
            case ["charger", key]:
                site = self._directory.sites.charger(key).installation_id
                return self._at(caller, Target(site, key))
            case ["permission", key]:
                held = self._directory.holdings.permission(key)
                towards = self._at(caller, held.target, self._own(kind, name, held.subject))
                return replace(towards, managing="OPERATOR" in held.roles)
            case ["access_request", key]:
                request = self._directory.access_requests.access_request(key).request
                words = self._own(kind, name, request.subject)
                if request.installation_id is None:
                    return Towards(words)
                return self._at(caller, Target(request.installation_id), words)
            case ["partner", key, *rest]:
                words = set(self._in_partner(kind, name, key))
                # Whoever is in it may leave; to all others there is nothing to be left.
                own = self._own(kind, name, Subject(*rest)) if words else frozenset()
                return Towards(words | own)
            case ["user", key, site]:
                return self._user_at(kind, name, key, site)
            case ["user", key]:
                return self._user(kind, name, key)
            case _:
                return NOTHING

    def _at(self, caller: Caller, target: Target, more: AbstractSet[Word] = frozenset()) -> Towards:
        self._directory.sites.installation(target.installation_id)  # it must exist
        held = callers.roles(self._directory, caller, target, now=time.time_ns())
        return Towards(more | held, target.installation_id)

    def _beside(self, kind: str, name: str, installation_id: str) -> Iterator[Word]:
        """Tell what somebody is at a site without holding anything at the whole of it."""
        caller = Caller(f"{kind}:{name}")
        if callers.is_offered(self._directory, caller, installation_id):
            yield "OFFEREE"
        if callers.is_guest(self._directory, caller, installation_id, now=time.time_ns()):
            yield "GUEST"

    def _own(self, kind: str, name: str, subject: Subject) -> AbstractSet[Word]:
        own = callers.is_own(self._directory, Caller(f"{kind}:{name}"), subject)
        return {"SELF"} if own else frozenset()

    def _in_partner(self, kind: str, name: str, partner_id: str) -> Iterator[Word]:
        self._directory.partners.partner(partner_id)  # it must exist
        if kind == "partner" and name == partner_id:
            yield "MEMBER"
        manages = self._directory.partners.of_user(name).get(partner_id)
        if kind == "user" and manages is not None:
            yield "MEMBER"
            if manages:
                yield "MANAGER"

    def _user(self, kind: str, name: str, user_id: str) -> Towards:
        own = self._own(kind, name, Subject(user_id))
        caller = Caller(f"{kind}:{name}")
        home = self._directory.holdings.home_of(user_id)
        if home is not None:
            return self._at(caller, Target(home), own)
        now = time.time_ns()
        sites = self._directory.holdings.installations(Subject(user_id), now=now)
        hosts = any(
            not _HOSTS.isdisjoint(callers.roles(self._directory, caller, Target(site), now=now))
            for site in sites
        )
        words: AbstractSet[Word] = {"HOST"} if hosts else frozenset()
        return Towards(own | words)

    def _user_at(self, kind: str, name: str, user_id: str, installation_id: str) -> Towards:
        """Stand towards a user as one of a site's, or as one who is not one (any more).

        To himself, whoever is blocked there is not one: he can do nothing there but leave.
        """
        now = time.time_ns()
        here = any(
            installation_id in self._directory.holdings.installations(subject, now=now)
            for subject in callers.subjects(self._directory, Caller(f"user:{user_id}"))
        )
        own = self._own(kind, name, Subject(user_id))
        towards = self._at(Caller(f"{kind}:{name}"), Target(installation_id), own)
        if own and user_id in self._directory.holdings.owners(installation_id).blocked:
            here = False
        if here:
            return towards
        parted = own or not _HOSTS.isdisjoint(towards.words)
        return replace(towards, words={"PARTED"} if parted else frozenset())


def _parts(obj: str) -> Sequence[str]:
    """Split an object into its kind and ids; raises ObjectMalformedError."""
    match = _OBJECT.fullmatch(obj)
    if match is None:
        raise ObjectMalformedError
    return [part for part in match.groups() if part is not None]
