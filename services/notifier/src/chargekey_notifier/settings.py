"""What the notifier is told by its environment: variables that begin with `CHARGEKEY_NOTIFIER_`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from chargekey_common.settings import StreamSettings, TrustedProxies
from chargekey_notifier.mails.post import SmtpTls

# One plain address; what would need quoting in a header is refused.
MailAddress = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+$", max_length=254)
]


class NotifierSettings(StreamSettings):
    """The notifier's own settings beside every service's; addresses are `host:port`."""

    model_config = SettingsConfigDict(env_prefix="CHARGEKEY_NOTIFIER_")

    # Asked for users' and sites' names at the moment a mail is sent.
    identity_address: str
    access_address: str
    # Asked who may charge, and told to start and stop, for operators that speak OCPI.
    gateway_address: str
    smtp_address: str
    # `offered`: TLS where the server offers it; `required`: by STARTTLS, or not at all; `implicit`:
    # from the first byte on, as on port 465.
    smtp_tls: SmtpTls = "offered"
    # Whom the server lets in with the password in the file, read anew for each mail; nobody is
    # named to it otherwise.
    smtp_user: str = ""
    smtp_password_file: Path | None = None
    sender_address: MailAddress
    # Who is told what no owner can be mailed about: local users have no address.
    administrator_address: MailAddress
    administrator_language: Literal["en", "nb"] = "en"
    # Where people find the portal, as in `https://charge.example`: what links begin with.
    portal_url: Annotated[str, Field(pattern=r"^https?://[^\s#?]+[^\s#?/]$")]
    # Where partners' programs and unsubscribe links are answered, and what it is called outside.
    http_address: str
    trusted_proxies: TrustedProxies = frozenset()
    public_url: Annotated[str, Field(pattern=r"^https?://[^\s#?]+[^\s#?/]$")]
    # For how long a feed can be read again.
    feed_days: Annotated[int, Field(ge=30, le=3650)] = 35
    # Where partners pull their feeds by NATS, as it is called outside.
    partners_nats_url: str
    # Signs who of them is let in there: the seed of an account, as `nk -gen account` makes it.
    nats_issuer_file: Path
    # Seals what webhooks and operators are called with: 32 bytes or more.
    secret_file: Path
    # As whom we speak OCPI: as registered for charge point operators. XX is nobody's country.
    ocpi_country_code: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "XX"
    ocpi_party_id: Annotated[str, Field(pattern=r"^[A-Z0-9]{3}$")] = "CKY"
    ocpi_name: Annotated[str, Field(min_length=1, max_length=64)] = "Chargekey"
    # What OCPI's sessions and CDRs are told in, although they cost nothing: ISO 4217.
    ocpi_currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    # Lets webhooks and operators be called without TLS, and in our own network: for development.
    partners_anywhere: bool = False

    @model_validator(mode="after")
    def _keep_the_password(self) -> Self:
        """Refuse half a login, and to tell the password to whoever listens."""
        if bool(self.smtp_user) != (self.smtp_password_file is not None):
            message = "an SMTP login is a user and a password: set both, or none"
            raise ValueError(message)
        if self.smtp_user and self.smtp_tls == "offered":
            message = "an SMTP login needs TLS: set SMTP_TLS to required or implicit"
            raise ValueError(message)
        return self
