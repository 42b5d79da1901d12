"""OCPP's security profiles: by what a charger shows that it is the one it says (O12 to O15).

| profile | the wire | what the charger shows |
|---|---|---|
| 0 | plain | nothing; on a development network, by an explicit setting |
| 1 | plain | its password (HTTP basic), whose user is its identity |
| 2 | TLS | the same |
| 3 | TLS | a certificate of the gateway's client CA that is this charger's |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from chargekey_gateway.ocpp import handshake

NONE, BASIC, TLS_BASIC, TLS_CERTIFICATE = range(4)
ALL = frozenset({NONE, BASIC, TLS_BASIC, TLS_CERTIFICATE})
BY_PASSWORD = frozenset({BASIC, TLS_BASIC})
PLAIN = frozenset({NONE, BASIC})
OVER_TLS = frozenset({TLS_BASIC, TLS_CERTIFICATE})

# What `ssl.SSLSocket.getpeercert` returns; empty without a certificate.
Certificate = Mapping[str, Any]


class SecurityProfiles(msgspec.Struct, frozen=True, kw_only=True):
    """Which profiles are `allowed`; certificates are of `organisation`, where there is one."""

    allowed: frozenset[int] = frozenset({BASIC})
    organisation: str | None = None

    def admit(
        self,
        identity: str,
        authorization: Sequence[str],
        *,
        tls: bool,
        certificate: Certificate,
        password_matches: Callable[[str], bool],
    ) -> int | None:
        """Return by which profile whoever says that it is `identity` has shown it, None if not.

        `authorization` are its headers of that name. Who has a certificate is known by it
        alone: another charger's is not made good by a password.
        """
        if certificate:
            its_own = TLS_CERTIFICATE in self.allowed and self._is_of(certificate, identity)
            return TLS_CERTIFICATE if its_own else None
        anybody = NONE in self.allowed and not tls
        if anybody and not authorization:
            return NONE
        by_password = TLS_BASIC if tls else BASIC
        if not anybody and by_password not in self.allowed:
            return None
        credentials = handshake.credentials(authorization)
        shown = (
            credentials is not None
            and credentials.user == identity
            and any(password_matches(password) for password in credentials.passwords)
        )
        return by_password if shown else None

    def _is_of(self, certificate: Certificate, identity: str) -> bool:
        subject = [pair for part in certificate.get("subject", ()) for pair in part]
        names = [value for name, value in subject if name == "commonName"]
        names += [value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]
        organisations = [value for name, value in subject if name == "organizationName"]
        return identity in names and (
            self.organisation is None or organisations == [self.organisation]
        )
