"""What history is told by its environment: variables that begin with `HISTORY_`."""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from chargekey_common.settings import ServiceSettings


class HistorySettings(ServiceSettings):
    """History's own settings beside every service's."""

    model_config = SettingsConfigDict(env_prefix="HISTORY_")

    # Where access answers Check, `host:port`.
    access_address: str
