"""PostgreSQL as a place for a service's tables."""

from __future__ import annotations

import msgspec


class Postgres(msgspec.Struct, frozen=True):
    """A schema of a database. The `dsn` holds a password: it is never shown."""

    dsn: str
    schema: str

    def __repr__(self) -> str:
        return f"Postgres(schema={self.schema!r})"
