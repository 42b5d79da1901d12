"""What the gateway is told by its environment: variables that begin with `CHARGEKEY_GATEWAY_`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from chargekey_common.settings import StreamSettings
from chargekey_gateway.ocpp import profiles
from chargekey_gateway.ocpp.certificates import CertificateFiles
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.ocpp.profiles import SecurityProfiles

_LIMITS = Limits()


class GatewaySettings(StreamSettings):
    """The gateway's own settings beside every service's."""

    model_config = SettingsConfigDict(env_prefix="CHARGEKEY_GATEWAY_")

    # The secrets that codes and charger passwords are hashed with: identity's and access's.
    keyed_id_secret_file: Path
    charger_password_secret_file: Path
    # Where access answers Check; where identity tells the keys of people's tokens, and is told
    # of codes that nobody has: `host:port`.
    access_address: str
    identity_address: str
    # Where chargers connect, as `host:port`: without TLS where profile 0 or 1 is allowed,
    # by TLS where there is an address for it.
    ocpp_address: str = "127.0.0.1:0"
    ocpp_tls_address: str | None = None
    # PEM files: the gateway's certificate with its chain, its key, and the CA that signs
    # chargers' certificates, without which there is no profile 3. Read again as they change.
    ocpp_tls_certificate_file: Path | None = None
    ocpp_tls_key_file: Path | None = None
    ocpp_client_ca_file: Path | None = None
    # O in chargers' certificates, where it has to be just this.
    ocpp_client_organisation: str | None = None
    # OCPP's, as in `2,3`; by default those from 1 on that the above makes possible. 0 lets
    # everybody in who knows a charger's identity: for development, and never beside TLS.
    security_profiles: Annotated[frozenset[int] | None, NoDecode] = None
    # Where the view is kept, so that a restart reads only what came since; without one it reads
    # all there was. Written every so many seconds by a child that may need as much memory again.
    snapshot_file: Path | None = None
    snapshot_interval: PositiveFloat = 300.0
    # Seconds over which a replica that ends closes its chargers' connections.
    closing_spread: NonNegativeFloat = 0.0
    # Limits of connections, explained in `ocpp/limits.py`.
    heartbeat_interval: PositiveInt = _LIMITS.heartbeat_interval
    first_call_timeout: PositiveFloat = _LIMITS.first_call_timeout
    messages_per_second: PositiveFloat = _LIMITS.messages_per_second
    message_burst: PositiveFloat = _LIMITS.message_burst
    message_timeout: PositiveFloat = _LIMITS.message_timeout
    pending_calls: PositiveInt = _LIMITS.pending_calls
    call_timeout: PositiveFloat = _LIMITS.call_timeout
    queued_calls: PositiveInt = _LIMITS.queued_calls
    unanswered_calls: PositiveInt = _LIMITS.unanswered_calls
    idle_timeout: PositiveFloat = _LIMITS.idle_timeout
    pong_timeout: PositiveFloat = _LIMITS.pong_timeout
    displacement_timeout: PositiveFloat = _LIMITS.displacement_timeout
    close_timeout: PositiveFloat = _LIMITS.close_timeout
    opening_timeout: PositiveFloat = _LIMITS.opening_timeout
    opening_connections: PositiveInt = _LIMITS.opening_connections
    failures_per_identity: NonNegativeInt = _LIMITS.failures_per_identity
    failures_per_address: NonNegativeInt = _LIMITS.failures_per_address
    failures_window: PositiveFloat = _LIMITS.failures_window
    # Lets operators be asked without TLS, and in the gateway's own network: for development.
    operators_anywhere: bool = False
    # Seconds an operator has to say who may charge.
    operator_deadline: float = Field(default=2.0, gt=0, le=4)

    @field_validator("security_profiles", mode="before")
    @classmethod
    def _from_words(cls, value: object) -> object:
        return value.split(",") if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        tls = (self.ocpp_tls_address, self.ocpp_tls_certificate_file, self.ocpp_tls_key_file)
        if None in tls and any(tls):
            message = "TLS needs an address, a certificate and a key: set all three, or none"
            raise ValueError(message)
        if None in tls and self.ocpp_client_ca_file is not None:
            message = "a CA for chargers' certificates is of use with TLS only"
            raise ValueError(message)
        if self.ocpp_client_organisation is not None and self.ocpp_client_ca_file is None:
            message = "an organisation is looked for in chargers' certificates: set their CA"
            raise ValueError(message)
        if self.security_profiles is None:
            return self
        if not self.security_profiles or self.security_profiles - self._possible - {profiles.NONE}:
            message = (
                "name security profiles from 0 to 3: 2 needs the settings of TLS, "
                "3 these and the CA of chargers' certificates"
            )
            raise ValueError(message)
        if profiles.NONE in self.security_profiles and None not in tls:
            message = "security profile 0 is for development: not beside TLS"
            raise ValueError(message)
        return self

    @property
    def limits(self) -> Limits:
        """The limits of connections."""
        return Limits(**{name: getattr(self, name) for name in Limits.__struct_fields__})

    @property
    def profiles(self) -> SecurityProfiles:
        """By what chargers may show that they are who they say."""
        return SecurityProfiles(
            allowed=self._possible if self.security_profiles is None else self.security_profiles,
            organisation=self.ocpp_client_organisation,
        )

    @property
    def ocpp_certificate_files(self) -> CertificateFiles | None:
        """What TLS is spoken with; None where it is not, or no allowed profile speaks it."""
        allowed = self.profiles.allowed
        if (
            self.ocpp_tls_certificate_file is None
            or self.ocpp_tls_key_file is None
            or not allowed & profiles.OVER_TLS
        ):
            return None
        by_certificate = profiles.TLS_CERTIFICATE in allowed
        return CertificateFiles(
            certificate=self.ocpp_tls_certificate_file,
            key=self.ocpp_tls_key_file,
            client_ca=self.ocpp_client_ca_file if by_certificate else None,
            required=profiles.TLS_BASIC not in allowed,
        )

    @property
    def _possible(self) -> frozenset[int]:
        if self.ocpp_tls_address is None:
            return frozenset({profiles.BASIC})
        if self.ocpp_client_ca_file is None:
            return frozenset({profiles.BASIC, profiles.TLS_BASIC})
        return profiles.ALL - {profiles.NONE}
