"""People and programs at the REST API of a running system."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import httpx2

from chargekey_common.accounts import Signer
from chargekey_stack.data_directory import DataDirectory

from .mails import token
from .running_system import RunningSystem

NONE: Mapping[str, str] = MappingProxyType({})
# The portal is asked without TLS; left to itself the library reads the world's authorities for
# every request.
NOBODYS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Caller:
    """Whoever an access token is of; nobody without one."""

    def __init__(self, system: RunningSystem, access_token: str | None = None) -> None:
        self.portal: str = system.ready["portal"]
        self.token = access_token
        self.headers = {} if access_token is None else {"Authorization": f"Bearer {access_token}"}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        """Send one request; headers by their names with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send(method, path, headers=named, json=body)

    def send(
        self, method: str, path: str, *, headers: Mapping[str, str | bytes] = NONE, **what: Any
    ) -> httpx2.Response:
        """Send one as it is, on a connection of its own."""
        return httpx2.request(
            method,
            f"{self.portal}/api/v1{path}",
            headers={**self.headers, **headers},
            trust_env=False,
            verify=NOBODYS,
            timeout=30,
            **what,
        )

    def done(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send one that is done; return what it answers."""
        answer = self.ask(method, path, body, **headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def refused(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        """Send one that is refused; return the status and the code."""
        answer = self.ask(method, path, body, **headers)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        problem = answer.json()
        assert problem["status"] == answer.status_code
        assert problem["type"] == f"urn:chargekey:refusal:{problem['code']}"
        assert problem["detail"]
        return answer.status_code, problem["code"]


def administrator(system: RunningSystem) -> Caller:
    """Return who may everything: the system's own account."""
    return Caller(system, Signer.from_file(DataDirectory(system.data).administrator_key).token())


def invited(
    system: RunningSystem, address: str, *, first_name: str = "Kari", last_name: str = "Nordmann"
) -> tuple[Caller, str]:
    """Return who has followed the link of his first mail, an invitation, and his id."""
    accepting = {"first_name": first_name, "last_name": last_name}
    answer = Caller(system).done(
        "POST", "/invitations/accept", {"token": token(system.data, address), **accepting}
    )
    return Caller(system, answer["access_token"]), answer["user_id"]


class Site:
    """A new site with one charger, and who owns it."""

    def __init__(self, system: RunningSystem, name: str) -> None:
        run = administrator(system)
        made = {"name": name, "time_zone": "Europe/Oslo"}
        self.id: str = run.done("POST", "/installations", made)["installation_id"]
        self.path = f"/installations/{self.id}"
        charger = {"ocpp_identity": f"CP-{name}"}
        self.charger: str = run.done("POST", f"{self.path}/chargers", charger)["charger_id"]
        address = f"owner@{name}.example"
        grant = {"email": address, "roles": ["OWNER", "USER"]}
        granted = run.done("POST", f"{self.path}/permissions", grant)
        self.ownership: str = granted["permission_id"]
        self.owner, self.owner_id = invited(system, address)

    def local_user(self, first_name: str) -> str:
        """Add a local user; return the id."""
        named = {"first_name": first_name, "last_name": "Hansen"}
        user_id: str = self.owner.done("POST", f"{self.path}/users", named)["user_id"]
        return user_id
