"""What questions about decisions end in that cannot be answered.

ChargekeyError
└── InvalidArgumentError
    ├── TypeMismatchError      type_mismatch
    ├── TypeUnknownError       identification_type_unknown
    ├── ChargerNotNamedError   charger_not_named
    ├── TooManyPositionsError  positions_too_many
    ├── TooManyChargersError   chargers_too_many
    ├── TooManyQuestionsError  questions_too_many
    ├── InputsMalformedError   inputs_malformed
    ├── ChangeMissingError     change_missing
    ├── OverrideMissingError   override_missing
    ├── TypesMalformedError    identification_types_malformed
    ├── TokensMalformedError   tokens_malformed
    └── ReferenceMalformedError  authorization_reference_malformed
"""

from __future__ import annotations

from typing import get_args

from chargekey_common.errors import InvalidArgumentError
from chargekey_common.published.access import IdentificationType

MOST_POSITIONS = 16
MOST_CHARGERS = 1000
MOST_TOKENS = 1000
MOST_QUESTIONS = 1000


class TypeMismatchError(InvalidArgumentError):
    """A PIN announced as a card, or the other way round."""

    code = "type_mismatch"
    sentence = "A PIN starts with # and a card number does not; leave the type out or correct it."


class TypeUnknownError(InvalidArgumentError):
    """Not a type of anything that is presented."""

    code = "identification_type_unknown"
    sentence = "Choose among the identification types rfid and pin, or leave the type out."


class ChargerNotNamedError(InvalidArgumentError):
    """By neither of its names, or by two that may be two chargers'."""

    code = "charger_not_named"
    sentence = "Name the charger either by its id or by its OCPP identity."


class TooManyPositionsError(InvalidArgumentError):
    """One a service is enough: the newest."""

    code = "positions_too_many"
    sentence = f"Give at most {MOST_POSITIONS} positions; of each service the newest is enough."


class TooManyChargersError(InvalidArgumentError):
    """More chargers than one answer is for, by their ids."""

    code = "chargers_too_many"
    sentence = f"Name at most {MOST_CHARGERS} chargers, or none for all of the installation."


class TooManyQuestionsError(InvalidArgumentError):
    """More than one answer is for; a stream takes any number."""

    code = "questions_too_many"
    sentence = f"Ask at most {MOST_QUESTIONS} questions at once; in a stream, as many as you like."


class InputsMalformedError(InvalidArgumentError):
    """Not what a decision was made from."""

    code = "inputs_malformed"
    sentence = "These are not the recorded inputs of a decision; send them as they were recorded."


class ChangeMissingError(InvalidArgumentError):
    """Nothing would change."""

    code = "change_missing"
    sentence = "Say which change to look at: a revocation, a block, or a setting."


class OverrideMissingError(InvalidArgumentError):
    """Neither of the three."""

    code = "override_missing"
    sentence = "Choose inherit, required or not-required."


class TypesMalformedError(InvalidArgumentError):
    """Not types of identifications."""

    code = "identification_types_malformed"
    sentence = f"Name identification types out of {', '.join(get_args(IdentificationType))}."


class TokensMalformedError(InvalidArgumentError):
    """Not what an operator can have said of tokens."""

    code = "tokens_malformed"
    sentence = (
        f"Send up to {MOST_TOKENS} tokens of up to 36 characters, each with its OCPI whitelisting."
    )


class ReferenceMalformedError(InvalidArgumentError):
    """Not what an operator can call its consent."""

    code = "authorization_reference_malformed"
    sentence = "An authorization reference has up to 36 printable characters."
