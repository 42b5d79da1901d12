"""What `deploy/k8s` renders to, against the programs that are to run so."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
import sysconfig
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import deploy
import manifests
import msgspec
import nkeys
import pytest
import yaml

from chargekey_access.settings import AccessSettings
from chargekey_common.jetstream import Bus, connect
from chargekey_common.nats_server import NatsServer
from chargekey_common.settings import ProcessSettings, ServiceSettings, load
from chargekey_common.testing.waiting import until
from chargekey_gateway.settings import GatewaySettings
from chargekey_history.settings import HistorySettings
from chargekey_identity.settings import IdentitySettings
from chargekey_notifier.settings import NotifierSettings
from chargekey_portal.settings import PortalSettings
from chargekey_stack import cluster_secrets
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.system import System

SETTINGS: Mapping[str, type[ProcessSettings]] = {
    "access": AccessSettings,
    "identity": IdentitySettings,
    "gateway": GatewaySettings,
    "history": HistorySettings,
    "notifier": NotifierSettings,
    "portal": PortalSettings,
}
# What somebody brings, or cert-manager: nothing of ours looks into them here.
CERTIFICATE = ("tls.crt", "tls.key", "ca.crt")
NAMES = [str(root.relative_to(manifests.MANIFESTS)) for root in manifests.roots()]
VERSION = tomllib.loads((manifests.ROOT / "pyproject.toml").read_text())["project"]["version"]
# Seconds beside its pauses that the gateway may need to end: calls, sessions, NATS.
TO_END = 20

Resources = Sequence[manifests.Resource]
needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl, which renders manifests, is not here"
)


@functools.cache
def rendered(name: str) -> Resources:
    return manifests.render(manifests.MANIFESTS / name)


def of_kind(resources: Resources, *kinds: str) -> Resources:
    return [each for each in resources if each["kind"] in kinds]


def names(resources: Resources) -> set[str]:
    return {each["metadata"]["name"] for each in resources}


def labels(workload: manifests.Resource) -> Mapping[str, str]:
    found: Mapping[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def selects(selector: Mapping[str, Any], has: Mapping[str, str]) -> bool:
    """As Kubernetes does it, of what is used here."""
    expressions = selector.get("matchExpressions", ())
    assert {each["operator"] for each in expressions} <= {"In"}
    wanted = {key: [value] for key, value in selector.get("matchLabels", {}).items()}
    wanted |= {each["key"]: each["values"] for each in expressions}
    return all(has.get(key) in values for key, values in wanted.items())


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `chargekey secrets` makes, certificates, and what others gave us."""
    directory = tmp_path_factory.mktemp("secrets")
    data = DataDirectory(tmp_path_factory.mktemp("system") / "data")
    cluster_secrets.write(data, directory)
    (directory / "account-administrator").mkdir()
    shutil.copy(data.administrator_key, directory / "account-administrator")
    (directory / "smtp").mkdir()
    (directory / "smtp" / "password").write_text("a mail server's")
    for name in ("gateway-ocpps", "tls-cli", *(f"tls-{service}" for service in SETTINGS)):
        (directory / name).mkdir()
        for file in CERTIFICATE:
            (directory / name / file).write_text("a certificate, say")
    return directory


def mount(pod: Mapping[str, Any], container: Mapping[str, Any], secrets: Path, at: Path) -> None:
    """Lay out below `at` what the container finds where it is mounted."""
    volumes = {each["name"]: each for each in pod["volumes"]}
    for each in container["volumeMounts"]:
        volume, where = volumes[each["name"]], at / each["mountPath"].strip("/")
        where.mkdir(parents=True)
        if "secret" not in volume:
            continue
        secret = secrets / volume["secret"]["secretName"]
        everything = [{"key": each.name, "path": each.name} for each in secret.iterdir()]
        for item in volume["secret"].get("items", everything):
            shutil.copy(secret / item["key"], where / item["path"])


