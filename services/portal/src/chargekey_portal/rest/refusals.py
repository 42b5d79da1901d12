"""What REST refuses before a service is asked, by name. Nothing that was sent is echoed."""

from __future__ import annotations

import re
from http import HTTPStatus

from chargekey_portal.refusals import Refusal

_NAME = re.compile(r"[a-z][a-z0-9_.]{0,80}")

UNAUTHENTICATED = Refusal(
    HTTPStatus.UNAUTHORIZED,
    "unauthenticated",
    "Send `Authorization: Bearer` with an access token that signing in has brought.",
)
BODY_MALFORMED = Refusal(
    HTTPStatus.BAD_REQUEST, "body_malformed", "Send a body that is one JSON object in UTF-8."
)
BODY_UNEXPECTED = Refusal(
    HTTPStatus.BAD_REQUEST,
    "body_unexpected",
    "This takes no body; what it needs stands in the address.",
)
MEDIA_TYPE = Refusal(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "media_type_unsupported",
    "Send the body as the media type that this address takes, and name it in Content-Type.",
)
IDEMPOTENCY_KEY_MALFORMED = Refusal(
    HTTPStatus.BAD_REQUEST,
    "idempotency_key_malformed",
    "An Idempotency-Key has 1 to 64 letters, digits, hyphens or underscores.",
)
IDEMPOTENCY_KEY_UNSUPPORTED = Refusal(
    HTTPStatus.BAD_REQUEST,
    "idempotency_key_unsupported",
    "This is done each time it is asked for; leave out Idempotency-Key, and before you repeat"
    " it look whether it was done.",
)
PRECONDITION_FAILED = Refusal(
    HTTPStatus.PRECONDITION_FAILED,
    "precondition_failed",
    "It is not as it was when you read it; read it again, and decide anew.",
)
PRECONDITION_UNSUPPORTED = Refusal(
    HTTPStatus.BAD_REQUEST,
    "precondition_unsupported",
    "There is nothing here that the condition could be held against; leave it out.",
)


def field_unknown(name: str) -> Refusal:
    """Refuse a field, or a parameter, that there is not."""
    # What does not look like a name may be a secret that slipped.
    named = f"`{name}`" if _NAME.fullmatch(name) else "a field"
    sentence = f"There is no such field here: {named}; leave it out, or see how it is spelled."
    return _refusal("field_unknown", sentence)


def field_malformed(name: str, wanted: str) -> Refusal:
    """Refuse a value that is not what the field holds."""
    return _refusal("field_malformed", f"`{name}` must be {wanted}.")


def fields_exclusive(names: list[str]) -> Refusal:
    """Refuse more than one of those of which there can be one."""
    listed = ", ".join(f"`{name}`" for name in names)
    return _refusal("fields_exclusive", f"Give one of these, and not several: {listed}.")


def _refusal(code: str, message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, code, message)
