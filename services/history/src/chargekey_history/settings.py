"""What history is told by its environment: variables that begin with `CHARGEKEY_HISTORY_`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chargekey_common.settings import ServiceSettings


class HistorySettings(ServiceSettings):
    """History's own settings beside every service's."""

    model_config = SettingsConfigDict(env_prefix="CHARGEKEY_HISTORY_")

    # Where access answers Check, and identity tells the keys of people's tokens: `host:port`.
    access_address: str
    identity_address: str
    # Where the gateway makes recorded decisions again, for whoever asks why: `host:port`.
    gateway_address: str
    # For how many days after their end sessions are kept, and refusals; 0 for ever. The
    # stream they come from has a length of its own.
    retention_days: Annotated[int, Field(ge=0, le=36_500)] = 0