def programs(resources: Resources) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Yield the service, its pod and its container, of deployments and jobs."""
    for name, pod in deploy.pods(resources):
        service = name.partition("/")[2].removesuffix("-migrate")
        if service in SETTINGS:
            yield service, pod, pod["containers"][0]


def loaded(
    service: str, variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> ProcessSettings:
    """Read the settings as the program does, from these variables and no other."""
    for name in [name for name in os.environ if name.startswith("CHARGEKEY_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load(SETTINGS[service])


@pytest.mark.parametrize("service", SETTINGS)
def test_the_base_names_settings_that_there_are(service: str) -> None:
    lines = (manifests.MANIFESTS / "base" / f"{service}.env").read_text().splitlines()
    prefix = f"CHARGEKEY_{service.upper()}_"
    fields = {f"{prefix}{field.upper()}" for field in SETTINGS[service].model_fields}
    assert {line.partition("=")[0] for line in lines} <= fields


@needs_kubectl
@pytest.mark.parametrize("name", NAMES)
def test_every_program_takes_its_settings_and_finds_its_files(
    name: str, secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly what is rendered, with the files of the Secrets where they are mounted."""
    resources = rendered(name)
    for number, (service, pod, container) in enumerate(programs(resources)):
        at = tmp_path / str(number)
        mount(pod, container, secrets, at)
        variables = {
            name: f"{at}{value}" if value.startswith("/") else value
            for name, value in deploy.settings(resources, container).items()
        }
        found = loaded(service, variables, monkeypatch)
        if "migrate" in container.get("command", ()):
            assert isinstance(found, ServiceSettings)
            assert found.postgres is not None
            continue
        files = {key: value for key, value in found if isinstance(value, Path)}
        if isinstance(found, GatewaySettings):  # which writes it itself, where it may
            files["snapshot_file"] = files["snapshot_file"].parent
        assert {key for key, file in files.items() if not file.exists()} == set()
        if isinstance(found, PortalSettings):
            assert found.session_secret


@needs_kubectl
@pytest.mark.parametrize("name", ["overlays/development", "tests/tls-without-routes"])
def test_the_command_line_finds_what_a_data_directory_has(
    name: str, secrets: Path, tmp_path: Path
) -> None:
    resources = rendered(name)
    ((_, pod),) = (each for each in deploy.pods(resources) if each[0] == "Deployment/cli")
    (container,) = pod["containers"]
    mount(pod, container, secrets, tmp_path)
    named = {each["name"]: tmp_path / each["value"].strip("/") for each in container["env"]}
    assert {name for name, file in named.items() if not file.exists()} == set()
    data = DataDirectory(named["CHARGEKEY_DATA"])
    assert data.administrator_key.exists()
    assert data.token("nats_token").read_bytes() == (secrets / "nats" / "token").read_bytes()
    (described,) = (
        each["data"]["system.json"]
        for each in of_kind(resources, "ConfigMap")
        if "system.json" in each["data"]
    )
    system = msgspec.json.decode(described, type=System)
    assert set(system.grpc) == set(SETTINGS) - {"portal"}


@needs_kubectl
@pytest.mark.parametrize("name", NAMES)
def test_pods_refer_to_what_is_there(name: str, secrets: Path) -> None:
    resources = rendered(name)
    there = {kind: names(of_kind(resources, kind)) for kind in ("ConfigMap", "ServiceAccount")}
    claims = names(of_kind(resources, "PersistentVolumeClaim"))
    for _, pod in deploy.pods(resources):
        assert pod["serviceAccountName"] in there["ServiceAccount"]
        volumes = {each["name"] for each in pod["volumes"]}
        for volume in pod["volumes"]:
            if "configMap" in volume:
                assert volume["configMap"]["name"] in there["ConfigMap"]
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
        templates = {"data"}  # of StatefulSets
        for container in pod["containers"]:
            assert {each["name"] for each in container["volumeMounts"]} <= volumes | templates
    for secret, keys in deploy.secrets_needed(resources).items():
        assert keys <= {file.name for file in (secrets / secret).iterdir()}


