"""The table in who_may.txt, read, and what it says of a caller."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

_FILE = Path(__file__).with_name("who_may.txt")

ALLOWED, DENIED, MANAGED = None, "permission_denied", "managed_by_third_party"


class Row(msgspec.Struct, frozen=True):
    """One method."""

    about: frozenset[str]
    services: frozenset[str]
    people: frozenset[str]
    managed: str

    def says(
        self,
        caller: str,
        words: Collection[str],
        *,
        known: bool,
        system: bool,
        managed: bool,
        managing: bool,
    ) -> str | None:
        """Return the code of the refusal, or None where such a caller may.

        `words` are his towards the object, `known` whether he counts as anybody who signed
        in; `system` whether that is the object, `managed` whether it is at a site that an
        operator manages, `managing` whether it is the permission by which it does.
        """
        kind, _, name = caller.partition(":")
        if "anyone" in self.people:
            return ALLOWED
        if kind == "service":
            return ALLOWED if name in self.services else DENIED
        if kind != "administrator":
            everybody = known and system and "known" in self.people
            if not everybody and self.people.isdisjoint(words):
                return DENIED
        if not managed or self.managed == "-" or "OPERATOR" in words:
            return ALLOWED
        tidying = "SELF" in words or "PARTED" in words
        own = self.managed == "operator+own" and (tidying or managing)
        return ALLOWED if own else MANAGED


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split()) - {"-"}


def _read() -> Mapping[str, Row]:
    rows = {}
    for line in _FILE.read_text().splitlines():
        if line and not line.startswith("#"):
            method, about, services, people, managed = (each.strip() for each in line.split("|"))
            rows[method] = Row(_set(about), _set(services), _set(people), managed)
    return rows


TABLE = _read()
