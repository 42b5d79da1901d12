"""The words of the command line for what the services number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from chargekey.access.v1 import (
    access_requests_pb2,
    chargers_pb2,
    decision_endpoints_pb2,
    installations_pb2,
    partners_pb2,
    permissions_pb2,
)
from chargekey.gateway.v1 import gateway_pb2
from chargekey.identity.v1 import identifications_pb2, invitations_pb2, scans_pb2, users_pb2
from chargekey_stack.errors import ChoiceUnknownError

Number = TypeVar("Number", bound=int)


def completed(words: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what completes a text of words with commas between, for the shell."""

    def complete(incomplete: str) -> list[str]:
        before, comma, begun = incomplete.rpartition(",")
        rest = [word for word in words if word not in before.split(",")]
        return [f"{before}{comma}{word}" for word in rest if word.startswith(begun)]

    return complete


class Words(Generic[Number]):
    """Words and numbers of one enumeration, both ways."""

    def __init__(self, numbers: Mapping[str, Number]) -> None:
        self._numbers = numbers
        self._words: dict[int, str] = {number: word for word, number in numbers.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def number(self, word: str) -> Number:
        """Return a word's number; raises ChoiceUnknownError, which lists the words."""
        try:
            return self._numbers[word.strip().lower()]
        except KeyError:
            raise ChoiceUnknownError(", ".join(self._numbers)) from None

    def numbers(self, words: str) -> list[Number]:
        """Return the numbers of words with commas between; none of an empty text."""
        return [self.number(word) for word in words.split(",") if word]

    def word(self, number: int) -> str:
        """Return a number's word."""
        return self._words[number]


AUTHORISATIONS = Words(
    {
        "inherit": chargers_pb2.AUTHORISATION_OVERRIDE_INHERIT,
        "required": chargers_pb2.AUTHORISATION_OVERRIDE_REQUIRED,
        "not-required": chargers_pb2.AUTHORISATION_OVERRIDE_NOT_REQUIRED,
    }
)
ROLES = Words(
    {
        "owner": permissions_pb2.ROLE_OWNER,
        "user": permissions_pb2.ROLE_USER,
        "service": permissions_pb2.ROLE_SERVICE,
        "operator": permissions_pb2.ROLE_OPERATOR,
    }
)
TYPES = Words(
    {
        "rfid": identifications_pb2.IDENTIFICATION_TYPE_RFID,
        "pin": identifications_pb2.IDENTIFICATION_TYPE_PIN,
        "app": identifications_pb2.IDENTIFICATION_TYPE_APP,
        "vehicle-id": identifications_pb2.IDENTIFICATION_TYPE_VEHICLE_ID,
        "sms": identifications_pb2.IDENTIFICATION_TYPE_SMS,
        "credit-card": identifications_pb2.IDENTIFICATION_TYPE_CREDIT_CARD,
    }
)
AUTHENTICATIONS = Words(
    {
        "native": installations_pb2.AUTHENTICATION_TYPE_NATIVE,
        "external": installations_pb2.AUTHENTICATION_TYPE_EXTERNAL,
    }
)
# What becomes of a session that runs.
RUNNING = Words(
    {
        "stop": installations_pb2.RUNNING_SESSIONS_STOP,
        "finish": installations_pb2.RUNNING_SESSIONS_FINISH,
    }
)
ON_VIEW_BEHIND = Words(
    {
        "deny": installations_pb2.ON_VIEW_BEHIND_DENY,
        "last-known": installations_pb2.ON_VIEW_BEHIND_LAST_KNOWN,
    }
)
ON_OPERATOR_TIMEOUT = Words(
    {
        "deny": installations_pb2.ON_OPERATOR_TIMEOUT_DENY,
        "last-known": installations_pb2.ON_OPERATOR_TIMEOUT_LAST_KNOWN,
    }
)
PARTNERS = Words(
    {
        "service-partner": partners_pb2.PARTNER_KIND_SERVICE_PARTNER,
        "payment-operator": partners_pb2.PARTNER_KIND_PAYMENT_OPERATOR,
    }
)
# How a payment operator is asked who may charge.
DECISION_ENDPOINTS = Words(
    {
        "ocpi": decision_endpoints_pb2.DECISION_ENDPOINT_KIND_OCPI,
        "ocpi-plain": decision_endpoints_pb2.DECISION_ENDPOINT_KIND_OCPI_PLAIN,
        "webhook": decision_endpoints_pb2.DECISION_ENDPOINT_KIND_WEBHOOK,
    }
)
USERS = Words(
    {
        "local": users_pb2.USER_KIND_LOCAL,
        "account": users_pb2.USER_KIND_ACCOUNT,
        "pending": users_pb2.USER_KIND_PENDING,
        # To whom it is not told whether there is an account.
        "invited": users_pb2.USER_KIND_UNSPECIFIED,
    }
)
INVITATIONS = Words(
    {
        "waiting": invitations_pb2.INVITATION_STATE_WAITING,
        "accepted": invitations_pb2.INVITATION_STATE_ACCEPTED,
        "revoked": invitations_pb2.INVITATION_STATE_REVOKED,
        "expired": invitations_pb2.INVITATION_STATE_EXPIRED,
    }
)
ACCESS_REQUESTS = Words(
    {
        "waiting": access_requests_pb2.ACCESS_REQUEST_STATE_WAITING,
        "approved": access_requests_pb2.ACCESS_REQUEST_STATE_APPROVED,
        "denied": access_requests_pb2.ACCESS_REQUEST_STATE_DENIED,
        "withdrawn": access_requests_pb2.ACCESS_REQUEST_STATE_WITHDRAWN,
        "expired": access_requests_pb2.ACCESS_REQUEST_STATE_EXPIRED,
    }
)
SCANS = Words(
    {
        "waiting": scans_pb2.SCAN_STATE_WAITING,
        "present-again": scans_pb2.SCAN_STATE_PRESENT_AGAIN,
        "added": scans_pb2.SCAN_STATE_ADDED,
        "expired": scans_pb2.SCAN_STATE_EXPIRED,
        "cancelled": scans_pb2.SCAN_STATE_CANCELLED,
        "refused": scans_pb2.SCAN_STATE_REFUSED,
    }
)
STATUSES = Words(
    {
        "active": identifications_pb2.IDENTIFICATION_STATUS_ACTIVE,
        "inactive": identifications_pb2.IDENTIFICATION_STATUS_INACTIVE,
        "blocked": identifications_pb2.IDENTIFICATION_STATUS_BLOCKED,
    }
)
# What is presented; without a word for it, the gateway tells by the code.
TOKENS = Words({"rfid": gateway_pb2.TOKEN_TYPE_RFID, "pin": gateway_pb2.TOKEN_TYPE_PIN})
# As chargers are told.
VERDICTS = Words(
    {
        # Nobody's verdict: the operator of the site would be asked.
        "Undecided": gateway_pb2.AUTHORIZATION_STATUS_UNSPECIFIED,
        "Accepted": gateway_pb2.AUTHORIZATION_STATUS_ACCEPTED,
        "Blocked": gateway_pb2.AUTHORIZATION_STATUS_BLOCKED,
        "Expired": gateway_pb2.AUTHORIZATION_STATUS_EXPIRED,
        "Invalid": gateway_pb2.AUTHORIZATION_STATUS_INVALID,
        "ConcurrentTx": gateway_pb2.AUTHORIZATION_STATUS_CONCURRENT_TX,
    }
)
