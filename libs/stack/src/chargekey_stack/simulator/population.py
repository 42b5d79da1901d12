"""Who comes to the chargers of a fleet: always the same people, whatever the seed."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

import msgspec


class Kind(Enum):
    """What is particular about a person."""

    RESIDENT = 0  # may charge
    BLOCKED = 1
    STRANGER = 2  # may charge elsewhere
    SUSPECT = 3  # is blocked while charging


class Person(msgspec.Struct, frozen=True):
    """Somebody with a card; every third resident has a PIN, too."""

    kind: Kind
    number: int

    @property
    def name(self) -> str:
        """What he is called, and known by."""
        return f"{self.kind.name.lower()}-{self.number:04}"

    @property
    def card(self) -> str:
        """A number of seven bytes that no other person of a fleet has."""
        return f"04534D{self.kind.value:02X}{self.number:06X}"

    @property
    def pin(self) -> str | None:
        """A PIN of which none is a wrong one's beginning or end."""
        return f"#7{self.number:05}" if self.kind is Kind.RESIDENT and not self.number % 3 else None


class Population(msgspec.Struct, frozen=True):
    """Everybody, by kind. As many residents as chargers."""

    residents: tuple[Person, ...]
    blocked: tuple[Person, ...]
    strangers: tuple[Person, ...]
    suspects: tuple[Person, ...]

    @classmethod
    def of(cls, chargers: int) -> Population:
        """Return who comes to so many chargers."""

        def people(kind: Kind, count: int) -> tuple[Person, ...]:
            return tuple(Person(kind, number) for number in range(count))

        few = max(1, chargers // 20)
        return cls(
            people(Kind.RESIDENT, chargers),
            people(Kind.BLOCKED, few),
            people(Kind.STRANGER, few),
            people(Kind.SUSPECT, max(1, chargers // 50)),
        )

    def __iter__(self) -> Iterator[Person]:
        yield from (*self.residents, *self.blocked, *self.strangers, *self.suspects)


def ocpp_identity(number: int) -> str:
    """Return what a charger of a fleet is called."""
    return f"SIM-{number:04}"
