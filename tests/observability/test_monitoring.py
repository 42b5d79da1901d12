"""Alerts and the dashboard ask for what services tell, and the runbook knows every alert."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import promql_parser
import pytest
import yaml
from promql_parser import VectorSelector

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
# What whoever scrapes adds.
OF_TARGETS = {"job", "instance", "pod"}
# Of the exporter that the chart of NATS runs beside each server, the first with its -healthz.
OF_NATS = {
    "nats_healthz_status": {"server_id"},
    "nats_stream_last_seq": {"account", "stream_name", "server_name"},
}


def script(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@cache
def metrics() -> Mapping[str, Any]:
    """Return what services tell, which takes a process of each."""
    found: Mapping[str, Any] = script("generate_metrics").metrics()
    return found


@cache
def series() -> Mapping[str, set[str]]:
    """Return what an expression may name, with its labels."""
    found = dict(OF_NATS)
    for metric in metrics().values():
        for name in metric.series:
            found[name] = {*metric.labels, *(["le"] if name.endswith("_bucket") else [])}
    return found


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def expressions() -> Iterator[Any]:
    for rule in rules():
        yield pytest.param(rule["expr"], json.dumps(rule["annotations"]), id=rule["alert"])
    for panel in panels():
        for target in panel["targets"]:
            expr = target["expr"].replace("$__rate_interval", "5m")
            yield pytest.param(
                expr, target["legendFormat"], id=f"{panel['title']} {target['refId']}"
            )


def selectors(expr: str) -> list[VectorSelector]:
    found: list[VectorSelector] = []

    def visit(node: object) -> bool:
        if isinstance(node, VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(expr), visit)
    return found


@pytest.mark.parametrize(("expr", "shown"), [*expressions()])
def test_an_expression_names_only_what_is_told(expr: str, shown: str) -> None:
    named = selectors(expr)
    assert named
    known = set(OF_TARGETS)
    for selector in named:
        assert selector.name in series(), "no service tells it"
        own = series()[selector.name] | OF_TARGETS
        assert {each.name for each in selector.matchers.matchers} <= own
        known |= own
    for by in re.findall(r"\bby \(([^)]*)\)", expr):
        assert {label.strip() for label in by.split(",")} <= known
    # What is shown of it has the labels that it has.
    asked = set(re.findall(r"\$labels\.(\w+)|\{\{(\w+)\}\}", shown))
    assert {first or second for first, second in asked} <= known


def test_every_reason_that_an_alert_knows_is_one() -> None:
    from chargekey_gateway.decision import OCPP16_STATUS  # noqa: PLC0415 - it takes a moment

    known = {"decision": {*OCPP16_STATUS.values()}, "reason": {*OCPP16_STATUS}}
    for rule in rules():
        for selector in selectors(rule["expr"]):
            for matcher in selector.matchers.matchers:
                for value in known.get(matcher.name, ()) and [matcher.value]:
                    assert any(re.fullmatch(value, each) for each in known[matcher.name])


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    sections = re.findall(r"^### (\w+)\n(page|ticket)\. ", RUNBOOK, re.MULTILINE)
    assert sections == [(rule["alert"], rule["labels"]["severity"]) for rule in _as_in(sections)]
    for rule in rules():
        told = rule["annotations"]
        assert set(told) == {"summary", "description", "runbook_url"}
        assert told["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert all(told[part].endswith((".", "}}).")) for part in ("summary", "description"))
    for section in RUNBOOK.split("\n### ")[1:]:
        assert "**Look** " in section
        assert "**Do** " in section or "**do** " in section


def _as_in(sections: list[tuple[str, str]]) -> list[dict[str, Any]]:
    by_name = {rule["alert"]: rule for rule in rules()}
    assert len(by_name) == len(rules())
    assert sorted(by_name) == sorted(name for name, _ in sections)
    return [by_name[name] for name, _ in sections]


def test_what_the_runbook_has_people_look_for_is_said() -> None:
    """Names of metrics, of events of logs, and of kinds and results."""
    code = "".join(
        path.read_text()
        for folder in ("libs", "services")
        for path in (ROOT / folder).glob("**/src/**/*.py")
    )
    for name in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", RUNBOOK):
        known = name in series() or re.search(rf"\b{name}\b", code, re.IGNORECASE)
        assert known or name == "pg_locks", name


def test_every_metric_has_a_place_on_the_dashboard_or_in_an_alert_or_is_a_detail() -> None:
    asked = {each.name for param in expressions() for each in selectors(str(param.values[0]))}
    details = {
        "announcements_dropped_total",
        "feed_events_told_total",
        "feed_publishing_failures_total",
        "foreign_messages_total",
        "nats_sign_ins_total",
        "session_starts_put_off_total",
        "unknown_codes_dropped_total",
    }
    for metric in metrics().values():
        if not metric.name.startswith(("process_", "python_")) and metric.name not in details:
            assert asked & set(metric.series), metric.name


def test_panels_lie_beside_each_other() -> None:
    places = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & places
        assert at["x"] + at["w"] <= 24
        places |= cells
    document = json.loads((MONITORING / "dashboard.json").read_text())
    assert document["schemaVersion"] >= 39
    assert [each["type"] for each in document["templating"]["list"]] == ["datasource"]
