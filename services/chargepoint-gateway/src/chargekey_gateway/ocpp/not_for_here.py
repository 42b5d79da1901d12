"""What people do not have a charger do through us: why, and what to do instead.

`chargekey charger send` is for whoever serves a site, or operates it. He is trusted to keep
its chargers running, not with the codes that people charge with, nor with whom the chargers
obey. Each version's `send.py` says of every action what holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Payload = Mapping[str, Any]
# Of a payload that is as the standard has it: why not; empty where it may be sent.
Judge = Callable[[Payload], str]

CERTIFICATES = (
    "Certificates say whom a charger trusts, and who it is; change them at the charger itself."
)
CODES = "Nobody presents what is somebody else's; start as yourself with `chargekey charger start`."
CUSTOMERS = (
    "What a charger remembers of people is theirs; `chargekey user export` shows what is kept "
    "of somebody, and `chargekey user erase` forgets it."
)
FIRMWARE = (
    "Firmware sees every card, and would come from wherever the payload says; install the "
    "manufacturer's at the charger itself."
)
LISTS = (
    "Local lists are the system's to send, which knows what is in them; grant or revoke a "
    "permission instead."
)
LOGS = (
    "Logs name who charged, and would go wherever the payload says; read them at the charger "
    "itself."
)
NETWORK = (
    "A network profile makes a charger obey another server, or lowers its security; change it "
    "at the charger itself."
)
PAGES = (
    "A display shows text, lest a page or a link of somebody else ask for codes there; send "
    "it as ASCII or UTF8."
)

_TEXT = frozenset({"ASCII", "UTF8"})
# By which OCPP 1.6 carries the certificates of plug and charge (its application note).
_TUNNEL = "org.openchargealliance.iso15118pnc"


def may(_: Payload) -> str:
    """Let it be sent, whatever is in it."""
    return ""


def never(why: str) -> Judge:
    """Let nobody send it."""
    return lambda _: why


def only_text(payload: Payload) -> str:
    """Let texts for a display be sent, wherever in the payload they are, and nothing else."""
    formats = {each["format"] for each in _objects(payload) if "format" in each}
    return "" if formats <= _TEXT else PAGES


def no_tunnel(payload: Payload) -> str:
    """Let a vendor's own be sent, but not the actions of a standard in disguise."""
    vendor = payload["vendorId"].strip().casefold()
    return CERTIFICATES if vendor.startswith(_TUNNEL) else ""


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    match value:
        case dict():
            yield value
            for name, each in value.items():
                if name != "customData":  # a vendor's own, of any form
                    yield from _objects(each)
        case list():
            for each in value:
                yield from _objects(each)
