"""Where a site is, in OCPI's words and lengths (2.2.1, mod_locations §8.3.1)."""

from __future__ import annotations

import re

import msgspec

from chargekey_access.domain.errors import AddressMalformedError
from chargekey_common import names

LONGEST_LINE = 45
LONGEST_POSTAL_CODE = 10
_COUNTRY = re.compile(r"[A-Z]{3}")
_DEGREES = re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{1,15})?")


class Address(msgspec.Struct, frozen=True):
    """A place: `country` is ISO 3166-1 alpha-3, degrees have six places (a hand's breadth)."""

    address: str
    postal_code: str
    city: str
    country: str
    latitude: str
    longitude: str


NOWHERE = Address(address="", postal_code="", city="", country="", latitude="", longitude="")
"""Where a site is until that is said."""


def address(
    *, address: str, postal_code: str, city: str, country: str, latitude: str, longitude: str
) -> Address:
    """Return the address as it is kept; raises AddressMalformedError."""
    country = country.strip().upper()
    if _COUNTRY.fullmatch(country) is None:
        raise AddressMalformedError
    return Address(
        address=_line(address, LONGEST_LINE),
        postal_code=_line(postal_code, LONGEST_POSTAL_CODE) if postal_code.strip() else "",
        city=_line(city, LONGEST_LINE),
        country=country,
        latitude=_degrees(latitude, 90),
        longitude=_degrees(longitude, 180),
    )


def _line(text: str, longest: int) -> str:
    try:
        line = names.line(text)
    except names.NameMalformedError as error:
        raise AddressMalformedError from error
    if len(line) > longest:
        raise AddressMalformedError
    return line


def _degrees(text: str, most: int) -> str:
    text = text.strip()
    if _DEGREES.fullmatch(text) is None or abs(float(text)) > most:
        raise AddressMalformedError
    return f"{float(text):.6f}"
