"""Bring an overlay of `deploy/k8s` to the cluster of kubectl's context, and see it serve.

    python scripts/deploy.py development
    python scripts/deploy.py path/of/mine restored access

The second says, once and while the service does not run, that its database was restored. An overlay
is a name below deploy/k8s/overlays, or a directory of one's own. Of `development` the Secrets
are made, once, in var/kubernetes; any other has to find its own in the cluster.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from base64 import b64encode
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import yaml
from manifests import MANIFESTS, CannotRenderError, Resource, render

from chargekey_common.errors import ChargekeyError
from chargekey_stack import cluster_secrets
from chargekey_stack.data_directory import DataDirectory

OVERLAYS = MANIFESTS / "overlays"
DEVELOPMENT = OVERLAYS / "development"
# What development has that is secret; the data directory has the administrator's key as well.
KEPT = MANIFESTS.parent.parent / "var" / "kubernetes"
NAMESPACE = "chargekey"
# Seconds for the tables to be made, and for the pods of a service to be replaced.
PATIENCE = 900
POLL = 2.0
EVENT_SOURCED = ("access", "identity")

# Names and networks that nobody can have (RFC 2606, 5737) stand for what somebody has to say.
_PLACEHOLDER = re.compile(r"[\w.-]*\.example\b(?!\.)|192\.0\.2\.0/24")


class CannotDeployError(Exception):
    """Says what to do about it."""


def pods(resources: Sequence[Resource]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield of every workload its kind and name, and what its pods are."""
    for each in resources:
        if each["kind"] in {"Deployment", "StatefulSet", "Job"}:
            yield f"{each['kind']}/{each['metadata']['name']}", each["spec"]["template"]["spec"]


