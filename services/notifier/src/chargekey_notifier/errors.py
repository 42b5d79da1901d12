"""What the notifier refuses, by name.

ChargekeyError
├── InvalidArgumentError
│   ├── CursorMalformedError      cursor_malformed
│   ├── LimitMalformedError       limit_malformed
│   ├── ParameterUnknownError     parameter_unknown
│   ├── PartnerNotNamedError      partner_not_named
│   ├── OcpiUrlMalformedError     ocpi_url_malformed
│   ├── OcpiTokenMalformedError   ocpi_token_malformed
│   ├── EventNameUnknownError     event_unknown
│   ├── MailChoiceUnknownError    mail_choice_unknown
│   ├── MethodNotAllowedError     method_not_allowed
│   └── UrlMalformedError         url_malformed
├── NotFoundError
│   ├── AddressUnknownError       address_unknown
│   ├── PartnerUnknownError       partner_unknown
│   ├── UnsubscribeLinkInvalidError  unsubscribe_link_invalid
│   └── WebhookUnknownError       webhook_unknown
├── FailedPreconditionError
│   ├── AnswerUnreadableError       answer_unreadable
│   ├── CursorAheadError            cursor_ahead
│   ├── CursorExpiredError          cursor_expired
│   ├── PartnerNotOperatorError     partner_not_operator
│   ├── OcpiConnectedError          ocpi_connected
│   ├── OcpiHandshakeUnderWayError  ocpi_handshake_under_way
│   ├── OcpiNotConnectedError       ocpi_not_connected
│   ├── OcpiRefusedError            ocpi_refused
│   ├── OcpiVersionMissingError     ocpi_version_missing
│   └── OcpiEndpointsMissingError   ocpi_endpoints_missing
├── UnauthenticatedError
│   └── TokenRefusedError         unauthenticated
├── ResourceExhaustedError
│   ├── TooManyRequestsError      too_many_requests
│   ├── TooManyStreamsError       too_many_streams
│   └── TooManyWebhooksError      too_many_webhooks
└── UnavailableError
    ├── OcpiUnreachableError      ocpi_unreachable
    └── NotifierUnavailableError  notifier_unavailable
"""

from __future__ import annotations

from chargekey_common.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
)


class CursorMalformedError(InvalidArgumentError):
    """Not a cursor that a feed has given."""

    code = "cursor_malformed"
    sentence = "A cursor is an event's `sequence`; give one as the feed told it, or none."


class LimitMalformedError(InvalidArgumentError):
    """Not a number of events."""

    code = "limit_malformed"
    sentence = "A page has 1 to 1000 events; give such a limit, or none."


class EventNameUnknownError(InvalidArgumentError):
    """Nothing that a feed tells."""

    code = "event_unknown"
    sentence = "A feed has no event of that name; name those of its document, or none for all."


class UrlMalformedError(InvalidArgumentError):
    """Nothing that can be called, or something that would be called in everybody's hearing."""

    code = "url_malformed"
    sentence = (
        "Give an https address of at most 500 characters without user and fragment,"
        " as in https://volt.example/chargekey."
    )


class MailChoiceUnknownError(InvalidArgumentError):
    """Nothing that a person may decline."""

    code = "mail_choice_unknown"
    sentence = "There are no such mails that can be declined; use the choices that are listed."


class UnsubscribeLinkInvalidError(NotFoundError):
    """Not one that a mail carried."""

    code = "unsubscribe_link_invalid"
    sentence = "This link declines nothing; use it whole, as it stands in the mail."


class PartnerUnknownError(NotFoundError):
    """No partner has this id."""

    code = "partner_unknown"
    sentence = "There is no such partner; use the id of one that you are a member of."


class WebhookUnknownError(NotFoundError):
    """No webhook has this id, or none any more."""

    code = "webhook_unknown"
    sentence = "There is no such webhook; use an id of the list of the partner's."


class TooManyWebhooksError(ResourceExhaustedError):
    """Each is a connection, and the same events once more."""

    code = "too_many_webhooks"
    sentence = "A partner has 20 webhooks at most; remove one first."


class NotifierUnavailableError(UnavailableError):
    """The database is locked, full or out of reach: it passes."""

    code = "notifier_unavailable"
    sentence = "The notifier cannot be read or written right now; try again in a moment."


class OcpiUrlMalformedError(InvalidArgumentError):
    """Not where anybody's versions can be."""

    code = "ocpi_url_malformed"
    sentence = "Give the URL of the operator's OCPI versions: https://, 255 characters at most."


