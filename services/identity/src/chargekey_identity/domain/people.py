"""People as a table: CSV (RFC 4180) in UTF-8, read strictly, and written so that no cell acts.

A cell that begins with =, +, -, @ or a tab is a formula to a spreadsheet: written, it gets
an apostrophe in front, and read, it loses it again. Several roles or codes of one person
stand in one cell, separated by semicolons.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import msgspec

from chargekey_identity.domain.errors import (
    BlockedMalformedError,
    CsvHeaderMalformedError,
    CsvMalformedError,
    CsvTooLargeError,
    RolesMalformedError,
)
from chargekey_identity.domain.events import Role

COLUMNS = ("first_name", "last_name", "email", "roles", "valid_until", "pin", "rfid", "blocked")
# Written in front of the others; read, it says which local user a line is about.
ID = "user_id"
LARGEST = 1 << 20
MOST_LINES = 2000

_QUOTE = "'"
_FORMULAS = ("=", "+", "-", "@", "\t", _QUOTE)
# OPERATOR is held by partners alone.
_ROLES: dict[str, Role] = {"owner": "OWNER", "user": "USER", "service": "SERVICE"}
_BLOCKED = {"": False, "no": False, "false": False, "yes": True, "true": True}


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the table, as its cells say; `line` is its number in the file, from 1."""

    line: int = 0
    user_id: str = ""
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    roles: str = ""
    valid_until: str = ""
    pin: str = ""
    rfid: str = ""
    blocked: str = ""

    def __repr__(self) -> str:
        return f"Person(line={self.line})"


def read(data: bytes) -> Sequence[Person]:
    """Return the lines behind the header, empty ones left out.

    Raises CsvTooLargeError, CsvMalformedError or CsvHeaderMalformedError.
    """
    if len(data) > LARGEST:
        raise CsvTooLargeError
    try:
        # Spreadsheets write a byte order mark.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CsvMalformedError from None
    if "\0" in text:
        raise CsvMalformedError
    people: list[Person] = []
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(lines, [])]
        if len(set(header)) != len(header) or set(header) - {ID} != set(COLUMNS):
            raise CsvHeaderMalformedError
        begins = lines.line_num + 1
        for cells in lines:
            if any(map(str.strip, cells)):
                if len(cells) != len(header) or len(people) == MOST_LINES:
                    raise _unfit(cells, header)
                known = dict(zip(header, map(_plain, cells), strict=True))
                people.append(Person(line=begins, **known))
            begins = lines.line_num + 1
    except csv.Error:
        raise CsvMalformedError from None
    return people


def written(people: Iterable[Person]) -> bytes:
    """Return the table with its header."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    names = (ID, *COLUMNS)
    table.writerow(names)
    for person in people:
        table.writerow([_harmless(getattr(person, name)) for name in names])
    return text.getvalue().encode()


def several(cell: str) -> Sequence[str]:
    """Return what stands in a cell, one or several of it, or nothing."""
    return [part for each in cell.split(";") if (part := each.strip())]


def joined(values: Iterable[str]) -> str:
    """Return several in one cell."""
    return "; ".join(values)


def roles(cell: str) -> tuple[Role, ...]:
    """Return the roles in words; USER where none is named. Raises RolesMalformedError."""
    words = [word.lower() for word in several(cell)] or ["user"]
    if not set(words) <= _ROLES.keys():
        raise RolesMalformedError
    return tuple(sorted({_ROLES[word] for word in words}))


def role_words(held: Iterable[Role]) -> str:
    """Return roles as `roles` reads them."""
    return joined(word for word, role in _ROLES.items() if role in set(held))


def blocked(cell: str) -> bool:
    """Return whether it says so; raises BlockedMalformedError."""
    found = _BLOCKED.get(cell.lower())
    if found is None:
        raise BlockedMalformedError
    return found


def _unfit(cells: Sequence[str], header: Sequence[str]) -> CsvMalformedError | CsvTooLargeError:
    return CsvMalformedError() if len(cells) != len(header) else CsvTooLargeError()


def _harmless(cell: str) -> str:
    return f"{_QUOTE}{cell}" if cell.startswith(_FORMULAS) else cell


def _plain(cell: str) -> str:
    quoted = cell.startswith(_QUOTE) and cell[1:].startswith(_FORMULAS)
    return cell[1:] if quoted else cell.strip()
