"""What access is told by its environment: variables that begin with `CHARGEKEY_ACCESS_`."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import SettingsConfigDict

from chargekey_common.settings import StreamSettings


class AccessSettings(StreamSettings):
    """Access's own settings beside every service's."""

    model_config = SettingsConfigDict(env_prefix="CHARGEKEY_ACCESS_")

    # The secret that charger passwords are hashed with; the gateway has the same.
    charger_password_secret_file: Path
    # Where identity tells whose an address is, and the keys of people's tokens: `host:port`.
    identity_address: str
    # Where the gateway tells what charges: `host:port`.
    gateway_address: str
