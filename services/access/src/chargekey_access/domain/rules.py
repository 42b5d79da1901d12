"""Who may do what: the one table, and the default answer is no.

An action is a method by its short name. Administrators may do everything;
people by the roles they hold on the object's installation or charger; service
accounts what is listed for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import msgspec

from chargekey_access.domain.events import Role


class Rule(msgspec.Struct, frozen=True):
    """The roles and the service accounts that may."""

    roles: frozenset[Role] = frozenset()
    services: frozenset[str] = frozenset()


def _may(*roles: Role, services: AbstractSet[str] = frozenset()) -> Rule:
    return Rule(frozenset(roles), frozenset(services))


_EVERY_SERVICE = {"access", "identity", "gateway", "history", "notifier", "portal"}
_NOBODY_BUT_ADMINISTRATORS = _may()

RULES: Mapping[str, Rule] = {
    "access.CreateInstallation": _NOBODY_BUT_ADMINISTRATORS,
    "access.SetAuthorisationRequired": _may("OWNER", "SERVICE"),
    "access.GetInstallation": _may(
        "OWNER", "USER", "SERVICE", "OPERATOR", services={"history", "identity", "notifier"}
    ),
    "access.ListInstallations": _NOBODY_BUT_ADMINISTRATORS,
    "access.AddCharger": _may("OWNER", "SERVICE"),
    "access.SetAuthorisationOverride": _may("OWNER", "SERVICE"),
    "access.SetIdentificationTypes": _may("OWNER", "SERVICE"),
    "access.GetCharger": _may("OWNER", "USER", "SERVICE", "OPERATOR", services={"history"}),
    "access.ListChargers": _may("OWNER", "USER", "SERVICE", "OPERATOR"),
    "access.GrantPermission": _may("OWNER"),
    "access.RevokePermission": _may("OWNER"),
    "access.ListPermissions": _may("OWNER", "SERVICE", "OPERATOR"),
    "access.FindUser": _may(services={"history"}),
    "access.Check": _may(services=_EVERY_SERVICE),
    "access.AwaitReaction": _may(services={"identity"}),
    "identity.AddLocalUser": _may("OWNER"),
    "identity.RenameUser": _may("OWNER"),
    "identity.BlockUser": _may("OWNER"),
    "identity.UnblockUser": _may("OWNER"),
    "identity.GetUser": _may("OWNER", services={"notifier"}),
    "identity.ListUsers": _may("OWNER"),
    "identity.AddIdentification": _may("OWNER"),
    "identity.ChangeIdentification": _may("OWNER"),
    "identity.RemoveIdentification": _may("OWNER"),
    "identity.RevealCode": _may("OWNER"),
    "identity.ListIdentifications": _may("OWNER"),
    "gateway.Authorize": _may("OWNER", "SERVICE", "OPERATOR"),
    "gateway.ListConnections": _NOBODY_BUT_ADMINISTRATORS,
    "audit.Verify": _NOBODY_BUT_ADMINISTRATORS,
    "history.ListSessions": _may("OWNER", "OPERATOR"),
    "history.ListRefusals": _may("OWNER", "SERVICE"),
}


def allowed(kind: str, name: str, action: str, roles: AbstractSet[Role]) -> bool:
    """Whether the caller `<kind>:<name>`, holding `roles` on the object, may do `action`."""
    rule = RULES.get(action)
    if rule is None:
        return False
    match kind:
        case "administrator":
            return True
        case "service":
            return name in rule.services
        case "user":
            return not rule.roles.isdisjoint(roles)
        case _:
            return False
