"""Typed settings from the environment, and a refusal of every variable nobody reads."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from chargekey_common.postgres import Postgres


class ServiceSettings(BaseSettings):
    """What every service is told; each has a prefix of its own, as in `CHARGEKEY_ACCESS_`.

    Secrets are named by the file they stand in, so that printing settings shows
    none. Addresses are `host:port`; port 0 lets the system choose.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    data: Path
    # Holds `postgresql://user:password@host/database`; without it everything is in files.
    postgres_file: Path | None = None
    nats_url: str
    nats_token_file: Path | None = None
    grpc_address: str = "127.0.0.1:0"
    # Public keys of everyone who may call: `<account>.pem`, one file an account.
    accounts: Path
    # This service's own private key, to call others with.
    account_key_file: Path
    health_address: str = "127.0.0.1:0"
    log_level: str = "INFO"

    def tables(self, file: str) -> Path | Postgres:
        """Return where tables are: a schema called like the service, or `file` under `data`."""
        if self.postgres_file is None:
            return self.data / file
        service = str(self.model_config.get("env_prefix")).removeprefix("CHARGEKEY_").strip("_")
        return Postgres(self.postgres_file.read_text().strip(), service.lower())

    @property
    def nats_token(self) -> str | None:
        """The token that NATS lets this service in with, if it asks for one."""
        return None if self.nats_token_file is None else self.nats_token_file.read_text().strip()


Settings = TypeVar("Settings", bound=BaseSettings)


def load(settings: type[Settings]) -> Settings:
    """Read the settings, or exit with status 2 and one line for each thing wrong.

    A variable with the settings' prefix that no setting reads is a mistake in
    somebody's deployment, and refused: pydantic-settings alone would ignore it.
    """
    prefix = str(settings.model_config.get("env_prefix", ""))
    known = {(prefix + name).upper() for name in settings.model_fields}
    unknown = sorted(
        name
        for name in os.environ
        # In either case, as pydantic-settings reads them.
        if name.upper().startswith(prefix) and name.upper() not in known
    )
    problems = [f"{name}: no such setting" for name in unknown]
    try:
        loaded: Any = settings()
    except ValidationError as error:
        loaded = None
        # Only where and what kind: the value itself may be a secret.
        problems += [
            f"{prefix}{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
    if problems:
        sys.stderr.write("\n".join(problems) + "\n")
        sys.exit(2)
    result: Settings = loaded
    return result
