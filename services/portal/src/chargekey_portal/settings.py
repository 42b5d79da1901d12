"""What the portal is told by its environment: variables that begin with `CHARGEKEY_PORTAL_`."""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from chargekey_common.settings import ProcessSettings


class PortalSettings(ProcessSettings):
    """The portal's own settings; it keeps nothing and signs in nowhere, so it needs few."""

    model_config = SettingsConfigDict(env_prefix="CHARGEKEY_PORTAL_")

    # Where pages are served, `host:port`.
    http_address: str
    # Where chargers connect, as they are to be told: `ws://host:port/ocpp`.
    ocpp_url: str
    # Where the services answer, `host:port`.
    access_address: str
    identity_address: str
    gateway_address: str
    history_address: str
    notifier_address: str
