"""Whose an address is, as far as anybody can tell who counts what comes from it."""

from __future__ import annotations

import ipaddress

# Of IPv6 everybody has as many addresses as he likes, and one network of this length.
_LENGTH = 64


def network_of(address: str) -> str:
    """Return the address or, of IPv6, its network; nothing of what is none."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(known, ipaddress.IPv4Address):
        return address
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(known), _LENGTH), strict=False))
