"""All that identity keeps, opened at once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from chargekey_common.postgres import NotMigratedError, Postgres
from chargekey_identity.storage import MAKERS, opened

from .conftest import MASTER


def test_what_the_makers_make_is_all_that_is_opened(place: Path | Postgres, tmp_path: Path) -> None:
    """In one schema, where no table may be anybody else's, or in files beside one another."""
    if isinstance(place, Postgres):
        for _ in range(2):
            for make in MAKERS:
                make(place)
    shared = place if isinstance(place, Postgres) else None
    with opened(lambda file: shared or tmp_path / file, MASTER) as storage:
        storage.events.position()
        assert storage.keyring.destroyed() == set()
        assert storage.signing_keys.jwks() == storage.signing_keys.jwks()
        storage.attempts.spend("somebody", most=1, within=60)
        assert storage.refresh_tokens.begin("anna", at=1)
        assert storage.openid_states.begin("https://portal.example", at=1)
        assert storage.scans.scan("none") is None


def test_without_its_tables_nothing_is_opened(postgres: Postgres) -> None:
    empty = msgspec.structs.replace(postgres, schema=f"{postgres.schema}_empty")
    with pytest.raises(NotMigratedError), opened(lambda _: empty, MASTER):
        pass
