"""What history is told by its environment: variables that begin with `CHARGEKEY_HISTORY_`."""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from chargekey_common.settings import ServiceSettings


class HistorySettings(ServiceSettings):
    """History's own settings beside every service's."""

    model_config = SettingsConfigDict(env_prefix="CHARGEKEY_HISTORY_")

    # Where access answers Check, and identity tells the keys of people's tokens: `host:port`.
    access_address: str
    identity_address: str
