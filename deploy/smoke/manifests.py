"""The rendered manifests, as podman 4.3 can play them.

What is not as in a cluster, and nothing else:

- A Deployment, StatefulSet or Job is one Pod, called like it; a Service is that name.
- A Secret is a directory of the machine: podman would mount it without decoding it. Where a
  variable is made of one, its value is put in its place, as are `$(VARIABLES)`.
- Probes are asked from outside: podman would call curl, which the images do not have.
- Ports are not opened on the machine, which is on the pods' network.
- A container is told to end at once, and not after the time that Services need to forget it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

OURS = 10001
_VARIABLE = re.compile(r"\$\(([A-Z_]+)\)")
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


class Probe(msgspec.Struct, frozen=True):
    """What is asked of a container: a path at a port, or a command in it."""

    port: int = 0
    path: str = ""
    command: tuple[str, ...] = ()


class Workload(msgspec.Struct, frozen=True):
    """A Deployment, StatefulSet or Job."""

    name: str
    # What podman plays: the pod, and the volumes it claims.
    documents: tuple[Mapping[str, Any], ...]
    # Seconds to end in.
    grace: int
    # Bytes its first container may have.
    memory: int
    alive: Probe | None
    ready: Probe | None

    @property
    def container(self) -> str:
        """What podman calls its first container."""
        return f"{self.name}-{self.documents[-1]['spec']['containers'][0]['name']}"

    def with_command(self, name: str, *command: str) -> Workload:
        """Return the same under another name, with its first container alone, and once."""
        pod = self.documents[-1]
        spec = pod["spec"]
        container = {**spec["containers"][0], "command": list(command)}
        other = {
            **pod,
            "metadata": {**pod["metadata"], "name": name},
            "spec": {**spec, "containers": [container], "restartPolicy": "Never"},
        }
        return msgspec.structs.replace(self, name=name, documents=(other,))


class Manifests:
    """What an overlay renders to, with its Secrets in directories below `secrets`."""

    def __init__(self, kubectl: str, overlay: Path, secrets: Path) -> None:
        rendered = subprocess.run(
            [kubectl, "kustomize", overlay], capture_output=True, text=True, check=True
        ).stdout
        self._secrets = secrets
        documents = [msgspec.yaml.decode(each) for each in rendered.split("\n---\n")]
        self._settings = [each for each in documents if each["kind"] == "ConfigMap"]
        self.workloads = {
            each["metadata"]["name"]: self._workload(each)
            for each in documents
            if each["kind"] in {"Deployment", "StatefulSet", "Job"}
        }

    def setting(self, variable: str) -> str:
        """Return what a variable is set to."""
        return next(
            str(each["data"][variable]) for each in self._settings if variable in each["data"]
        )

    def write(self, workload: Workload, file: Path) -> None:
        """Write what podman plays."""
        documents = (*self._settings, *workload.documents)
        file.write_bytes(b"\n---\n".join(map(msgspec.yaml.encode, documents)))

    def _workload(self, document: Mapping[str, Any]) -> Workload:
        name, template = document["metadata"]["name"], document["spec"]["template"]
        spec = template["spec"]
        claims = {
            each["metadata"]["name"]: _claim(each, f"{name}-{each['metadata']['name']}")
            for each in document["spec"].get("volumeClaimTemplates", ())
        }
        volumes = [self._volume(each) for each in spec.get("volumes", ())] + [
            {"name": volume, "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
            for volume, claim in claims.items()
        ]
        first = spec["containers"][0]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**template["metadata"], "name": name},
            "spec": {
                **spec,
                "containers": [self._container(each) for each in spec["containers"]],
                "volumes": volumes,
            },
        }
        return Workload(
            name=name,
            documents=(*claims.values(), pod),
            grace=spec.get("terminationGracePeriodSeconds", 30),
            memory=_bytes(first["resources"]["limits"]["memory"]),
            alive=_probe(first, "livenessProbe"),
            ready=_probe(first, "readinessProbe"),
        )

    def _container(self, container: Mapping[str, Any]) -> Mapping[str, Any]:
        values: dict[str, str] = {}
        for each in container.get("env", ()):
            text = str(each["value"]) if "value" in each else self._secret(each["valueFrom"])
            values[each["name"]] = _VARIABLE.sub(lambda found: values[found[1]], text)
        left_out = {"ports", "startupProbe", "livenessProbe", "readinessProbe", "lifecycle"}
        return {
            **{key: value for key, value in container.items() if key not in left_out},
            "env": [{"name": name, "value": value} for name, value in values.items()],
        }

    def _secret(self, source: Mapping[str, Any]) -> str:
        of = source["secretKeyRef"]
        return self._secrets.joinpath(of["name"], of["key"]).read_text()

    def _volume(self, volume: Mapping[str, Any]) -> Mapping[str, Any]:
        if "secret" not in volume:
            return volume
        secret = volume["secret"]
        where = self._secrets / secret["secretName"]
        if items := secret.get("items"):
            where = self._chosen(where, items)
        return {"name": volume["name"], "hostPath": {"path": str(where), "type": "Directory"}}

    def _chosen(self, secret: Path, items: list[Mapping[str, str]]) -> Path:
        """Return a directory with some keys of a Secret, each under the name it is to have."""
        chosen = secret.with_name("-".join((secret.name, *(each["path"] for each in items))))
        chosen.mkdir(exist_ok=True)
        for each in items:
            (chosen / each["path"]).write_bytes((secret / each["key"]).read_bytes())
        return chosen


def _claim(template: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    # A cluster lets the pod's group write there (fsGroup).
    owner = {"volume.podman.io/uid": str(OURS), "volume.podman.io/gid": str(OURS)}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "annotations": owner},
        "spec": template["spec"],
    }


def _probe(container: Mapping[str, Any], kind: str) -> Probe | None:
    match container.get(kind):
        case {"httpGet": {"path": path, "port": port}}:
            ports = {each["name"]: each["containerPort"] for each in container["ports"]}
            return Probe(port=ports.get(port, port), path=path)
        case {"exec": {"command": command}}:
            return Probe(command=tuple(command))
        case _:
            return None


def _bytes(quantity: str) -> int:
    return int(quantity[:-2]) * _UNITS[quantity[-2:]]
