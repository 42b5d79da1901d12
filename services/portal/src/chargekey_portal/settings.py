"""What the portal is told by its environment: variables that begin with `CHARGEKEY_PORTAL_`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from chargekey_common.errors import CannotRunError
from chargekey_common.settings import ProcessSettings, TrustedProxies

# Bytes that nobody tries out.
SHORTEST_SECRET = 32
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class PortalSettings(ProcessSettings):
    """The portal's own settings; it keeps nothing, so it needs few."""

    model_config = SettingsConfigDict(env_prefix="CHARGEKEY_PORTAL_")

    # Where pages are served, `host:port`.
    http_address: str
    # Where people find them, as in `https://charge.example`, where that is elsewhere.
    public_url: Annotated[str, Field(pattern=r"^https?://[^\s/?#]+$")] | None = None
    trusted_proxies: TrustedProxies = frozenset()
    # Random bytes that sessions are signed with, 32 at least: all replicas have the same.
    session_secret_file: Path
    # The portal's own private key, to ask access with what a person may.
    account_key_file: Path
    # Whether identity has an OpenID Connect provider that people may sign in by.
    openid: bool = False
    # Holds the mails that were caught instead of sent, for a system of one's own: whoever
    # reaches the portal reads them all, links to sign in included.
    caught_mails: Path | None = None
    # Where chargers connect, as they are to be told: `ws://host:port/ocpp`.
    ocpp_url: str
    # Where the services answer, `host:port`.
    access_address: str
    identity_address: str
    gateway_address: str
    history_address: str
    notifier_address: str

    @model_validator(mode="after")
    def _among_ourselves(self) -> PortalSettings:
        """Refuse to show everybody's mails to more than this machine."""
        here = self.http_address.rpartition(":")[0] in LOOPBACK
        if self.caught_mails is not None and not here:
            message = "CAUGHT_MAILS is for a portal that listens on this machine alone"
            raise ValueError(message)
        return self

    @property
    def session_secret(self) -> bytes:
        """What sessions are signed with.

        Raises CannotRunError for what could be tried out: whoever knows it is whom he likes.
        """
        secret = self.session_secret_file.read_bytes()
        if len(secret) < SHORTEST_SECRET:
            message = (
                f"SESSION_SECRET_FILE has {len(secret)} bytes, which can be guessed: put"
                f" {SHORTEST_SECRET} random ones there, as `openssl rand -out FILE"
                f" {SHORTEST_SECRET}` does."
            )
            raise CannotRunError(message)
        return secret

    @property
    def url(self) -> str:
        """Where people find the portal."""
        return self.public_url or f"http://{self.http_address}"

    @property
    def hosts(self) -> set[str]:
        """The names it answers under."""
        return {self.http_address.rpartition(":")[0], urlsplit(self.url).hostname or ""}

    @property
    def secure(self) -> bool:
        """Whether people reach it by TLS alone."""
        return self.url.startswith("https://")
