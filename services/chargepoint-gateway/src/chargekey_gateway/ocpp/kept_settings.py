"""Settings that people do not change through us, or do not see: known by their names.

Versions and vendors have names of their own for one thing, and no list has them all. So it
is the words in a name that count: rather a harmless setting too many, to be set at the
charger, than one by which whoever serves a site takes its chargers or its cards.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

ACCESS = (
    "Who may charge is set with `chargekey charger set` and `types` and `chargekey "
    "installation set`, which its chargers then follow."
)
CONNECTION = (
    "Where a charger connects, as whom and how safely is set at the charger itself, lest it "
    "be somebody else's, or lost."
)
DELIVERY = "The system sets how long a charger keeps sessions that it could not report."

# In a name as `_plain` has it; the first that fits says why.
_KEPT = (
    (
        CONNECTION,
        re.compile(
            "password|passwd|passphrase|secret|credential|authorizationkey|(key|pwd|psk)$"
            "|security|certificate|tls|ssl|ssh|telnet"
            "|cponame|organi[sz]ation|identity|(chargepoint|chargebox|station)id"
            "|url|uri$|endpoint|server|host|backend|backoffice|address|centralsystem|csms"
            "|apn|vpn|proxy|dns|ssid|networkprofile|networkconfiguration"
        ),
    ),
    (DELIVERY, re.compile("transactionmessage|messageattempt")),
    (
        ACCESS,
        re.compile(
            "auth|offlinetx|unknownid|invalidid|masterpass|free(vend|charg|mode)"
            "|whitelist|allowlist|rfid|idtag|plugandcharge|pnc|iso15118|contract"
        ),
    ),
)
# What opens something: keys and passwords, and the codes that people charge with. In 2.1 a
# vehicle's address is one of these, too (EVCCID, MacAddress, VIN).
_SECRET = re.compile(
    "password|passwd|passphrase|secret|credential|authorizationkey|masterpass|whitelist"
    "|((?<!public)key|pwd|psk|pass|pin|token|tag|rfid|uid|vehicleid|evccid|vin|macaddress)$"
    # Whom a charger takes everybody for who presents nothing.
    "|(free|default|plugand|auto)[a-z]*id(entifier)?$"
)
_WITH_PASSWORD = re.compile(r"://[^/\s]*@")
# Without a word in front of it, perhaps with a port or a path behind.
_ADDRESS = re.compile(r"\s*\d{1,3}(\.\d{1,3}){3}(?![\d.])")


def why_kept(names: Iterable[str], value: str) -> str:
    """Return why nobody sets this to `value`, and what to do instead; empty where one may.

    In OCPP 2.x a setting has up to four names: its component's and its variable's, with
    instances. No word is needed to tell an address.
    """
    if "://" in value or _ADDRESS.match(value):
        return CONNECTION
    plain = [_plain(name) for name in names]
    for why, words in _KEPT:
        if any(words.search(name) for name in plain):
            return why
    return ""


def is_secret(names: Iterable[str], value: str) -> bool:
    """Whether the value is nobody's to see: by a name of the setting's, or an address with one."""
    if _WITH_PASSWORD.search(value):
        return True
    return any(_SECRET.search(_plain(name)) for name in names)


def _plain(name: str) -> str:
    """Return a name as a lenient charger may compare it: without case, signs, or a number."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(filter(str.isalnum, folded)).rstrip("0123456789")