@needs_kubectl
@pytest.mark.parametrize("name", NAMES)
def test_pods_may_do_nothing_but_run(name: str) -> None:
    """The restricted Pod Security Standard, a root that cannot be written, no token, limits."""
    for workload, pod in deploy.pods(rendered(name)):
        assert pod["securityContext"]["runAsNonRoot"], workload
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        # Of a Service they would get variables, which a program takes for settings of its own.
        assert pod["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            for bound in ("requests", "limits"):
                assert set(container["resources"][bound]) >= {"cpu", "memory"}


@needs_kubectl
@pytest.mark.parametrize("name", NAMES)
def test_images_of_ours_have_this_version(name: str) -> None:
    pods = [pod for _, pod in deploy.pods(rendered(name))]
    images = {container["image"] for pod in pods for container in pod["containers"]}
    tags = {image.rpartition(":")[2] for image in images if "chargekey/" in image}
    assert tags == {VERSION}


@needs_kubectl
@pytest.mark.parametrize("name", NAMES)
def test_what_keeps_files_is_alone_and_ends_before_the_next_begins(name: str) -> None:
    for each in of_kind(rendered(name), "Deployment"):
        pod = each["spec"]["template"]["spec"]
        if any("persistentVolumeClaim" in volume for volume in pod["volumes"]):
            assert each["spec"]["replicas"] == 1
            assert each["spec"]["strategy"]["type"] == "Recreate"
        elif each["metadata"]["name"] in SETTINGS:
            assert each["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@needs_kubectl
@pytest.mark.parametrize("name", NAMES)
def test_services_and_budgets_are_about_their_own_pods_alone(name: str) -> None:
    """A job's pod, which is never ready for anything, among them would be called."""
    resources = rendered(name)
    workloads = of_kind(resources, "Deployment", "StatefulSet", "Job")
    for each in of_kind(resources, "Service", "PodDisruptionBudget"):
        selector = each["spec"]["selector"]
        chosen = selector if each["kind"] != "Service" else {"matchLabels": selector}
        found = [w["metadata"]["name"] for w in workloads if selects(chosen, labels(w))]
        assert found == [each["metadata"]["name"].removesuffix("-headless")]
    assert names(of_kind(resources, "PodDisruptionBudget")) >= set(SETTINGS)


@needs_kubectl
@pytest.mark.parametrize("name", NAMES)
def test_the_gateway_has_time_to_close_its_chargers_connections(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = rendered(name)
    for service, pod, container in programs(resources):
        if service == "gateway":
            found = loaded(service, deploy.settings(resources, container), monkeypatch)
            assert isinstance(found, GatewaySettings)
            pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert pod["terminationGracePeriodSeconds"] >= pause + found.closing_spread + TO_END


def allowed(
    resources: Resources,
    direction: str,
    pod: Mapping[str, str],
    peer: Mapping[str, str],
    port: int,
) -> bool:
    """Whether policies let a pod speak with another one of the namespace: `ingress`, `egress`."""
    about = [
        each["spec"]
        for each in of_kind(resources, "NetworkPolicy")
        if direction.title() in each["spec"]["policyTypes"]
        and selects(each["spec"]["podSelector"], pod)
    ]
    rules = [rule for spec in about for rule in spec.get(direction, ())]
    return not about or any(
        any(each["port"] == port for each in rule["ports"])
        and (
            not (peers := rule.get("from", rule.get("to")))
            or any(
                "namespaceSelector" not in each and selects(each["podSelector"], peer)
                for each in peers
                if "podSelector" in each
            )
        )
        for rule in rules
    )


def called(variables: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """Yield the services that settings name, with their ports."""
    for name, value in variables.items():
        found = re.fullmatch(r"(?:\w+://)?([a-z]+):(\d+)", value)
        if found and name.endswith(("_ADDRESS", "_NATS_URL")) and "PARTNERS" not in name:
            yield found[1], int(found[2])


@needs_kubectl
@pytest.mark.parametrize("name", NAMES)
def test_whoever_is_called_listens_and_policies_let_the_call_through(name: str) -> None:
    resources = rendered(name)
    workloads = {each["metadata"]["name"]: each for each in of_kind(resources, "Deployment")}
    workloads |= {each["metadata"]["name"]: each for each in of_kind(resources, "StatefulSet")}
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind(resources, "Service")}
    calls = [
        (service, callee, port)
        for service, _, container in programs(resources)
        for callee, port in called(deploy.settings(resources, container))
        if container["name"] != "migrate"
    ]
    assert len(calls) >= 20
    for caller, callee, port in calls:
        if callee == "nats" and "nats" not in workloads:
            to: Mapping[str, str] = {"app.kubernetes.io/name": "nats"}  # of its own chart
        else:
            to = labels(workloads[callee])
            targets = {each["port"]: each["targetPort"] for each in services[callee]["ports"]}
            container = workloads[callee]["spec"]["template"]["spec"]["containers"][0]
            assert {"name": targets[port], "containerPort": port} in container["ports"]
        of = labels(workloads[caller])
        assert allowed(resources, "egress", of, to, port), (caller, callee)
        assert allowed(resources, "ingress", to, of, port), (caller, callee)


@needs_kubectl
@pytest.mark.parametrize("name", NAMES)
def test_programs_listen_where_their_pods_say(name: str) -> None:
    resources = rendered(name)
    for _, _, container in programs(resources):
        if container["name"] == "migrate":
            continue
        listens = {
            int(value.rpartition(":")[2])
            for value in deploy.settings(resources, container).values()
            if value.startswith("0.0.0.0:")
        }
        assert listens == {each["containerPort"] for each in container["ports"]}


@needs_kubectl
def test_behind_policies_nobody_speaks_with_whom_he_does_not_call() -> None:
    resources = rendered("tests/everything-inside")

    def may(caller: str, callee: str, port: int) -> bool:
        of, to = ({"app.kubernetes.io/name": each} for each in (caller, callee))
        return allowed(resources, "egress", of, to, port) and allowed(
            resources, "ingress", to, of, port
        )

    assert may("portal", "access", 50051)
    assert may("access-migrate", "postgres", 5432)
    assert not may("portal", "nats", 4222)
    assert not may("portal", "postgres", 5432)
    assert not may("gateway", "postgres", 5432)
    assert not may("identity", "history", 50051)
    assert not may("somebody", "access", 50051)
    assert not may("access", "identity", 9090)


@needs_kubectl
@pytest.mark.parametrize("name", ["overlays/production", "tests/tls-without-routes"])
def test_certificates_are_for_the_names_that_services_are_called_by(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = rendered(name)
    certificates = {
        each["spec"]["secretName"]: set(each["spec"].get("dnsNames", ()))
        for each in of_kind(resources, "Certificate")
    }
    for service, pod, container in programs(resources):
        if container["name"] == "migrate":
            continue
        found = loaded(service, deploy.settings(resources, container), monkeypatch)
        assert found.tls_files is not None
        (secret,) = (v["secret"]["secretName"] for v in pod["volumes"] if v["name"] == "tls")
        assert service in certificates[secret]
        for callee, _ in called(deploy.settings(resources, container)):
            assert callee in certificates[f"tls-{callee}"]


def test_the_operator_of_prometheus_is_told_the_alerts_that_there_are() -> None:
    """`make manifests` brings them over."""
    assert manifests.RULES.read_text() == manifests.rules()


def nats_configuration() -> str:
    return (manifests.MANIFESTS / "components" / "nats" / "chargekey.conf").read_text()


def without_layout(configuration: str) -> str:
    return re.sub(r"\s|#[^\n]*", "", configuration)


def test_the_chart_of_nats_is_told_the_same_as_the_server_for_development() -> None:
    values = yaml.safe_load((manifests.MANIFESTS / "nats-values.yaml").read_text())
    assert values["configMap"]["merge"]["data"]["chargekey.conf"] == nats_configuration()
    assert values["config"]["merge"] == {"$include": "chargekey.conf"}


def test_nats_has_the_accounts_that_a_system_on_one_machine_has(tmp_path: Path) -> None:
    server = NatsServer(tmp_path, token="$PASSWORD", issuer="$ISSUER")
    server.launch()
    server.kill()
    alone = without_layout((tmp_path / "nats-server.conf").read_text())
    assert without_layout(nats_configuration()).replace("$PASSWORD", '"$PASSWORD"') in alone


@contextlib.contextmanager
def running_nats(directory: Path, **variables: str) -> Iterator[str]:
    """Run a server with the component's files, but for where it listens and keeps things."""
    component = manifests.MANIFESTS / "components" / "nats"
    shutil.copy(component / "chargekey.conf", directory)
    main = (component / "nats.conf").read_text().replace("/var/lib/chargekey", f"{directory}/data")
    main = re.sub(r"(listen|http): .*", r'\1: "127.0.0.1:-1"', main)
    (directory / "nats.conf").write_text(f'{main}ports_file_dir: "{directory}"')
    program = Path(sysconfig.get_path("scripts")) / "nats-server"
    server = subprocess.Popen(
        [program, "--config", directory / "nats.conf"], env=variables, stderr=subprocess.DEVNULL
    )
    try:
        asyncio.run(until(lambda: listening(directory)))
        yield listening(directory)
    finally:
        server.terminate()
        server.wait(10)


def listening(directory: Path) -> str:
    """Return where the server listens, once it says so."""
    for file in directory.glob("*.ports"):
        with contextlib.suppress(ValueError):
            return str(json.loads(file.read_text())["nats"][0])
    return ""


def test_nats_runs_with_what_it_is_told_even_a_password_of_digits(tmp_path: Path) -> None:
    """With the quotation marks that its pods put around it."""
    component = manifests.MANIFESTS / "components" / "nats"
    (server,) = (
        each["spec"]["template"]["spec"]["containers"][0]
        for each in yaml.safe_load_all((component / "nats.yaml").read_text())
        if each["kind"] == "StatefulSet"
    )
    variables = {each["name"]: each.get("value", "") for each in server["env"]}
    password = variables["PASSWORD"].replace("$(NATS_TOKEN)", "2468")
    issuer = nkeys.from_seed(nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_ACCOUNT)).public_key

    async def has_jetstream(url: str) -> bool:
        client = await connect(Bus(url, lambda: "2468"), "a test")
        try:
            return (await client.jetstream().account_info()).streams == 0
        finally:
            await client.close()

    with running_nats(tmp_path, PASSWORD=password, ISSUER=issuer.decode()) as url:
        assert asyncio.run(has_jetstream(url))
