"""How many links to sign in one client may ask for: by page, by REST, behind a proxy."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

import pytest
from fastapi import Request
from pydantic import ValidationError

from chargekey_portal.link_requests import MOST, WITHIN, LinkRequests, whose
from chargekey_portal.refusals import RefusedError
from chargekey_portal.settings import PortalSettings

from .neighbours import Neighbours
from .portal import serving


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def asked_from(host: str) -> Request:
    return Request({"type": "http", "client": (host, 40_000)})


def test_one_client_has_so_many_in_ten_minutes_and_others_theirs() -> None:
    clock = Clock()
    requests = LinkRequests(clock)
    for _ in range(MOST):
        requests.count(asked_from("192.0.2.1"))
    clock.now += 60
    with pytest.raises(RefusedError) as refused:
        requests.count(asked_from("192.0.2.1"))
    refusal = refused.value.refusal
    assert (refusal.status, refusal.code) == (HTTPStatus.TOO_MANY_REQUESTS, "too_many_attempts")
    assert refusal.retry_after == WITHIN - 60
    assert refusal.message.endswith("try again in 9 minutes.")
    requests.count(asked_from("192.0.2.2"))
    clock.now += WITHIN - 60
    requests.count(asked_from("192.0.2.1"))


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
        ("127.0.0.1", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
    ],
)
def test_clients_are_told_apart_by_what_each_has_and_this_machine_is_none(
    host: str, client: str | None
) -> None:
    assert whose(host) == client


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1.2.3", "127.1.2.3"),
        ("::1", "::/64"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
    ],
)
def test_where_proxies_are_named_this_machine_is_a_client_like_any(host: str, client: str) -> None:
    assert whose(host, proxies_named=True) == client


async def test_who_is_in_a_proxys_network_cannot_say_that_he_is_this_machine(
    neighbours: Neighbours, tmp_path: Path
) -> None:
    headers = {"Host": "localhost", "X-Forwarded-For": "127.0.0.1"}
    async with serving(neighbours.addresses, tmp_path, trusted_proxies="127.0.0.0/8") as portal:
        statuses = [
            (await portal.ask("POST", "/sign-in", headers, b"email=x")).status
            for _ in range(MOST + 1)
        ]
        assert [status == 429 for status in statuses] == [False] * MOST + [True]


async def test_behind_a_proxy_that_is_named_the_client_is_whom_it_names(
    neighbours: Neighbours, tmp_path: Path
) -> None:
    """By page and by REST together; what a client writes there itself counts nothing."""
    headers = {"Host": "localhost", "Content-Type": "application/json"}

    def from_(client: str) -> dict[str, str]:
        return headers | {"X-Forwarded-For": f"198.51.100.9, {client}"}

    async with serving(neighbours.addresses, tmp_path, trusted_proxies="127.0.0.1") as portal:
        links = "/api/v1/sign-in/links"
        statuses = [
            (await portal.ask("POST", path, from_("192.0.2.1"), b"{}")).status
            for path in [links] * (MOST - 1) + ["/sign-in", links]
        ]
        assert statuses.count(429) == 1
        page = await portal.ask("POST", "/sign-in", from_("192.0.2.1"), b"{}")
        assert (page.status, "Code: <code>too_many_attempts" in page.body) == (429, True)
        assert 0 < int(page.headers["retry-after"]) <= WITHIN
        assert (await portal.ask("POST", links, from_("192.0.2.2"), b"{}")).status != 429


async def test_without_one_that_is_named_nobody_says_himself_who_he_is(
    neighbours: Neighbours, tmp_path: Path
) -> None:
    async with serving(neighbours.addresses, tmp_path) as portal:
        for _ in range(MOST + 1):
            headers = {"Host": "localhost", "X-Forwarded-For": "192.0.2.1"}
            answer = await portal.ask("POST", "/sign-in", headers, b"email=x")
            assert answer.status != 429


@pytest.mark.parametrize("proxies", ["*", "nginx", "10.0.0.0/33", "10.0.0.1/8"])
def test_a_proxy_is_named_by_its_address_or_network(tmp_path: Path, proxies: str) -> None:
    with pytest.raises(ValidationError, match="no address or network"):
        PortalSettings(
            http_address="127.0.0.1:0",
            session_secret_file=tmp_path,
            account_key_file=tmp_path,
            ocpp_url="ws://127.0.0.1/ocpp",
            trusted_proxies=proxies,
            **{
                f"{name}_address": "127.0.0.1:1"
                for name in ("access", "identity", "gateway", "history", "notifier", "health")
            },
        )
