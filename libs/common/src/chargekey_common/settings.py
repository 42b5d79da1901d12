"""Typed settings from the environment, and a refusal of every variable nobody reads."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from chargekey_common.certificates import TlsFiles
from chargekey_common.postgres import Postgres


class ProcessSettings(BaseSettings):
    """What every process is told; each has a prefix of its own, as in `CHARGEKEY_PORTAL_`.

    Addresses are `host:port`; port 0 lets the system choose.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    health_address: str = "127.0.0.1:0"
    log_level: str = "INFO"
    # PEM files: this process's certificate with its chain, its key, and the CA that signs all
    # processes' certificates. With them gRPC is mutual TLS, served and called, and nothing else;
    # the certificate is for the host names that it is called by, and for servers and clients.
    # Read again as they change.
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    tls_ca_file: Path | None = None

    @model_validator(mode="after")
    def _mutual(self) -> Self:
        """Refuse half of it, which would let a process speak in the clear unnoticed."""
        files = (self.tls_certificate_file, self.tls_key_file, self.tls_ca_file)
        if None in files and any(files):
            message = (
                "TLS needs a certificate, its key and a CA: set TLS_CERTIFICATE_FILE,"
                " TLS_KEY_FILE and TLS_CA_FILE, or none of them"
            )
            raise ValueError(message)
        return self

    @property
    def tls_files(self) -> TlsFiles | None:
        """What this process shows others by gRPC, and whom it believes; None in the clear."""
        certificate, key, ca = self.tls_certificate_file, self.tls_key_file, self.tls_ca_file
        if certificate is None or key is None or ca is None:
            return None
        return TlsFiles(certificate, key, ca)


class ServiceSettings(ProcessSettings):
    """What every service is told that keeps something, reads the streams and is called.

    Secrets are named by the file they stand in, so that printing settings shows
    none.
    """

    data: Path
    # Holds `postgresql://user:password@host/database`; without it everything is in files. By
    # TLS with `?sslmode=verify-full&sslrootcert=FILE` behind it, which is read at each
    # connection; the URL itself is read at the start.
    postgres_file: Path | None = None
    nats_url: str
    # Read again at each connection.
    nats_token_file: Path | None = None
    # The CA of NATS's certificate. With it NATS is spoken to by TLS from the first byte on, which
    # the server is set to by `handshake_first`, and shown this process's certificate where it has
    # one. Read again as it changes.
    nats_ca_file: Path | None = None
    grpc_address: str = "127.0.0.1:0"
    # Public keys of everyone who may call: `<account>.pem`, one file an account.
    accounts: Path
    # This service's own private key, to call others with.
    account_key_file: Path

    @property
    def postgres(self) -> Postgres | None:
        """The schema to keep everything in, called like the service, if not in files."""
        if self.postgres_file is None:
            return None
        prefix = str(self.model_config.get("env_prefix"))
        service = prefix.removeprefix("CHARGEKEY_").strip("_")
        return Postgres(self.postgres_file.read_text().strip(), service.lower())

    def tables(self, file: str) -> Path | Postgres:
        """Return where tables are: in the schema, or in `file` under `data`."""
        return self.postgres or self.data / file


class StreamSettings(ServiceSettings):
    """What every service is told that has streams of its own."""

    # Copies that JetStream keeps of them: as many as there are servers, 3 in production.
    stream_replicas: Annotated[int, Field(ge=1, le=5)] = 1


def _apart(several: object) -> object:
    return several.split() if isinstance(several, str) else several


def _networks(proxies: frozenset[str]) -> frozenset[str]:
    for each in proxies:
        try:
            ipaddress.ip_network(each)
        except ValueError:
            message = f"{each!r} is no address or network"
            raise ValueError(message) from None
    return proxies


# Addresses or networks of proxies that are believed whom they ask for, a space between two. What
# is neither is refused: it would be believed never, or whoever it is.
TrustedProxies = Annotated[
    frozenset[str], NoDecode, BeforeValidator(_apart), AfterValidator(_networks)
]

Settings = TypeVar("Settings", bound=BaseSettings)

# Of the event store's library, which would take it in any service's name: it saves
# without the lock that keeps the log in order. In a trial with 4 writers a reader
# missed 125 to 363 of 4 800 events.
_FORBIDDEN = "POSTGRES_ENABLE_DB_FUNCTIONS"
_OFF = ("", "n", "no", "f", "false", "off", "0")


def load(settings: type[Settings]) -> Settings:
    """Read the settings, or exit with status 2 and one line for each thing wrong.

    A variable with the settings' prefix that no setting reads is a mistake in
    somebody's deployment, and refused: pydantic-settings alone would ignore it.
    """
    prefix = str(settings.model_config.get("env_prefix", ""))
    known = {(prefix + name).upper() for name in settings.model_fields}
    unknown = sorted(
        name
        for name in os.environ
        # In either case, as pydantic-settings reads them.
        if name.upper().startswith(prefix) and name.upper() not in known
    )
    problems = [f"{name}: no such setting" for name in unknown]
    problems += [
        f"{name}: never switch this on; it lets readers of the store miss events"
        for name, value in os.environ.items()
        if name.upper().endswith(_FORBIDDEN) and value.lower() not in _OFF
    ]
    try:
        loaded: Any = settings()
    except ValidationError as error:
        loaded = None
        # Only where and what kind: the value itself may be a secret.
        problems += [
            f"{prefix}{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
    if problems:
        sys.stderr.write("\n".join(problems) + "\n")
        sys.exit(2)
    result: Settings = loaded
    return result


def migration(
    settings: type[ServiceSettings], *makers: Callable[[Postgres], None]
) -> Callable[[], None]:
    """Return the job that makes a service's tables, once, before its first replica.

    Files get their tables when they are opened.
    """

    def migrate() -> None:
        where = load(settings).postgres
        if where is not None:
            for make in makers:
                make(where)

    return migrate
