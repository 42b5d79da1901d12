"""The one table of the REST API: which address asks which method of which service.

Path parameters are fields of the method's request. What else a request has comes from the
query where something is read or taken away, and else from the body, a JSON object.
"""

from __future__ import annotations

import msgspec


class Route(msgspec.Struct, frozen=True):
    """An address, and the method behind it as `Stubs` has it.

    `body` is the one field that the body is, `answer` the one of the answer that is told by
    itself; where that is no message, as what it is `media` says. `created` is where what was
    made is found from then on. `without` are fields that are not to be had here. `mails` where
    it has links mailed, which each client may have so often.
    """

    method: str
    path: str
    calls: str
    summary: str
    body: str = ""
    answer: str = ""
    media: str = ""
    created: str = ""
    without: tuple[str, ...] = ()
    mails: bool = False


_CSV = "text/csv; charset=utf-8"
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_SITE = "/installations/{installation_id}"
_CHARGER = "/chargers/{charger_id}"
_PERMISSION = "/permissions/{permission_id}"
_PARTNER = "/partners/{partner_id}"
_USER = "/users/{user_id}"
_ASKED = "/access-requests"
_SCAN = "/scans/{scan_id}"
_WEBHOOK = "/webhooks/{webhook_id}"
_BY_ID = ("ocpp_identity",)
_BY_IDENTITY = ("charger_id",)

