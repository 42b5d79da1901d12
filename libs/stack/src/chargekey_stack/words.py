"""The words of the command line for what the services number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from chargekey.access.v1 import access_pb2
from chargekey.gateway.v1 import gateway_pb2
from chargekey.identity.v1 import identity_pb2
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
        "inherit": access_pb2.AUTHORISATION_OVERRIDE_INHERIT,
        "required": access_pb2.AUTHORISATION_OVERRIDE_REQUIRED,
        "not-required": access_pb2.AUTHORISATION_OVERRIDE_NOT_REQUIRED,
    }
)
ROLES = Words(
    {
        "owner": access_pb2.ROLE_OWNER,
        "user": access_pb2.ROLE_USER,
        "service": access_pb2.ROLE_SERVICE,
        "operator": access_pb2.ROLE_OPERATOR,
    }
)
# What a charger can be told to accept.
CHARGER_TYPES = Words(
    {
        "rfid": access_pb2.IDENTIFICATION_TYPE_RFID,
        "pin": access_pb2.IDENTIFICATION_TYPE_PIN,
        "app": access_pb2.IDENTIFICATION_TYPE_APP,
    }
)
# What a user can be given.
TYPES = Words(
    {
        "rfid": identity_pb2.IDENTIFICATION_TYPE_RFID,
        "pin": identity_pb2.IDENTIFICATION_TYPE_PIN,
    }
)
STATUSES = Words(
    {
        "active": identity_pb2.IDENTIFICATION_STATUS_ACTIVE,
        "inactive": identity_pb2.IDENTIFICATION_STATUS_INACTIVE,
        "blocked": identity_pb2.IDENTIFICATION_STATUS_BLOCKED,
    }
)
# What is presented; without a word for it, the gateway tells by the code.
TOKENS = Words({"rfid": gateway_pb2.TOKEN_TYPE_RFID, "pin": gateway_pb2.TOKEN_TYPE_PIN})
# As chargers are told.
VERDICTS = Words(
    {
        "Accepted": gateway_pb2.AUTHORIZATION_STATUS_ACCEPTED,
        "Blocked": gateway_pb2.AUTHORIZATION_STATUS_BLOCKED,
        "Expired": gateway_pb2.AUTHORIZATION_STATUS_EXPIRED,
        "Invalid": gateway_pb2.AUTHORIZATION_STATUS_INVALID,
        "ConcurrentTx": gateway_pb2.AUTHORIZATION_STATUS_CONCURRENT_TX,
    }
)
