"""`chargekey restored`: said once, after a store was restored from a backup."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from chargekey_stack.answers import done, show
from chargekey_stack.command import DEFAULT_DATA, Data, Json, example
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.errors import StoreDamagedError, StoreMissingError

if TYPE_CHECKING:
    from chargekey_common.eventstore.recorder import Recorder

app = typer.Typer()


@app.command("restored", epilog=example("chargekey restored access --data ~/chargekey"))
def restored(
    *,
    service: Annotated[
        Literal["access", "identity"],
        typer.Argument(metavar="SERVICE", help="Whose store was restored: access or identity."),
    ],
    json: Json = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Declare a store another one than its stream was filled from, while nothing runs.

    The relay refuses to go on from a store that is older than its stream. After this,
    `chargekey up` fills the stream anew, and whoever follows it starts over.
    """
    # What stands behind the stores is slow to import, and few commands need it.
    from chargekey_stack.database import database  # noqa: PLC0415

    directory = DataDirectory(data)
    if not directory.exists():
        raise StoreMissingError(str(directory.path))
    with directory.locked(), database(directory, None) as postgres:
        generation = _begin_new_generation(directory, service, postgres)
    answer = done(
        f"The store of {service} begins generation {generation}; start it with `chargekey up`.",
        service=service,
        generation=generation,
    )
    show(answer, as_json=json)


def _begin_new_generation(data: DataDirectory, service: str, postgres: Path | None) -> str:
    from eventsourcing.persistence import PersistenceError  # noqa: PLC0415 - as above

    from chargekey_common.eventstore.recorder import StoreUnusableError  # noqa: PLC0415 - as above

    try:
        with contextlib.closing(_recorder(data, service, postgres)) as recorder:
            return recorder.begin_new_generation()
    except (OSError, PersistenceError, StoreUnusableError):
        raise StoreDamagedError(service) from None


def _recorder(data: DataDirectory, service: str, postgres: Path | None) -> Recorder:
    if postgres is not None:
        from chargekey_common.eventstore.postgres import PostgresRecorder  # noqa: PLC0415 - as above
        from chargekey_common.postgres import NotMigratedError, Postgres  # noqa: PLC0415 - as above

        try:
            return PostgresRecorder(Postgres(postgres.read_text().strip(), service))
        except NotMigratedError:
            raise StoreMissingError(service) from None
    from chargekey_common.eventstore.sqlite import SQLiteRecorder  # noqa: PLC0415 - as above

    file = data.path / service / f"{service}.db"
    if not file.exists():
        raise StoreMissingError(str(file))
    return SQLiteRecorder(file)
