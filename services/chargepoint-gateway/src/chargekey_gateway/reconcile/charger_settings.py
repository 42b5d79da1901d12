"""The settings of chargers that bear on authorisation: what they should be, in each version.

A charger asks while it can, and knows its list while it cannot; what a remote start is for
was decided here already; whoever is refused gets no energy. The limits of its list are
read in the same breath.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from chargekey_gateway.view.entries import Charger

# As many entries in one message where a charger does not say how many it takes.
USUAL_PORTION = 50
# Bytes that one entry needs in OCPP 2.x: an idToken of 36 characters with type, status,
# expiry and group.
ENTRY_BYTES = 256

LIST_ENABLED = {
    "1.6": "LocalAuthListEnabled",
    "2.0.1": "LocalAuthListCtrlr.Enabled",
    "2.1": "LocalAuthListCtrlr.Enabled",
}
STOPPING_GROUP = "AuthCtrlr.MasterPassGroupId"
_LIMITS_16 = ("LocalAuthListMaxLength", "SendLocalListMaxLength")
_LIMITS_20 = ("LocalAuthListCtrlr.ItemsPerMessage", "LocalAuthListCtrlr.BytesPerMessage")


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long a charger's list may be, None for no end, and how much of it a message takes."""

    capacity: int | None = None
    portion: int = USUAL_PORTION


def wanted(version: str, charger: Charger) -> Mapping[str, str]:
    """Return the settings of a charger by the names that its OCPP version has for them."""
    is_open = not charger.authorisation_required
    anybody = _word(is_open or charger.installation.offline_unknown_ids)
    if version == "1.6":
        return {
            "LocalPreAuthorize": "false",
            "LocalAuthorizeOffline": "true",
            "AllowOfflineTxForUnknownId": anybody,
            "AuthorizeRemoteTxRequests": "false",
            "LocalAuthListEnabled": "true",
            "AuthorizationCacheEnabled": "true",
            "StopTransactionOnInvalidId": "true",
            "MaxEnergyOnInvalidId": "0",
        }
    return {
        # Without it a charger asks nobody for anything, which is what open means.
        "AuthCtrlr.Enabled": _word(not is_open),
        "AuthCtrlr.LocalPreAuthorize": "false",
        "AuthCtrlr.LocalAuthorizeOffline": "true",
        "AuthCtrlr.OfflineTxForUnknownIdEnabled": anybody,
        "AuthCtrlr.AuthorizeRemoteStart": "false",
        "AuthCtrlr.DisableRemoteAuthorization": "false",
        STOPPING_GROUP: stopping_group(charger),
        "AuthCacheCtrlr.Enabled": "true",
        "LocalAuthListCtrlr.Enabled": "true",
        "TxCtrlr.StopTxOnInvalidId": "true",
        "TxCtrlr.MaxEnergyOnInvalidId": "0",
    }


def stopping_group(charger: Charger) -> str:
    """Return the group whose cards stop sessions and begin none (C16); empty for no such group.

    No code, and nobody's.
    """
    return charger.installation.id if charger.installation.master_pass else ""


def names(version: str, charger: Charger) -> tuple[str, ...]:
    """Return what is read: the settings, and the limits of the list."""
    return (*wanted(version, charger), *(_LIMITS_16 if version == "1.6" else _LIMITS_20))


def digest(version: str, charger: Charger) -> str:
    """Return what is another one where other settings are wanted."""
    text = "\n".join(f"{name}={value}" for name, value in wanted(version, charger).items())
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def to_change(wish: Mapping[str, str], told: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """Return what has to be set: of what the charger has, what is not as it should be."""
    return [
        (name, value)
        for name, value in wish.items()
        if name in told and told[name].strip().lower() != value
    ]


def limits(told: Mapping[str, str]) -> Limits:
    """Return what a charger says of the list it takes.

    OCPP 2.x has no variable whose value is the capacity: `LocalAuthListCtrlr.Entries` is how many
    there are, and its maxLimit is told in reports, which come as messages of their own; what a
    charger takes is found out by sending. Nor is `SupportsExpiryDateTime` asked for: an entry that
    ends is taken out when it does, and a start without a connection is judged as of its time.
    """
    capacity = _number(told, "LocalAuthListMaxLength")
    items = _number(told, "SendLocalListMaxLength") or _number(told, _LIMITS_20[0])
    size = _number(told, _LIMITS_20[1])
    by_size = None if size is None else max(1, size // ENTRY_BYTES)
    portion = min((each for each in (items, by_size) if each), default=USUAL_PORTION)
    return Limits(capacity=capacity, portion=portion)


def _number(told: Mapping[str, str], name: str) -> int | None:
    text = told.get(name, "").strip()
    return int(text) if text.isascii() and text.isdecimal() and int(text) > 0 else None


def _word(value: bool) -> str:  # noqa: FBT001 - it is the value
    return "true" if value else "false"
