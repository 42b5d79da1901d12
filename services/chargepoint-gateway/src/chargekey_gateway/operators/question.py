"""What an operator is asked, and how it is sent; in no protocol's words. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["OCPI", "OCPI_PLAIN", "WEBHOOK"]
Stage = Literal["authorize", "start"]

LONGEST_REFERENCE = 64


class OcpiParties(msgspec.Struct, frozen=True):
    """Whom OCPI's routing headers name as sender and as receiver."""

    from_country_code: str
    from_party_id: str
    to_country_code: str
    to_party_id: str


class Endpoint(msgspec.Struct, frozen=True):
    """Where an operator answers, and what it is called with there."""

    kind: Kind
    url: str
    secret: str
    parties: OcpiParties | None = None

    def __repr__(self) -> str:
        return f"Endpoint({self.kind})"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Who presents what where; `at` in nanoseconds since the epoch, `type` as in the settings.

    Of type APP, `code` is the identification's id and `user_id` is whose: both say nothing to
    anybody else, and nobody becomes him by them.
    """

    charger_id: str
    installation_id: str
    code: str
    type: str
    at: int
    stage: Stage
    connector: int | None = None
    user_id: str | None = None

    def __repr__(self) -> str:
        """Say where and at which stage, never what."""
        return f"Question({self.charger_id}, {self.stage})"


class MalformedAnswerError(Exception):
    """Not what the protocol calls an answer."""
