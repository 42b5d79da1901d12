"""What the notifier is told by its environment: variables that begin with `CHARGEKEY_NOTIFIER_`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chargekey_common.settings import ServiceSettings

# One plain address; what would need quoting in a header is refused.
MailAddress = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+$", max_length=254)
]


class NotifierSettings(ServiceSettings):
    """The notifier's own settings beside every service's; the first three are `host:port`."""

    model_config = SettingsConfigDict(env_prefix="CHARGEKEY_NOTIFIER_")

    # Asked for users' and sites' names at the moment a mail is sent.
    identity_address: str
    access_address: str
    smtp_address: str
    sender_address: MailAddress
    # Who is told what no owner can be mailed about: local users have no address.
    administrator_address: MailAddress
    # Where people find the portal, as in `https://charge.example`: what links begin with.
    portal_url: Annotated[str, Field(pattern=r"^https?://[^\s#?]+[^\s#?/]$")]
