"""Whose an address is, as far as anybody can tell who counts what comes from it."""

from __future__ import annotations

import ipaddress
import socket

# Of IPv6 everybody has as many addresses as he likes, and one network of this length.
_LENGTH = 64


def network_of(address: str) -> str:
    """Return the address or, of IPv6, its network; nothing of what is none."""
    if _is_ipv4(address):
        return address
    try:
        known = ipaddress.IPv6Address(address)
    except ValueError:
        return ""
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(known), _LENGTH), strict=False))


def _is_ipv4(address: str) -> bool:
    # Not by ipaddress: it takes twenty times as long, and every connection asks.
    try:
        socket.inet_pton(socket.AF_INET, address)
    except (OSError, ValueError):
        return False
    return True
