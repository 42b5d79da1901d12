"""What identity is told by its environment: variables that begin with `CHARGEKEY_IDENTITY_`."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import SettingsConfigDict

from chargekey_common.settings import ServiceSettings


class IdentitySettings(ServiceSettings):
    """Identity's own settings beside every service's."""

    model_config = SettingsConfigDict(env_prefix="CHARGEKEY_IDENTITY_")

    # The secret that codes are looked up by; the gateway has the same.
    keyed_id_secret_file: Path
    # The secret that wraps the users' data keys; nobody else has it.
    master_key_file: Path
    # Where access answers: `host:port`.
    access_address: str
