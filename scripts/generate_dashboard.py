"""Write deploy/monitoring/dashboard.json, for Grafana; `--check` only compares."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

DOCUMENT = Path(__file__).resolve().parent.parent / "deploy" / "monitoring" / "dashboard.json"
WIDTH, HEIGHT, A_ROW = 8, 7, 3
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
RATE = "$__rate_interval"
_REFUSALS = 'authorize_decisions_total{decision!="Accepted"}'


class Panel(msgspec.Struct, frozen=True):
    """Lines over time; each expression with what its lines are called."""

    title: str
    lines: Mapping[str, str]
    unit: str = "short"
    about: str = ""


def _quantiles(metric: str, by: str = "", where: str = "") -> Mapping[str, str]:
    labels = f"{by}, le" if by else "le"
    buckets = f"sum by ({labels}) (rate({metric}_bucket{where}[{RATE}]))"
    name = f"{{{{{by}}}}} " if by else ""
    return {
        f"histogram_quantile({quantile}, {buckets})": f"{name}{quantile}"
        for quantile in (0.5, 0.99)
    }


ROWS: Mapping[str, Sequence[Panel]] = {
    "Fleet": (
        Panel("Chargers connected", {"sum by (version) (ocpp_connections)": "OCPP {{version}}"}),
        Panel("Connected by pod", {"sum by (instance) (ocpp_connections)": "{{instance}}"}),
        Panel(
            "Turned away or cut off",
            {f"sum by (kind) (rate(ocpp_protocol_errors_total[{RATE}]))": "{{kind}}"},
            "ops",
        ),
        Panel(
            "Calls of chargers",
            {f"sum by (action) (rate(ocpp_messages_total[{RATE}]))": "{{action}}"},
            "ops",
        ),
        Panel(
            "Calls refused or failed",
            {
                f'sum by (action, result) (rate(ocpp_messages_total{{result!="taken"}}[{RATE}]))': (
                    "{{action}} {{result}}"
                )
            },
            "ops",
        ),
        Panel(
            "Clocks of chargers",
            _quantiles("charger_clock_skew_seconds", "direction"),
            "s",
            "Behind also seems who tells late.",
        ),
    ),
    "Decisions": (
        Panel(
            "Taps by answer",
            {f"sum by (decision) (rate(authorize_decisions_total[{RATE}]))": "{{decision}}"},
            "ops",
        ),
        Panel(
            "Refusals by reason",
            {
                f"sum by (reason) (rate({_REFUSALS}[{RATE}]))": "{{reason}}",
            },
            "ops",
        ),
        Panel("How long a tap takes", _quantiles("authorize_duration_seconds", "decided_by"), "s"),
        Panel(
            "Age of what gateways know",
            {"max by (instance) (view_staleness_seconds)": "{{instance}}"},
            "s",
        ),
        Panel(
            "Events that gateways have yet to read",
            {"max by (service) (view_lag_events)": "{{service}}"},
        ),
        Panel(
            "Age of the file that a view is kept in",
            {"time() - (view_snapshot_timestamp_seconds > 0)": "{{instance}}"},
            "s",
        ),
        Panel(
            "Questions in batches and streams",
            {f"sum by (code) (rate(authorize_questions_total[{RATE}]))": "{{code}}"},
            "ops",
        ),
        Panel(
            "Operators' answers",
            {f"sum by (result) (rate(operator_answers_total[{RATE}]))": "{{result}}"},
            "ops",
        ),
    ),
    "Publishing": (
        Panel(
            "Oldest event not published",
            {"max by (stream) (relay_oldest_seconds)": "{{stream}}"},
            "s",
        ),
        Panel("Events not published", {"max by (stream) (relay_lag_events)": "{{stream}}"}),
        Panel(
            "Connected to NATS",
            {"min by (job, connection) (nats_connected)": "{{job}} {{connection}}"},
            about="1 is connected.",
        ),
        Panel("Copies of streams away", {"max by (stream) (stream_replicas_away)": "{{stream}}"}),
        Panel(
            "Reactions that are tried again",
            {f"sum by (reaction) (rate(reaction_failures_total[{RATE}]))": "{{reaction}}"},
            "ops",
        ),
        Panel("Events set aside", {"max by (reaction) (events_set_aside)": "{{reaction}}"}),
    ),
    "Partners and mails": (
        Panel("Events that feeds lag behind", {"max(feed_lag_events)": "events"}),
        Panel("Events that webhooks lag behind", {"max(webhook_lag_events)": "events"}),
        Panel(
            "Posts to webhooks",
            {f"sum by (result) (rate(webhook_attempts_total[{RATE}]))": "{{result}}"},
            "ops",
        ),
        Panel(
            "Pushes by OCPI",
            {f"sum by (module, result) (rate(ocpi_pushes_total[{RATE}]))": "{{module}} {{result}}"},
            "ops",
        ),
        Panel("Mails waiting", {"max(notifier_mails_waiting)": "mails"}),
        Panel(
            "Mails", {f"sum by (result) (rate(notifier_mails_total[{RATE}]))": "{{result}}"}, "ops"
        ),
    ),
    "Services": (
        Panel("Ready", {"sum by (job) (ready)": "{{job}}"}, about="How many replicas are."),
        Panel(
            "Calls by code",
            {f"sum by (job, code) (rate(grpc_requests_total[{RATE}]))": "{{job}} {{code}}"},
            "ops",
        ),
        Panel("How long calls take", _quantiles("grpc_request_duration_seconds", "job"), "s"),
        Panel(
            "Requests by HTTP",
            {f"sum by (job, code) (rate(http_requests_total[{RATE}]))": "{{job}} {{code}}"},
            "ops",
        ),
        Panel("Late event loops", _quantiles("event_loop_lag_seconds", "job"), "s"),
        Panel(
            "Databases away",
            {f"sum by (job, part) (rate(database_errors_total[{RATE}]))": "{{job}} {{part}}"},
            "ops",
        ),
        Panel("Processor", {f"sum by (job) (rate(process_cpu_seconds_total[{RATE}]))": "{{job}}"}),
        Panel("Memory", {"sum by (job) (process_resident_memory_bytes)": "{{job}}"}, "bytes"),
        Panel(
            "Certificates expire in",
            {
                "min by (job, certificate) (tls_cert_expiry_seconds - time())": (
                    "{{job}} {{certificate}}"
                )
            },
            "s",
        ),
    ),
}


def dashboard() -> Mapping[str, Any]:
    """Return what Grafana imports."""
    panels: list[Mapping[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        at = {"x": 0, "y": top, "w": WIDTH * A_ROW, "h": 1}
        panels.append(
            {"id": len(panels) + 1, "type": "row", "title": title, "gridPos": at, "panels": []}
        )
        top += 1
        for number, panel in enumerate(row):
            below, beside = divmod(number, A_ROW)
            at = {"x": beside * WIDTH, "y": top + below * HEIGHT, "w": WIDTH, "h": HEIGHT}
            panels.append(_panel(len(panels) + 1, panel, at))
        top += HEIGHT * -(-len(row) // A_ROW)
    return {
        "uid": "chargekey",
        "title": "Chargekey",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "tags": ["chargekey"],
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": panels,
    }


def _panel(number: int, panel: Panel, at: Mapping[str, int]) -> Mapping[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "gridPos": at,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": DATASOURCE,
                "expr": expr,
                "legendFormat": name,
            }
            for at, (expr, name) in enumerate(panel.lines.items())
        ],
    }


def document() -> str:
    """Return the whole file."""
    return json.dumps(dashboard(), indent=2) + "\n"


def main() -> None:
    """Write it, or exit with 1 where what is written is another."""
    if sys.argv[1:] == ["--check"]:
        if DOCUMENT.read_text(encoding="utf-8") != document():
            print("deploy/monitoring/dashboard.json is not what makes it: make monitoring")
            sys.exit(1)
        return
    DOCUMENT.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
