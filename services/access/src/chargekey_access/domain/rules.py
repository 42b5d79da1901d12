"""Who may do what: the one table, and the default answer is no.

An action is a method by its short name. Administrators may do everything. Service
accounts may what is listed for them. People, and partners' programs, may what one of
the words they have towards the object allows:

- OWNER, USER, SERVICE, OPERATOR: the roles they hold on its installation or charger,
  themselves or as a member of a partner;
- SELF: it is about themselves, or their own;
- HOST: it is about a user who holds something at a site they own or operate;
- MEMBER, MANAGER: it is about a partner they are in, or may manage;
- GUEST: it is about a site, and they hold something at a charger of it;
- OFFEREE: it is about a site whose ownership is offered to them;
- PARTED: it is about themselves, or about somebody else, at a site of which that person is
  not one; theirs in the second case.

What everybody who is known may is about the system and nobody else; what anybody may
needs no token at all. At a site that an operator manages, what edits access is the
operator's alone (R3); not so to erase somebody, a LOCAL user by the site's owner included:
a person's right to be forgotten comes first (R20).

Who calls is read off his token: a person who is blocked on the whole platform gets no new
one, and goes on with his last for the minutes it is still good for.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Literal

import msgspec

from chargekey_access.domain.events import Role

Word = Role | Literal["SELF", "HOST", "MEMBER", "MANAGER", "GUEST", "OFFEREE", "PARTED"]


class Rule(msgspec.Struct, frozen=True):
    """Who may, and whether it edits access at a site.

    With `own_excepted` not where it is one's own, nor where it ends an operator's managing
    of the site (R9).
    """

    words: frozenset[Word] = frozenset()
    services: frozenset[str] = frozenset()
    everybody: bool = False
    anybody: bool = False
    edits_access: bool = False
    own_excepted: bool = False


class Refusal(enum.Enum):
    """Why not."""

    DENIED = enum.auto()
    MANAGED = enum.auto()


def _may(*words: Word, services: AbstractSet[str] = frozenset(), everybody: bool = False) -> Rule:
    return Rule(frozenset(words), frozenset(services), everybody)


def _edits(*words: Word, services: AbstractSet[str] = frozenset()) -> Rule:
    return Rule(frozenset(words), frozenset(services), edits_access=True)


_EVERY_SERVICE = {"access", "identity", "gateway", "history", "notifier", "portal"}
_NOBODY_BUT_ADMINISTRATORS = _may()
_OWN = frozenset({"SELF", "PARTED"})
_ANYBODY = Rule(anybody=True)

RULES: Mapping[str, Rule] = {
    # Sites.
    "access.CreateInstallation": _may(everybody=True),
    "access.RenameInstallation": _may("OWNER"),
    "access.SetInstallationAddress": _may("OWNER", "SERVICE", "OPERATOR"),
    "access.GetInstallation": _may(
        "OWNER",
        "USER",
        "SERVICE",
        "OPERATOR",
        "GUEST",
        "OFFEREE",
        services={"history", "identity", "notifier"},
    ),
    "access.ListInstallations": _may(everybody=True),
    "access.SetAuthorisationRequired": _edits("OWNER", "SERVICE", "OPERATOR"),
    "access.SetAuthenticationType": _edits("OWNER", "SERVICE", "OPERATOR"),
    "access.SetPolicies": _edits("OWNER", "SERVICE", "OPERATOR"),
    "access.ConnectOperator": _edits("OWNER"),
    "access.DisconnectOperator": _may("OWNER", "OPERATOR"),
    "access.SetOverridesAllowed": _may("OPERATOR"),
    "access.BlockUserAtInstallation": _edits("OWNER", "OPERATOR"),
    "access.UnblockUserAtInstallation": _edits("OWNER", "OPERATOR"),
    "access.ListBlockedUsers": _may("OWNER", "OPERATOR", services={"notifier"}),
    "access.GetOwners": _may(services={"notifier"}),
    "access.OfferOwnership": _may("OWNER"),
    "access.AcceptOwnership": _may("OFFEREE"),
    "access.WithdrawOwnershipOffer": _may("OWNER", "OFFEREE"),
    # Chargers.
    "access.AddCharger": _may("OWNER", "SERVICE"),
    "access.ReplaceChargerPassword": _may("OWNER", "SERVICE"),
    # Asked of the site it leaves and of the one it comes to (R11).
    "access.MoveCharger": _edits("OWNER"),
    # While an operator manages the site, the charger itself says when (R2).
    "access.SetAuthorisationOverride": _may("OWNER", "SERVICE", "OPERATOR"),
    "access.SetIdentificationTypes": _edits("OWNER", "SERVICE", "OPERATOR"),
    "access.SetReaderQuirks": _may("OWNER", "SERVICE"),
    "access.GetCharger": _may(
        "OWNER", "USER", "SERVICE", "OPERATOR", services={"history", "identity", "notifier"}
    ),
    "access.ListChargers": _may("OWNER", "USER", "SERVICE", "OPERATOR"),
    "access.ListUsableChargers": _may("OWNER", "SELF", everybody=True),
    "access.ListChargerUsers": _may("OWNER", "OPERATOR"),
    # Permissions.
    "access.GrantPermission": _edits("OWNER", "OPERATOR"),
    "access.ChangePermission": _edits("OWNER", "OPERATOR"),
    "access.RevokePermission": Rule(
        frozenset({"OWNER", "OPERATOR", "SELF"}), edits_access=True, own_excepted=True
    ),
    "access.GetPermission": _may(
        "OWNER", "SERVICE", "OPERATOR", "SELF", services={"identity", "notifier"}
    ),
    "access.ListPermissions": _may("OWNER", "SERVICE", "OPERATOR", services={"identity"}),
    "access.ListPermissionsOfUser": _may("OWNER", "SELF", everybody=True),
    "access.ForgetUser": _may(services={"identity"}),
    # Partners.
    "access.CreatePartner": _NOBODY_BUT_ADMINISTRATORS,
    "access.ChangePartner": _may("MANAGER"),
    "access.RotateLookupKey": _may("MANAGER"),
    "access.AddPartnerMember": _may("MANAGER"),
    "access.RemovePartnerMember": _may("MANAGER", "SELF"),
    "access.GetPartner": _may("MEMBER", services={"identity", "notifier"}),
    "access.ListPartners": _may(everybody=True),
    "access.ListPartnerMembers": _may("MEMBER", services={"notifier"}),
    "access.ListPartnerPermissions": _may("MEMBER"),
    "access.ListPartnerNames": _may("OWNER", "SERVICE", "OPERATOR"),
    "access.SearchPartner": _may(everybody=True),
    # Where an operator connects by OCPI, the notifier has it asked there.
    "access.SetDecisionEndpoint": _may("MANAGER", services={"notifier"}),
    "access.RemoveDecisionEndpoint": _may("MANAGER", services={"notifier"}),
    "access.GetDecisionEndpoint": _may(services={"gateway", "notifier"}),
    "access.DescribeDecisionEndpoint": _may("MANAGER"),
    # Asking for access.
    "access.RequestAccess": _may("MEMBER", everybody=True),
    "access.GetAccessRequest": _may(everybody=True),
    "access.FindAccessRequest": _may(services={"notifier"}),
    "access.ListAccessRequests": _may("OWNER", "OPERATOR", "MEMBER"),
    "access.ApproveAccessRequest": _edits("OWNER", "OPERATOR"),
    "access.DenyAccessRequest": _may("OWNER", "OPERATOR"),
    "access.WithdrawAccessRequest": _may("SELF"),
    # What services ask each other.
    "access.Check": _may(services=_EVERY_SERVICE),
    "access.ListAllowed": _may(services={"portal"}),
    "access.AwaitReaction": _may(services={"identity"}),
    "access.FindUser": _may(services={"history"}),
    # Users.
    "identity.AddLocalUser": _edits("OWNER", "OPERATOR"),
    "identity.ResolveEmail": _may(services={"access"}),
    "identity.RenameUser": _may("OWNER", "OPERATOR", "SELF"),
    "identity.ChangeProfile": _may("SELF"),
    "identity.BlockUser": _edits("OWNER", "OPERATOR", "HOST"),
    "identity.UnblockUser": _edits("OWNER", "OPERATOR", "HOST"),
    "identity.GetUser": _may("OWNER", "OPERATOR", "HOST", "SELF", services={"notifier"}),
    "identity.ListUsers": _may("OWNER", "OPERATOR"),
    "identity.ListNames": _may("OWNER", "OPERATOR", "MEMBER"),
    "identity.SearchPeople": _may("OWNER", "OPERATOR"),
    # Invitations.
    "identity.ListInvitations": _may("OWNER", "OPERATOR", "MANAGER"),
    "identity.ResendInvitation": _edits("OWNER", "OPERATOR", "MANAGER"),
    "identity.RevokeInvitation": _edits("OWNER", "OPERATOR", "MANAGER"),
    "identity.GetInvitation": _ANYBODY,
    "identity.AcceptInvitation": _ANYBODY,
    "identity.IssueInvitationLink": _may(services={"notifier"}),
    # Signing in.
    "identity.RequestSignInLink": _ANYBODY,
    "identity.SignIn": _ANYBODY,
    "identity.BeginOpenIdSignIn": _ANYBODY,
    "identity.CompleteOpenIdSignIn": _ANYBODY,
    "identity.RefreshSignIn": _ANYBODY,
    "identity.SignOut": _ANYBODY,
    "identity.SignInAs": _NOBODY_BUT_ADMINISTRATORS,
    # Which of them are administrators identity knows, and tells nobody else.
    "identity.ActAsAdministrator": _may(everybody=True),
    "identity.GetKeys": _ANYBODY,
    "identity.IssueSignInLink": _may(services={"notifier"}),
    # Partners' programs.
    "identity.IssuePartnerCredential": _may("MANAGER"),
    "identity.ListPartnerCredentials": _may("MANAGER"),
    "identity.RevokePartnerCredential": _may("MANAGER"),
    "identity.ExchangePartnerCredential": _ANYBODY,
    # Identifications.
    "identity.AddIdentification": _edits("OWNER", "OPERATOR", "SELF"),
    "identity.ChangeIdentification": _edits("OWNER", "OPERATOR", "SELF"),
    # Also of a site that its user has left: its code is to be free again.
    "identity.RemoveIdentification": Rule(
        frozenset({"OWNER", "OPERATOR", "SELF", "PARTED"}), edits_access=True, own_excepted=True
    ),
    "identity.RevealCode": _may("OWNER", "OPERATOR", "SELF"),
    "identity.ListIdentifications": _may("OWNER", "OPERATOR", "SELF", services={"notifier"}),
    "identity.DescribeIdentifications": _may("OWNER", "OPERATOR"),
    "identity.GeneratePins": _may("OWNER", "OPERATOR", "USER"),
    "identity.StartScan": _edits("OWNER", "OPERATOR", "SELF"),
    "identity.GetScan": _may("OWNER", "OPERATOR", "SELF"),
    "identity.CancelScan": _may("OWNER", "OPERATOR", "SELF"),
    "identity.ReportUnknownCode": _may(services={"gateway"}),
    "identity.ListUnknownCodes": _may("OWNER", "SERVICE", "OPERATOR"),
    "identity.AddFromUnknownCode": _edits("OWNER", "SERVICE", "OPERATOR"),
    "identity.RevealLocalListCodes": _may(services={"gateway"}),
    "identity.RevealAppCode": _may(services={"gateway"}),
    # Privacy and tables of people.
    "identity.ExportUser": _may("OWNER", "SELF"),
    "identity.EraseUser": _may("OWNER", "SELF"),
    "identity.ImportPeople": _edits("OWNER", "OPERATOR"),
    "identity.ExportPeople": _may("OWNER", "OPERATOR"),
    # The gateway.
    "gateway.Authorize": _may("OWNER", "SERVICE", "OPERATOR"),
    # Each question in these is asked of `gateway.Authorize`.
    "gateway.AuthorizeBatch": _may(everybody=True),
    "gateway.AuthorizeStream": _may(everybody=True),
    "gateway.ListConnections": _NOBODY_BUT_ADMINISTRATORS,
    "gateway.ListChargerStates": _may("OWNER", "USER", "SERVICE", "OPERATOR"),
    "gateway.ListRunningSessions": _may("OWNER", "SERVICE", "OPERATOR", services={"access"}),
    "gateway.ListConvergence": _may("OWNER", "SERVICE", "OPERATOR"),
    "gateway.PreviewChange": _may("OWNER", "OPERATOR"),
    "gateway.ReplayDecision": _may(services={"history"}),
    # What operators do by OCPI, at the sites they manage alone.
    "gateway.RememberTokens": _may(services={"notifier"}),
    "gateway.AuthorizeForOperator": _may(services={"notifier"}),
    "gateway.StartForOperator": _may(services={"notifier"}),
    "gateway.StopForOperator": _may(services={"notifier"}),
    "gateway.UnlockForOperator": _may(services={"notifier"}),
    # Commands to chargers. Whoever may charge is decided at the charger, as with a card (R22).
    "gateway.StartSession": _may("OWNER", "USER", "SERVICE", "OPERATOR", "SELF"),
    "gateway.StopSession": _may("OWNER", "SERVICE", "OPERATOR", "SELF"),
    "gateway.EndSession": _may("OWNER", "SERVICE", "OPERATOR", "SELF"),
    "gateway.ResetCharger": _may("OWNER", "SERVICE", "OPERATOR"),
    "gateway.DisconnectCharger": _may("OWNER", "SERVICE", "OPERATOR"),
    "gateway.UnlockConnector": _may("OWNER", "SERVICE", "OPERATOR"),
    "gateway.ChangeAvailability": _may("OWNER", "SERVICE", "OPERATOR"),
    "gateway.TriggerMessage": _may("OWNER", "SERVICE", "OPERATOR"),
    "gateway.ClearCache": _may("OWNER", "SERVICE", "OPERATOR"),
    "gateway.GetChargerSettings": _may("OWNER", "SERVICE", "OPERATOR"),
    "gateway.ChangeChargerSetting": _may("SERVICE", "OPERATOR"),
    "gateway.SendAction": _may("SERVICE", "OPERATOR"),
    # Partners' feeds and what they are told by.
    "notifier.GetFeed": _may("MEMBER"),
    "notifier.ListFeedEvents": _may("MEMBER"),
    "notifier.CreateWebhook": _may("MANAGER"),
    "notifier.ChangeWebhook": _may("MANAGER"),
    "notifier.RemoveWebhook": _may("MANAGER"),
    "notifier.RotateWebhookSecret": _may("MANAGER"),
    "notifier.ListWebhooks": _may("MEMBER"),
    "notifier.ListWebhookAttempts": _may("MEMBER"),
    "notifier.ReplayWebhook": _may("MANAGER"),
    "notifier.OfferOcpi": _may("MANAGER"),
    "notifier.ConnectOcpi": _may("MANAGER"),
    "notifier.GetOcpiConnection": _may("MEMBER"),
    "notifier.DisconnectOcpi": _may("MANAGER"),
    "notifier.PullOcpiTokens": _may("MANAGER"),
    # Mails.
    "notifier.GetMailChoices": _may("SELF"),
    "notifier.SetMailChoices": _may("SELF"),
    "notifier.Unsubscribe": _ANYBODY,
    # The past.
    "audit.Verify": _NOBODY_BUT_ADMINISTRATORS,
    "audit.ListStandings": _NOBODY_BUT_ADMINISTRATORS,
    "audit.ListChanges": _may("OWNER", "SELF", "MANAGER"),
    "history.ListSessions": _may("OWNER", "OPERATOR", "SELF"),
    "history.ListRefusals": _may("OWNER", "SERVICE", "SELF"),
    "history.ExplainDecision": _may("OWNER", "OPERATOR", "SELF"),
    "history.GetReport": _may("OWNER", "OPERATOR"),
    "history.ExportReport": _may("OWNER", "OPERATOR"),
}


def refusal(
    kind: str,
    name: str,
    action: str,
    words: AbstractSet[Word],
    *,
    system: bool,
    managed: bool,
    managing: bool = False,
) -> Refusal | None:
    """Tell why the caller `<kind>:<name>` may not do `action`, or None where he may.

    `words` are his towards the object; `system` where that is the system itself;
    `managed` where it stands at a site that an operator manages, `managing` where it is
    the permission by which he does.
    """
    rule = RULES.get(action)
    if rule is None:
        return Refusal.DENIED
    if rule.anybody:
        return None
    match kind:
        case "service":
            return None if name in rule.services else Refusal.DENIED
        case "administrator":
            pass
        case "user" | "partner":
            if rule.words.isdisjoint(words) and not (rule.everybody and system):
                return Refusal.DENIED
        case _:
            return Refusal.DENIED
    # Of a site that its user has left, nothing is edited by tidying up.
    own = rule.own_excepted and (managing or not words.isdisjoint(_OWN))
    if managed and rule.edits_access and not own and "OPERATOR" not in words:
        return Refusal.MANAGED
    return None