# A route stands on a line.
# ruff: noqa: E501
# fmt: off
ROUTES: tuple[Route, ...] = (
    Route("POST", "/installations", "installations.CreateInstallation", "Create an installation", created=_SITE),
    Route("GET", "/installations", "installations.ListInstallations", "List the installations that one has to do with"),
    Route("GET", _SITE, "installations.GetInstallation", "Read an installation", answer="installation"),
    Route("PATCH", _SITE, "installations.RenameInstallation", "Rename an installation"),
    Route("PUT", f"{_SITE}/address", "installations.SetInstallationAddress", "Say where an installation is", body="address"),
    Route("PUT", f"{_SITE}/authorisation-required", "installations.SetAuthorisationRequired", "Make an installation restricted or open"),
    Route("PUT", f"{_SITE}/authentication-type", "installations.SetAuthenticationType", "Say who decides at an installation"),
    Route("PUT", f"{_SITE}/policies", "installations.SetPolicies", "Replace an installation's policies", body="policies"),
    Route("PUT", f"{_SITE}/operator", "installations.ConnectOperator", "Let a payment operator manage an installation"),
    Route("DELETE", f"{_SITE}/operator", "installations.DisconnectOperator", "Let a payment operator manage an installation no longer"),
    Route("PUT", f"{_SITE}/overrides-allowed", "installations.SetOverridesAllowed", "Let chargers of a managed installation deviate, or not"),

    Route("GET", f"{_SITE}/blocked-users", "owners.ListBlockedUsers", "List who is blocked at an installation"),
    Route("PUT", f"{_SITE}/blocked-users/{{user_id}}", "owners.BlockUserAtInstallation", "Block a user at an installation"),
    Route("DELETE", f"{_SITE}/blocked-users/{{user_id}}", "owners.UnblockUserAtInstallation", "Unblock a user at an installation"),
    Route("PUT", f"{_SITE}/ownership-offer", "owners.OfferOwnership", "Offer the ownership of an installation"),
    Route("DELETE", f"{_SITE}/ownership-offer", "owners.WithdrawOwnershipOffer", "Withdraw or decline an offer of ownership"),
    Route("POST", f"{_SITE}/ownership-offer/accept", "owners.AcceptOwnership", "Accept the ownership of an installation"),

    Route("POST", f"{_SITE}/chargers", "chargers.AddCharger", "Add a charger to an installation", created=_CHARGER),
    Route("GET", f"{_SITE}/chargers", "chargers.ListChargers", "List an installation's chargers"),
    Route("GET", _CHARGER, "chargers.GetCharger", "Read a charger", answer="charger", without=_BY_ID),
    Route("GET", "/ocpp-identities/{ocpp_identity}", "chargers.GetCharger", "Find the charger of an OCPP identity", answer="charger", without=_BY_IDENTITY),
    Route("POST", f"{_CHARGER}/password", "chargers.ReplaceChargerPassword", "Give a charger another password"),
    Route("PUT", f"{_CHARGER}/installation", "chargers.MoveCharger", "Move a charger to another installation"),
    Route("PUT", f"{_CHARGER}/authorisation-override", "chargers.SetAuthorisationOverride", "Let a charger deviate from its installation"),
    Route("PUT", f"{_CHARGER}/identification-types", "chargers.SetIdentificationTypes", "Replace the identification types that a charger accepts"),
    Route("PUT", f"{_CHARGER}/reader-quirks", "chargers.SetReaderQuirks", "Say how a charger's card reader deviates", body="reader_quirks"),
    Route("GET", f"{_CHARGER}/users", "chargers.ListChargerUsers", "List who can use a charger"),
    Route("GET", "/usable-chargers", "chargers.ListUsableChargers", "List the chargers that a user can use"),

    Route("POST", f"{_SITE}/permissions", "permissions.GrantPermission", "Grant a permission on an installation", created=_PERMISSION),
    Route("POST", f"{_CHARGER}/permissions", "permissions.GrantPermission", "Grant a permission on one charger", created=_PERMISSION),
    Route("GET", f"{_SITE}/permissions", "permissions.ListPermissions", "List the permissions on an installation"),
    Route("GET", f"{_CHARGER}/permissions", "permissions.ListPermissions", "List the permissions on one charger"),
    Route("GET", "/permissions", "permissions.ListPermissionsOfUser", "List the permissions of a user"),
    Route("GET", _PERMISSION, "permissions.GetPermission", "Read a permission", answer="permission"),
    Route("PATCH", _PERMISSION, "permissions.ChangePermission", "Change a permission"),
    Route("DELETE", _PERMISSION, "permissions.RevokePermission", "Revoke a permission"),

    Route("POST", "/partners", "partners.CreatePartner", "Create a partner", created=_PARTNER),
    Route("GET", "/partners", "partners.ListPartners", "List the partners that one is a member of"),
    Route("GET", _PARTNER, "partners.GetPartner", "Read a partner", answer="partner"),
    Route("PATCH", _PARTNER, "partners.ChangePartner", "Change a partner"),
    Route("POST", f"{_PARTNER}/lookup-key", "partners.RotateLookupKey", "Give a partner another lookup key"),
    Route("GET", "/lookup-keys/{lookup_key}", "partners.SearchPartner", "Find the partner of a lookup key"),
    Route("POST", f"{_PARTNER}/members", "partners.AddPartnerMember", "Add a member to a partner"),
    Route("GET", f"{_PARTNER}/members", "partners.ListPartnerMembers", "List a partner's members"),
    Route("DELETE", f"{_PARTNER}/members/{{user_id}}", "partners.RemovePartnerMember", "Remove a member from a partner"),
    Route("POST", f"{_SITE}/partners/names", "partners.ListPartnerNames", "Tell what partners of an installation are called"),
    Route("GET", f"{_PARTNER}/permissions", "partners.ListPartnerPermissions", "List a partner's permissions"),
    Route("PUT", f"{_PARTNER}/decision-endpoint", "decision_endpoints.SetDecisionEndpoint", "Say where a payment operator answers who may charge"),
    Route("GET", f"{_PARTNER}/decision-endpoint", "decision_endpoints.DescribeDecisionEndpoint", "Read where a payment operator answers who may charge"),
    Route("DELETE", f"{_PARTNER}/decision-endpoint", "decision_endpoints.RemoveDecisionEndpoint", "Ask a payment operator no longer who may charge"),
    Route("POST", f"{_PARTNER}/credentials", "credentials.IssuePartnerCredential", "Issue a credential to a partner's programs"),
    Route("GET", f"{_PARTNER}/credentials", "credentials.ListPartnerCredentials", "List a partner's credentials"),
    Route("DELETE", "/partner-credentials/{credential_id}", "credentials.RevokePartnerCredential", "Revoke a partner's credential"),
    Route("POST", "/partner-credentials/{credential_id}/exchange", "credentials.ExchangePartnerCredential", "Exchange a partner's credential for an access token"),

    # Whoever has a link may read and answer: what it carries stands in no address.
    Route("POST", _ASKED, "access_requests.RequestAccess", "Ask for access"),
    Route("POST", f"{_ASKED}/read", "access_requests.GetAccessRequest", "Read who asks for access by a link", answer="access_request"),
    Route("POST", f"{_ASKED}/approve", "access_requests.ApproveAccessRequest", "Approve a request for access"),
    Route("POST", f"{_ASKED}/deny", "access_requests.DenyAccessRequest", "Deny a request for access"),
    Route("DELETE", f"{_ASKED}/{{access_request_id}}", "access_requests.WithdrawAccessRequest", "Withdraw a request for access"),
    Route("GET", f"{_SITE}/access-requests", "access_requests.ListAccessRequests", "List who asks for access to an installation"),
    Route("GET", f"{_PARTNER}/access-requests", "access_requests.ListAccessRequests", "List what a partner asks for"),

    Route("POST", f"{_SITE}/users", "users.AddLocalUser", "Add a local user to an installation", created=_USER),
    # By names, which stand in no address, people are searched.
    Route("GET", f"{_SITE}/users", "users.ListUsers", "List an installation's local users", without=("search",)),
    Route("POST", f"{_SITE}/people/search", "users.SearchPeople", "Search an installation's people"),
    Route("POST", f"{_SITE}/people/names", "users.ListNames", "Tell what people of an installation are called"),
    Route("POST", f"{_PARTNER}/members/names", "users.ListNames", "Tell what members of a partner are called"),
    Route("GET", _USER, "users.GetUser", "Read a user", answer="user"),
    Route("PUT", f"{_USER}/name", "users.RenameUser", "Rename a user"),
    Route("PATCH", f"{_USER}/profile", "users.ChangeProfile", "Change a user's time zone or language"),
    Route("PUT", f"{_USER}/block", "users.BlockUser", "Block a user"),
    Route("DELETE", f"{_USER}/block", "users.UnblockUser", "Unblock a user"),
    Route("DELETE", _USER, "privacy.EraseUser", "Erase a user, for ever"),
    Route("POST", f"{_USER}/export", "privacy.ExportUser", "Export all that is known of a user"),
    Route("POST", f"{_SITE}/people/import", "people.ImportPeople", "Import an installation's people from a table", body="csv", media=_CSV),
    Route("POST", f"{_SITE}/people/export", "people.ExportPeople", "Export an installation's people as a table", answer="csv", media=_CSV),

    Route("POST", f"{_USER}/identifications", "identifications.AddIdentification", "Add an identification to a user"),
    Route("GET", f"{_USER}/identifications", "identifications.ListIdentifications", "List a user's identifications"),
    Route("PATCH", "/identifications/{identification_id}", "identifications.ChangeIdentification", "Change an identification"),
    Route("DELETE", "/identifications/{identification_id}", "identifications.RemoveIdentification", "Remove an identification"),
    Route("POST", "/identifications/{identification_id}/reveal", "identifications.RevealCode", "Reveal an identification's code"),
    Route("POST", f"{_SITE}/identifications/describe", "identifications.DescribeIdentifications", "Tell what identifications are, by their ids"),
    Route("POST", f"{_SITE}/free-pins", "identifications.GeneratePins", "Tell PINs that are free at an installation"),
    Route("POST", f"{_USER}/scans", "scans.StartScan", "Start to scan what is presented at a charger", created=_SCAN),
    Route("GET", _SCAN, "scans.GetScan", "Read what became of a scan"),
    Route("DELETE", _SCAN, "scans.CancelScan", "Cancel a scan"),
    Route("GET", f"{_SITE}/unknown-codes", "scans.ListUnknownCodes", "List what was presented at an installation and is nobody's"),
    Route("POST", "/unknown-codes/{unknown_code_id}/identification", "scans.AddFromUnknownCode", "Make what was presented a user's identification"),

    Route("GET", f"{_SITE}/invitations", "invitations.ListInvitations", "List an installation's invitations"),
    Route("POST", "/invitations/{invitation_id}/resend", "invitations.ResendInvitation", "Send an invitation again"),
    Route("DELETE", "/invitations/{invitation_id}", "invitations.RevokeInvitation", "Revoke an invitation"),
    Route("POST", "/invitations/read", "invitations.GetInvitation", "Read by an invitation's link what it is to"),
    Route("POST", "/invitations/accept", "invitations.AcceptInvitation", "Accept an invitation by its link, and sign in"),

    Route(
        "POST",
        "/sign-in/links",
        "sign_in.RequestSignInLink",
        "Have a link to sign in mailed",
        mails=True,
    ),
    Route("POST", "/sign-in", "sign_in.SignIn", "Sign in by a link"),
    Route("POST", "/sign-in/open-id", "sign_in.BeginOpenIdSignIn", "Begin to sign in by an OpenID Connect provider"),
    Route("POST", "/sign-in/open-id/complete", "sign_in.CompleteOpenIdSignIn", "Complete it"),
    Route("POST", "/sign-in/refresh", "sign_in.RefreshSignIn", "Stay signed in by a refresh token"),
    Route("POST", "/sign-in/administrator", "sign_in.ActAsAdministrator", "Act as an administrator"),
    Route("POST", f"{_USER}/sign-in", "sign_in.SignInAs", "Sign in as somebody, for administrators"),
    Route("POST", "/sign-out", "sign_in.SignOut", "Sign out"),
    Route("GET", "/.well-known/jwks.json", "sign_in.GetKeys", "Read the keys that access tokens are signed with", answer="jwks", media="application/jwk-set+json"),

    Route("POST", "/authorizations", "gateway.Authorize", "Ask what a charger would be answered, without a trace"),
    Route("GET", "/connections", "gateway.ListConnections", "List the chargers that are connected"),
    Route("GET", f"{_SITE}/charger-states", "gateway.ListChargerStates", "List how an installation's chargers are right now"),
    Route("GET", f"{_CHARGER}/state", "gateway.ListChargerStates", "Tell how a charger is right now", without=("charger_ids",)),
    Route("GET", f"{_CHARGER}/running-sessions", "gateway.ListRunningSessions", "List the sessions that run at a charger"),
    Route("GET", f"{_SITE}/convergence", "convergence.ListConvergence", "Tell how far an installation's chargers have what they should"),
    Route("GET", f"{_CHARGER}/convergence", "convergence.ListConvergence", "Tell how far a charger has what it should"),
    Route("POST", f"{_SITE}/previews", "previews.PreviewChange", "Tell what a change would do to who can charge"),

    Route("POST", f"{_CHARGER}/sessions", "charger_commands.StartSession", "Start a session"),
    Route("POST", "/sessions/{session_id}/stop", "charger_commands.StopSession", "Stop a session"),
    Route("POST", "/sessions/{session_id}/end", "charger_commands.EndSession", "End a session in the books"),
    Route("POST", f"{_CHARGER}/reset", "charger_commands.ResetCharger", "Reset a charger"),
    Route("POST", f"{_CHARGER}/disconnect", "charger_commands.DisconnectCharger", "Close a charger's connection"),
    Route("POST", f"{_CHARGER}/unlock", "charger_commands.UnlockConnector", "Unlock a charger's connector"),
    Route("POST", f"{_CHARGER}/availability", "charger_commands.ChangeAvailability", "Put a charger into operation, or out of it"),
    Route("POST", f"{_CHARGER}/trigger", "charger_commands.TriggerMessage", "Ask a charger for one of its messages"),
    Route("POST", f"{_CHARGER}/clear-cache", "charger_commands.ClearCache", "Clear a charger's cache"),
    Route("GET", f"{_CHARGER}/settings", "charger_commands.GetChargerSettings", "Read a charger's own settings"),
    Route("POST", f"{_CHARGER}/settings", "charger_commands.ChangeChargerSetting", "Change one of a charger's own settings"),
    Route("POST", f"{_CHARGER}/actions", "charger_commands.SendAction", "Send a charger any other action"),

    Route("GET", "/sessions", "history.ListSessions", "List sessions"),
    Route("GET", "/refusals", "history.ListRefusals", "List refusals"),
    Route("GET", "/decisions/{id}", "decisions.ExplainDecision", "Explain why a session began, or something was refused"),
    Route("GET", f"{_SITE}/report", "reports.GetReport", "Report an installation's sessions"),
    # What things are called is sent with it, and stands in no address.
    Route("POST", "/report-files", "reports.ExportReport", "Report an installation's sessions as a file", answer="content", media=f"text/csv, {_XLSX}"),
    Route("GET", "/changes/access", "audits.access.ListChanges", "List what was changed of sites, chargers, permissions and partners"),
    Route("GET", "/changes/identity", "audits.identity.ListChanges", "List what was changed of people and what they present"),

    Route("GET", f"{_PARTNER}/feed", "feeds.GetFeed", "Tell where a partner's feed is to be had"),
    Route("GET", f"{_PARTNER}/feed/events", "feeds.ListFeedEvents", "List the events of a partner's feed"),
    Route("POST", f"{_PARTNER}/webhooks", "webhooks.CreateWebhook", "Have a partner's feed posted to an address"),
    Route("GET", f"{_PARTNER}/webhooks", "webhooks.ListWebhooks", "List a partner's webhooks"),
    Route("PATCH", _WEBHOOK, "webhooks.ChangeWebhook", "Change a webhook"),
    Route("DELETE", _WEBHOOK, "webhooks.RemoveWebhook", "Remove a webhook"),
    Route("POST", f"{_WEBHOOK}/secret", "webhooks.RotateWebhookSecret", "Give a webhook another secret"),
    Route("GET", f"{_WEBHOOK}/attempts", "webhooks.ListWebhookAttempts", "List a webhook's attempts"),
    Route("POST", f"{_WEBHOOK}/replay", "webhooks.ReplayWebhook", "Have a webhook told again what it was"),
    Route("GET", f"{_PARTNER}/ocpi", "ocpi.GetOcpiConnection", "Tell how a payment operator is connected by OCPI"),
    Route("PUT", f"{_PARTNER}/ocpi", "ocpi.ConnectOcpi", "Connect to a payment operator by OCPI"),
    Route("DELETE", f"{_PARTNER}/ocpi", "ocpi.DisconnectOcpi", "Disconnect a payment operator from OCPI"),
    Route("POST", f"{_PARTNER}/ocpi/offer", "ocpi.OfferOcpi", "Let a payment operator connect by OCPI"),
    Route("POST", f"{_PARTNER}/ocpi/pull-tokens", "ocpi.PullOcpiTokens", "Fetch a payment operator's tokens now"),

    Route("GET", f"{_USER}/mail-choices", "mails.GetMailChoices", "Tell which mails a user has declined", answer="choices"),
    Route("PUT", f"{_USER}/mail-choices", "mails.SetMailChoices", "Say which mails a user declines"),
    Route("POST", "/unsubscribe", "mails.Unsubscribe", "Do what a mail's link to unsubscribe does"),
)
# fmt: on