class OcpiTokenMalformedError(InvalidArgumentError):
    """Not a credentials token."""

    code = "ocpi_token_malformed"
    sentence = (
        "Give the token as the operator did, not encoded: 1 to 64 printable characters of ASCII."
    )


class PartnerNotOperatorError(FailedPreconditionError):
    """It serves sites, and decides nothing by itself."""

    code = "partner_not_operator"
    sentence = "Only a payment operator connects by OCPI; this partner is of another kind."


class OcpiConnectedError(FailedPreconditionError):
    """There is a connection, and one is all there can be."""

    code = "ocpi_connected"
    sentence = "This operator is connected by OCPI already; disconnect it first."


class OcpiHandshakeUnderWayError(FailedPreconditionError):
    """One is made with this operator just now, and its servers are waited for."""

    code = "ocpi_handshake_under_way"
    sentence = "This operator is being connected just now; wait for what comes of it."


class OcpiNotConnectedError(FailedPreconditionError):
    """There is no connection."""

    code = "ocpi_not_connected"
    sentence = "This operator is not connected by OCPI; offer it a connection, or connect to it."


class OcpiRefusedError(FailedPreconditionError):
    """The operator's server said no, or nothing that OCPI knows; the detail says which."""

    code = "ocpi_refused"
    sentence = "The operator's OCPI server refuses; ask those who run it."


class OcpiVersionMissingError(FailedPreconditionError):
    """It speaks other versions only."""

    code = "ocpi_version_missing"
    sentence = "The operator's OCPI server does not speak version 2.2.1, and we no other."


class OcpiEndpointsMissingError(FailedPreconditionError):
    """It does not answer what a handshake takes."""

    code = "ocpi_endpoints_missing"
    sentence = "The operator's OCPI server has no credentials module; ask those who run it."


class OcpiUnreachableError(UnavailableError):
    """No answer, or from nowhere we may call."""

    code = "ocpi_unreachable"
    sentence = (
        "The operator's OCPI server cannot be reached, or is not on the internet; see to its"
        " address, then try again."
    )


class AddressUnknownError(NotFoundError):
    """Nothing is answered there over HTTP."""

    code = "address_unknown"
    sentence = "Nothing is at this address; /v1/events is where a feed is read."


class MethodNotAllowedError(InvalidArgumentError):
    """Something is answered there, but not to that."""

    code = "method_not_allowed"
    sentence = "This address is not for that method; the header `Allow` says for which it is."


class ParameterUnknownError(InvalidArgumentError):
    """Something in the address that nobody reads there, or twice."""

    code = "parameter_unknown"
    sentence = "Ask with `after`, `limit` and `partner`, each once at most, and nothing else."


class PartnerNotNamedError(InvalidArgumentError):
    """A person asks, who may be in several partners."""

    code = "partner_not_named"
    sentence = "Say whose feed it is: `partner` and the partner's id."


class AnswerUnreadableError(FailedPreconditionError):
    """The command was done, and its answer is sealed under another secret."""

    code = "answer_unreadable"
    sentence = (
        "This was done before, and what it answered cannot be read since the notifier got another"
        " secret; look at what is there, and if need be ask again under a new command id."
    )


class CursorExpiredError(FailedPreconditionError):
    """Events between the cursor and the oldest that is kept are kept no longer."""

    code = "cursor_expired"
    sentence = (
        "What followed this cursor is kept no longer; read on without a cursor, from the oldest"
        " event kept, and take what you know of your sites from there anew."
    )


class CursorAheadError(FailedPreconditionError):
    """The feed has no such event yet, as after a backup was restored."""

    code = "cursor_ahead"
    sentence = (
        "This feed has not come as far as this cursor; read on without one, from the oldest"
        " event kept, and pass over events whose ids you know."
    )


class TokenRefusedError(UnauthenticatedError):
    """No token, or none that is good here, as it was `sent`."""

    sentence = "Get an access token at /v1/token, and send it as `Authorization: Bearer`."

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent


class TooManyRequestsError(ResourceExhaustedError):
    """One caller asks all the time; after `seconds` he may again."""

    code = "too_many_requests"
    sentence = "There were too many requests; try again"

    def __init__(self, seconds: int) -> None:
        super().__init__(f"in {seconds} second{'' if seconds == 1 else 's'}.")
        self.seconds = seconds


class TooManyStreamsError(ResourceExhaustedError):
    """Each is a connection that stays."""

    code = "too_many_streams"
    sentence = "A partner has 10 streams at a time at most; end one first."
