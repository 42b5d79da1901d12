"""`make deploy`: what it refuses, and what it tells kubectl in which order; no cluster is here."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import deploy
import manifests
import pytest

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(
    KUBECTL is None, reason="kubectl, which renders manifests, is not here"
)
# Renders as the real one, writes down all else, and knows the Secrets that it is given.
STAND_IN = f"""#!{sys.executable}
import json, os, pathlib, subprocess, sys
if sys.argv[1] == "kustomize":
    sys.exit(subprocess.run([{KUBECTL!r}, *sys.argv[1:]]).returncode)
here = pathlib.Path(__file__).parent
told = sys.stdin.read() if sys.argv[1] == "apply" else ""
with (here / "told").open("a") as file:
    file.write(json.dumps([sys.argv[1:], told]) + "\\n")
if sys.argv[1:3] == ["get", "secrets"]:
    print((here / "secrets").read_text())
if sys.argv[1:3] == ["get", "jobs"]:
    print((here / "jobs").read_text())
if sys.argv[1] == "logs":
    print("Do this first.")
if sys.argv[1:3] == ["get", "pods"]:
    print((here / "pods").read_text())
"""


class Cluster:
    """A kubectl that writes down what it is told."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        kubectl = directory / "kubectl"
        kubectl.write_text(STAND_IN)
        kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)
        self.has({})
        self.runs("")
        self.jobs_come_to("Complete")

    def jobs_come_to(self, what: str) -> None:
        """Let every job have come to this."""
        items = [
            {
                "metadata": {"name": f"{service}-{job}"},
                "status": {"conditions": [{"type": what, "status": "True"}]},
            }
            for service in ("access", "identity", "history", "notifier")
            for job in ("migrate", "restored")
        ]
        (self._directory / "jobs").write_text(json.dumps({"items": items}))

    def runs(self, pods: str) -> None:
        """Let these be the pods of whatever is asked about."""
        (self._directory / "pods").write_text(pods)

    def has(self, secrets: Mapping[str, Sequence[str]]) -> None:
        """Let it have these Secrets, with these keys."""
        items = [
            {"metadata": {"name": name}, "data": dict.fromkeys(keys, "")}
            for name, keys in secrets.items()
        ]
        (self._directory / "secrets").write_text(json.dumps({"items": items}))

    def told(self) -> Sequence[tuple[str, Sequence[Mapping[str, Any]]]]:
        """Return the commands, and what each was given."""
        lines = (self._directory / "told").read_text().splitlines()
        return [
            (" ".join(arguments), list(manifests.yaml.safe_load_all(given)))
            for arguments, given in map(json.loads, lines)
        ]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(deploy, "KEPT", tmp_path / "kept")
    return Cluster(tmp_path / "bin")


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A copy of production in which somebody has said what the outside is called."""
    for part in ("k8s", "monitoring"):
        shutil.copytree(manifests.MANIFESTS.parent / part, tmp_path / part)
    overlay = tmp_path / "k8s/overlays/production"
    file = overlay / "kustomization.yaml"
    file.write_text(file.read_text().replace(".example", ".invalid").replace("192.0.2.", "10.0.2."))
    return overlay


def test_production_is_refused_until_somebody_says_what_its_names_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert deploy.main(["production"]) == 1
    said = capsys.readouterr().err
    assert "CHARGEKEY_PORTAL_PUBLIC_URL: charge.example" in said
    assert "Deployment gateway: registry.example" in said
    assert "TLSRoute ocpps: ocpps.charge.example" in said


def test_an_overlay_has_to_be_named_and_to_be_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy.main([]) == 2
    assert "development, production" in capsys.readouterr().err
    assert deploy.main([str(tmp_path / "nowhere")]) == 1
    assert "does not render" in capsys.readouterr().err


def test_nothing_but_the_namespace_is_made_while_secrets_are_missing(
    cluster: Cluster, ours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.has({"postgres-access": ["password"], "nats": ["token", "issuer"]})
    assert deploy.main([str(ours)]) == 1
    said = capsys.readouterr().err
    assert "Secret keyed-ids with secret" in said
    assert "in Secret postgres-access: url" in said
    assert "Secret nats " not in said
    # cert-manager's are made by it.
    assert "tls-" not in said
    assert [each["kind"] for _, given in cluster.told() for each in given] == ["Namespace"]


def test_tables_are_made_before_the_first_replica_of_a_version(
    cluster: Cluster, ours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = deploy.secrets_needed(manifests.render(ours))
    cluster.has({name: sorted(keys) for name, keys in needed.items()})
    assert deploy.main([str(ours)]) == 0, capsys.readouterr().err
    steps = [
        (command.split()[0], {each["kind"] for each in given}) for command, given in cluster.told()
    ]
    verbs = [verb for verb, _ in steps]
    assert verbs[:6] == ["get", "apply", "get", "delete", "apply", "get"]
    before, after = steps[4][1], steps[6][1]
    assert {"Job", "ConfigMap", "Service", "NetworkPolicy"} <= before
    assert "Deployment" not in before
    assert after == {"Deployment"}
    assert verbs[7:] == ["rollout"] * 6


def test_development_brings_its_own_secrets_and_the_same_every_time(cluster: Cluster) -> None:
    def made() -> Mapping[str, Mapping[str, str]]:
        return {each["metadata"]["name"]: each["data"] for each in deploy.secrets_of_development()}

    first = made()
    assert made() == first
    for name, keys in deploy.secrets_needed(manifests.render(deploy.DEVELOPMENT)).items():
        assert set(first[name]) >= keys
    cluster.has({name: list(data) for name, data in first.items()})
    assert deploy.main(["development"]) == 0
    kinds = [{each["kind"] for each in given} for _, given in cluster.told() if given]
    assert kinds[:2] == [{"Namespace"}, {"Secret"}]
    assert "get jobs" not in [command[:8] for command, _ in cluster.told()]


def test_a_job_that_fails_is_told_with_its_last_words_and_nothing_is_replaced(
    cluster: Cluster, ours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = deploy.secrets_needed(manifests.render(ours))
    cluster.has({name: sorted(keys) for name, keys in needed.items()})
    cluster.jobs_come_to("Failed")
    assert deploy.main([str(ours)]) == 1
    assert "Do this first." in capsys.readouterr().err
    assert "Deployment" not in {each["kind"] for _, given in cluster.told() for each in given}


def test_a_restored_database_is_declared_one_by_a_job_while_nothing_runs_on_it(
    cluster: Cluster, ours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.runs("pod/access-1\n")
    assert deploy.main([str(ours), "restored", "access"]) == 1
    assert "scale deployment/access --replicas=0" in capsys.readouterr().err
    cluster.runs("")
    assert deploy.main([str(ours), "restored", "access"]) == 0
    [job] = [each for _, given in cluster.told() for each in given]
    assert (job["kind"], job["metadata"]["name"]) == ("Job", "access-restored")
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["chargekey-access", "restored"]
    assert container["envFrom"]


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("service", ["history", "portal", "nobody"])
def test_who_keeps_no_events_was_not_restored(
    service: str, ours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy.main([str(ours), "restored", service]) == 1
    assert "access" in capsys.readouterr().err