def settings(resources: Sequence[Resource], container: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the variables that a container gets from ConfigMaps."""
    maps = {each["metadata"]["name"]: each for each in resources if each["kind"] == "ConfigMap"}
    names = [each["configMapRef"]["name"] for each in container.get("envFrom", ())]
    return {key: value for name in names for key, value in maps[name]["data"].items()}


def placeholders(resources: Sequence[Resource]) -> Iterator[str]:
    """Yield where a name is still to be said, and which stands there."""
    for each in resources:
        name = f"{each['kind']} {each['metadata']['name']}"
        parts = each["data"] if each["kind"] == "ConfigMap" else {name: each}
        for what, part in parts.items():
            for found in sorted(set(_PLACEHOLDER.findall(json.dumps(part)))):
                yield f"{what}: {found}"


def secrets_needed(resources: Sequence[Resource]) -> Mapping[str, AbstractSet[str]]:
    """Return the Secrets that pods want and nothing rendered makes, and the keys of each."""
    needed: dict[str, set[str]] = defaultdict(set)
    for _, pod in pods(resources):
        secrets = {each["name"]: each["secret"] for each in pod["volumes"] if "secret" in each}
        for container in pod["containers"]:
            for variable in container.get("env", ()):
                if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                    needed[reference["name"]].add(reference["key"])
            named = settings(resources, container).values()
            for mount in container["volumeMounts"]:
                if secret := secrets.get(mount["name"]):
                    needed[secret["secretName"]] |= _keys(secret, mount["mountPath"], named)
    made = {each["spec"]["secretName"] for each in resources if each["kind"] == "Certificate"}
    return {name: keys for name, keys in needed.items() if name not in made}


def _keys(secret: Mapping[str, Any], mounted: str, named: Collection[str]) -> AbstractSet[str]:
    """Return the keys that are picked out of a Secret, or else named as files of it."""
    if "items" in secret:
        return {each["key"] for each in secret["items"]}
    return {each.removeprefix(f"{mounted}/") for each in named if each.startswith(f"{mounted}/")}


def kubectl(*arguments: str, resources: Sequence[Resource] = ()) -> str:
    """Return what kubectl answers; raises CannotDeployError with what it complains of."""
    said = subprocess.run(
        ["kubectl", *arguments],  # noqa: S607 - the one on the path
        input=yaml.safe_dump_all(resources) if resources else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if said.returncode:
        message = f"kubectl {arguments[0]}: {said.stderr.strip()}"
        raise CannotDeployError(message)
    return said.stdout


def apply(resources: Sequence[Resource]) -> None:
    """Have the cluster as these say; whoever has changed them by hand is overruled."""
    kubectl("apply", "--server-side", "--force-conflicts", "--filename", "-", resources=resources)


def secrets_of_development() -> Sequence[Resource]:
    """Return the Secrets of development, made at the first call ever."""
    directory = KEPT / "secrets"
    data = DataDirectory(KEPT / "data")
    cluster_secrets.write(data, directory)
    files = [*directory.glob("*/*"), data.administrator_key]
    secrets: dict[str, dict[str, str]] = defaultdict(dict)
    for file in sorted(files):
        name = "account-administrator" if file == data.administrator_key else file.parent.name
        secrets[name][file.name] = b64encode(file.read_bytes()).decode()
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "data": content,
        }
        for name, content in secrets.items()
    ]


def missing(needed: Mapping[str, AbstractSet[str]]) -> Iterator[str]:
    """Yield which Secrets, and which keys of them, the cluster has not."""
    answer = json.loads(kubectl("get", "secrets", "--namespace", NAMESPACE, "--output", "json"))
    there = {each["metadata"]["name"]: set(each.get("data", ())) for each in answer["items"]}
    for name, keys in sorted(needed.items()):
        if name not in there:
            yield f"Secret {name} with {', '.join(sorted(keys)) or 'its files'}"
        elif absent := keys - there[name]:
            yield f"in Secret {name}: {', '.join(sorted(absent))}"


def done(jobs: Sequence[Resource]) -> None:
    """Wait until all have done their work; raises CannotDeployError, with a failed one's words."""
    deadline = time.monotonic() + PATIENCE
    names = {each["metadata"]["name"] for each in jobs}
    while names:
        answer = json.loads(kubectl("get", "jobs", "--namespace", NAMESPACE, "--output", "json"))
        for each in answer["items"]:
            name = each["metadata"]["name"]
            come = {
                condition["type"]
                for condition in each.get("status", {}).get("conditions", ())
                if condition["status"] == "True"
            }
            if name in names and "Failed" in come:
                said = kubectl("logs", f"job/{name}", "--namespace", NAMESPACE, "--tail=20")
                message = f"{name} failed:\n{said}"
                raise CannotDeployError(message)
            if "Complete" in come:
                names.discard(name)
        if names and time.monotonic() > deadline:
            message = f"Not done after {PATIENCE} s: {', '.join(sorted(names))}"
            raise CannotDeployError(message)
        if names:
            time.sleep(POLL)


def deploy(overlay: Path) -> None:
    """Make the tables, then bring everything else, and wait until it serves."""
    resources = render(overlay)
    # Development has no outside.
    if overlay != DEVELOPMENT and (unsaid := list(placeholders(resources))):
        message = "\n  ".join(("Say in the overlay what stands for these:", *unsaid))
        raise CannotDeployError(message)
    kubectl("get", "--raw", "/readyz")
    apply([each for each in resources if each["kind"] == "Namespace"])
    if overlay == DEVELOPMENT:
        apply(secrets_of_development())
    if absent := list(missing(secrets_needed(resources))):
        message = "\n  ".join(
            (
                f"The namespace {NAMESPACE} lacks what `chargekey secrets` makes or you bring:",
                *absent,
            )
        )
        raise CannotDeployError(message)
    # A job that has ended runs again only when it is made again.
    of_ours = ("--namespace", NAMESPACE, "--selector", "app.kubernetes.io/component=migration")
    kubectl("delete", "jobs", *of_ours, "--ignore-not-found", "--wait")
    apply([each for each in resources if each["kind"] != "Deployment"])
    done([each for each in resources if each["kind"] == "Job"])
    deployments = [each for each in resources if each["kind"] == "Deployment"]
    apply(deployments)
    for each in deployments:
        name = f"deployment/{each['metadata']['name']}"
        kubectl("rollout", "status", name, "--namespace", NAMESPACE, f"--timeout={PATIENCE}s")


def restored(overlay: Path, service: str) -> None:
    """Let a service whose database was restored begin a new generation, by a job of its own."""
    jobs = [each for each in render(overlay) if each["metadata"]["name"] == f"{service}-migrate"]
    if service not in EVENT_SOURCED or not jobs:
        message = f"Of {overlay.name} can have been restored, on PostgreSQL: {EVENT_SOURCED}."
        raise CannotDeployError(message)
    of_it = ("--namespace", NAMESPACE, "--selector", f"app.kubernetes.io/name={service}")
    if kubectl("get", "pods", *of_it, "--output", "name").strip():
        message = f"{service} runs: kubectl -n {NAMESPACE} scale deployment/{service} --replicas=0"
        raise CannotDeployError(message)
    job = json.loads(json.dumps(jobs[0]))
    job["metadata"]["name"] = name = f"{service}-restored"
    job["spec"]["template"]["spec"]["containers"][0]["command"] = [
        f"chargekey-{service}",
        "restored",
    ]
    kubectl("delete", "job", name, "--namespace", NAMESPACE, "--ignore-not-found", "--wait")
    apply([job])
    done([job])


def main(arguments: Sequence[str]) -> int:
    """Deploy the overlay that is named, or say which of its services was restored."""
    known = ", ".join(sorted(each.name for each in OVERLAYS.iterdir()))
    match arguments:
        case [name]:
            service = None
        case [name, "restored", service]:
            pass
        case _:
            told = f"Name an overlay, as in make deploy OVERLAY=development: {known}"
            print(told, file=sys.stderr)
            return 2
    overlay = (OVERLAYS / name if name in known.split(", ") else Path(name)).resolve()
    try:
        if service is None:
            deploy(overlay)
        else:
            restored(overlay, service)
    except (CannotDeployError, CannotRenderError, ChargekeyError) as error:
        print(error, file=sys.stderr)
        return 1
    if service is None:
        print(f"Everything serves in the namespace {NAMESPACE}.")
    else:
        print(f"Streams of {service} are filled anew as soon as it runs.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
