"""What identity is told by its environment: variables that begin with `CHARGEKEY_IDENTITY_`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from chargekey_common.settings import StreamSettings
from chargekey_identity.domain import email
from chargekey_identity.domain.errors import EmailMalformedError


class IdentitySettings(StreamSettings):
    """Identity's own settings beside every service's."""

    model_config = SettingsConfigDict(env_prefix="CHARGEKEY_IDENTITY_")

    # The secret that codes are looked up by; the gateway has the same.
    keyed_id_secret_file: Path
    # The secret that wraps the users' data keys; nobody else has it.
    master_key_file: Path
    # Where access answers: `host:port`.
    access_address: str
    # The addresses of people who may act as administrators, a space between two.
    administrators: Annotated[frozenset[str], NoDecode] = frozenset()
    # An OpenID Connect provider to sign in by, if there is one: what it calls itself, how
    # identity is registered there, and where it may send people back to, a space between two.
    openid_issuer: str | None = None
    openid_client_id: str = ""
    openid_client_secret_file: Path | None = None
    openid_redirect_uris: Annotated[frozenset[str], NoDecode] = frozenset()

    @field_validator("openid_redirect_uris", "administrators", mode="before")
    @classmethod
    def _apart(cls, several: str | frozenset[str]) -> frozenset[str]:
        return frozenset(several.split()) if isinstance(several, str) else several

    @field_validator("administrators")
    @classmethod
    def _canonical(cls, addresses: frozenset[str]) -> frozenset[str]:
        """Refuse what is no address, which nobody could sign in by."""
        try:
            return frozenset(map(email.canonical, addresses))
        except EmailMalformedError:
            message = "one of these is no e-mail address"
            raise ValueError(message) from None

    @field_validator("openid_issuer")
    @classmethod
    def _safe(cls, issuer: str | None) -> str | None:
        """Refuse one whose answers anybody on the way could write."""
        if issuer is not None and not _nobody_between(issuer):
            message = "an issuer begins with https://, except on this machine"
            raise ValueError(message)
        return issuer

    @field_validator("openid_redirect_uris")
    @classmethod
    def _safe_too(cls, uris: frozenset[str]) -> frozenset[str]:
        """Refuse to send codes where anybody on the way could read them."""
        if not all(map(_nobody_between, uris)):
            message = "redirect URIs begin with https://, except on this machine"
            raise ValueError(message)
        return uris

    @model_validator(mode="after")
    def _whole(self) -> IdentitySettings:
        """Refuse half a registration."""
        if self.openid_issuer and not (self.openid_client_id and self.openid_redirect_uris):
            message = "OPENID_ISSUER needs OPENID_CLIENT_ID and OPENID_REDIRECT_URIS beside it"
            raise ValueError(message)
        return self


def _nobody_between(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or (
        parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}
    )
