"""One whole system for all tests that only call it, as `chargekey up` runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chargekey_common.testing.openid import CLIENT_ID, CLIENT_SECRET, OpenIdServer, openid_server

from .running_system import RunningSystem, up


@pytest.fixture(scope="package")
def provider() -> Iterator[OpenIdServer]:
    """A provider that people may sign in by; who that is, the test says."""
    with openid_server() as running:
        yield running


@pytest.fixture(scope="package")
def system(
    tmp_path_factory: pytest.TempPathFactory, provider: OpenIdServer
) -> Iterator[RunningSystem]:
    directory = tmp_path_factory.mktemp("system")
    secret = directory / "openid-client-secret"
    secret.write_text(CLIENT_SECRET)
    # Partners' programs that tests run are on this machine.
    options = ["--operators-anywhere", "--openid-issuer", provider.issuer]
    options += ["--openid-client-id", CLIENT_ID, "--openid-client-secret-file", str(secret)]
    with up(
        directory / "data", directory / "said", *options, working_directory=Path("/")
    ) as running:
        provider.redirect_uri = f"{running.ready['portal']}/sign-in/openid/back"
        yield running
