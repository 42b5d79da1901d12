"""What a running system tells at `/metrics`: nothing that names a charger, a person or a code."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator, Mapping

from prometheus_client.parser import text_string_to_metric_families

from .a_charger import a_charger
from .running_system import RunningSystem

# A UUID or a part of one, a token, a number of many digits; an address; a code as it is typed.
LIKE_AN_ID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}|[0-9a-f]{12}|(?=[a-z_-]*[0-9])[a-z0-9_-]{32}|[0-9]{5}|@|#",
    re.IGNORECASE,
)
IDENTITY, PIN, NAME = "MT-1", "#846213", "Metrica"


def labels(system: RunningSystem) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    for service, address in system.ready["health"].items():
        with urllib.request.urlopen(f"http://{address}/metrics") as answer:
            told = answer.read().decode()
        for family in text_string_to_metric_families(told):
            for sample in family.samples:
                yield service, sample.name, sample.labels


def test_no_label_of_a_metric_holds_what_looks_like_an_id(system: RunningSystem) -> None:
    site = system.chargekey("installation", "create", "--name", NAME, "--time-zone", "Europe/Oslo")
    installation = site["id"]
    charger = system.chargekey(
        "charger", "add", "--installation", installation, "--ocpp-identity", IDENTITY
    )
    user = system.chargekey(
        *("user", "add-local", "--installation", installation),
        *("--first-name", NAME, "--last-name", NAME),
    )
    card = system.chargekey(
        "identification", "add", "--user", user["id"], "--type", "pin", "--code", PIN
    )
    # Once the gateway has heard of all of it: a PIN that is nobody's is a guess.
    system.chargekey(
        *("authorize", "--charger", IDENTITY, "--code", PIN),
        *("--at-least", card["position"], "--at-least", user["access_position"]),
    )
    with a_charger(system, IDENTITY, charger["password"]) as simulated:
        simulated.becomes(PIN, "Accepted")
        simulated.charges(PIN)
        system.chargekey("user", "block", user["id"])
        simulated.becomes(PIN, "Blocked")

    ids = (installation, charger["id"], user["id"], card["id"])
    found = list(labels(system))
    assert {service for service, _, _ in found} == {
        *("access", "identity", "gateway", "history", "notifier", "portal")
    }
    told = {name for _, name, _ in found}
    assert {"authorize_duration_seconds_bucket", "grpc_requests_total", "relay_lag_events"} <= told
    for service, name, labels_of in found:
        for label, said in labels_of.items():
            # A bound of a histogram, and Python's own version.
            if label == "le" or name.startswith("python_"):
                continue
            assert not LIKE_AN_ID.search(said), (service, name, label)
            assert said not in {*ids, IDENTITY, PIN, NAME}, (service, name, label)
