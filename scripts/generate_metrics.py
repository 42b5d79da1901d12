"""Write docs/metrics.md from what every service's modules declare; `--check` only compares."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"
SERVICES = {
    "access": "chargekey_access",
    "identity": "chargekey_identity",
    "chargepoint-gateway": "chargekey_gateway",
    "history": "chargekey_history",
    "notifier": "chargekey_notifier",
    "portal": "chargekey_portal",
}

_HEAD = """\
# Metrics

What every process tells at `/metrics` of its health address, for Prometheus. Generated from the
code (`make monitoring` writes this page anew). Names and labels are for ever. No label ever holds
an id of a charger or a person, a code, a name or an address; those are in logs and traces, and
codes, names and addresses not even there.

`alerts.yaml` and `dashboard.json` in `deploy/monitoring` are made of these;
[the runbook](runbook.md) says what to do about each alert.

| metric | kind | labels | told by | what it is |
|---|---|---|---|---|
"""
_TAIL = """\

Beside these every process tells the `process_` and `python_` metrics of the Prometheus client,
such as `process_start_time_seconds`.

# Traces

Off, and at no cost, unless OpenTelemetry's environment names a collector that takes OTLP by HTTP:
`OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318`. Its other variables work too, such as
`OTEL_TRACES_SAMPLER=parentbased_traceidratio` with `OTEL_TRACES_SAMPLER_ARG=0.01`.

A request by gRPC or HTTP and a call of a charger each begin a trace, or go on with that of the
service that asks. What a command records carries its `traceparent`, in the store and in the
headers at NATS. Whoever publishes, reads or reacts to that begins a trace of his own, which is
linked to the first one and sampled where that one was: it may be hours later, and many times.

Begin to trace once every replica of a service is of a version that does: an older one cannot read
an event that carries a trace.

# Logs

Every line of a service is a JSON object on standard error, with `event`, `level`, `timestamp` and
`service`, those of libraries with `logger` too, and with `trace_id` and `span_id` where there is a
trace. Chargers and people are named by their ids alone.
"""

# Said by a process of each service: their metrics of the same name are others' in one.
_TELL = """\
import json, sys
from importlib import import_module
from prometheus_client import REGISTRY
import_module(sys.argv[1])
told = []
for collector, names in REGISTRY._collector_to_names.items():
    labels = getattr(collector, "_labelnames", None)
    for family in collector.collect():
        samples = family.samples
        name = family.name + ("_total" if family.type == "counter" else "")
        own = labels if labels is not None else (samples[0].labels if samples else ())
        told.append([name, family.type, list(own), family.documentation])
print(json.dumps(told))
"""
_FOREIGN = ("process_", "python_")
# Declared in modules that others import, too, for something else.
_TOLD_BY = {
    "relay_lag_events": ["access", "identity"],
    "relay_oldest_seconds": ["access", "identity"],
    "stream_replicas_away": ["chargepoint-gateway"],
}


class Metric(msgspec.Struct):
    """A metric, as its services declare it."""

    name: str
    kind: str
    labels: Sequence[str]
    about: str
    services: list[str]

    @property
    def series(self) -> Sequence[str]:
        """What an expression may name."""
        if self.kind == "histogram":
            return [f"{self.name}_{part}" for part in ("bucket", "count", "sum")]
        return [self.name]


def metrics() -> Mapping[str, Metric]:
    """Return every metric that any service tells, by its name."""
    found: dict[str, Metric] = {}
    for service, package in SERVICES.items():
        told = subprocess.run(
            [sys.executable, "-c", _TELL, f"{package}.main"],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for name, kind, labels, about in json.loads(told):
            metric = found.setdefault(name, Metric(name, kind, labels, about, []))
            metric.services.append(service)
    return dict(sorted(found.items()))


def document() -> str:
    """Return the whole page."""
    rows = [_row(each) for each in metrics().values() if not each.name.startswith(_FOREIGN)]
    return _HEAD + "".join(rows) + _TAIL


def _row(metric: Metric) -> str:
    services = _TOLD_BY.get(metric.name, metric.services)
    cells = (
        f"`{metric.name}`",
        metric.kind,
        ", ".join(f"`{label}`" for label in metric.labels),
        "all" if len(services) == len(SERVICES) else ", ".join(services),
        metric.about,
    )
    return f"| {' | '.join(cells)} |\n".replace("|  |", "| |")


def main() -> None:
    """Write it, or exit with 1 where what is written is another."""
    if sys.argv[1:] == ["--check"]:
        if DOCUMENT.read_text(encoding="utf-8") != document():
            print("docs/metrics.md is not what the services tell: make monitoring")
            sys.exit(1)
        return
    DOCUMENT.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
