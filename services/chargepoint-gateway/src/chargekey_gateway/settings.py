"""What the gateway is told by its environment: variables that begin with `CHARGEKEY_GATEWAY_`."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import SettingsConfigDict

from chargekey_common.settings import ServiceSettings


class GatewaySettings(ServiceSettings):
    """The gateway's own settings beside every service's."""

    model_config = SettingsConfigDict(env_prefix="CHARGEKEY_GATEWAY_")

    # The secrets that codes and charger passwords are hashed with: identity's and access's.
    keyed_id_secret_file: Path
    charger_password_secret_file: Path
    # Where access answers Check; where identity tells the keys of people's tokens, and is told
    # of codes that nobody has: `host:port`.
    access_address: str
    identity_address: str
    # Where chargers connect, as `host:port`.
    ocpp_address: str = "127.0.0.1:0"
    # Copies JetStream keeps of the streams the gateway owns.
    stream_replicas: int = 1
