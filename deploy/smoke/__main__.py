"""Run the smoke, where it can be run."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from chargekey_common.errors import ChargekeyError
from chargekey_stack.answers import say
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.errors import DemoDifferedError
from smoke.base import POSTGRES, ROOT, Base
from smoke.manifests import OURS, Manifests
from smoke.podman import Podman, PodmanError
from smoke.pods import NotReadyError, Pods
from smoke.story import Smoke

STORE = ROOT / "build" / "smoke"
OVERLAY = ROOT / "deploy" / "k8s" / "tests" / "podman"
PROGRAMS = ("podman", "debootstrap", "kubectl", "unshare")
# Set where this has begun again in mounts of its own.
INSIDE = "CHARGEKEY_SMOKE_INSIDE"
# Of both versions at once, which crun refuses: the second is hidden from it.
HYBRID = Path("/sys/fs/cgroup/unified")
# Where podman keeps its networks' names, wherever it keeps the rest.
NETWORKS = Path("/run/containers")


def main() -> int:
    """Run it, or say in a line why not; return the exit status."""
    missing = [each for each in PROGRAMS if shutil.which(each) is None]
    if missing:
        say(f"kube-smoke skipped: there is no {' and no '.join(missing)} here.")
        return 0
    if os.geteuid() != 0:
        say("kube-smoke skipped: it needs root, for a network and mounts of its own.")
        return 0
    if INSIDE not in os.environ:
        again = [shutil.which("unshare") or "", "--mount", sys.executable, "-m", "smoke"]
        return subprocess.run(again, env={**os.environ, INSIDE: "1"}, check=False).returncode
    if HYBRID.is_mount():
        subprocess.run(["/bin/umount", HYBRID], check=True)
    NETWORKS.mkdir(exist_ok=True)
    subprocess.run(["/bin/mount", "-t", "tmpfs", "tmpfs", NETWORKS], check=True)
    STORE.mkdir(parents=True, exist_ok=True)
    with (STORE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("kube-smoke runs already; one at a time.")
            return 1
        return _told()


def _told() -> int:
    try:
        asyncio.run(_run())
    except DemoDifferedError as error:
        trouble = str(error).removeprefix(error.sentence).strip(" :")
    except (ChargekeyError, NotReadyError, PodmanError, subprocess.CalledProcessError) as error:
        trouble = str(error)
    else:
        return 0
    say(f"kube-smoke failed: {trouble}")
    return 1


async def _run() -> None:
    began = time.monotonic()
    podman = Podman(shutil.which("podman") or "", STORE)
    say(f"kube-smoke, with {(await podman('--version')).strip()}")
    base = Base(podman, STORE, shutil.which("debootstrap") or "")
    await base.make()
    say(f"The base is there after {time.monotonic() - began:.0f} s.")
    building = time.monotonic()
    await base.images()
    say(f"The images are built after {time.monotonic() - building:.0f} s more.")
    await _tell_sizes(podman, base)
    with tempfile.TemporaryDirectory(prefix="chargekey-smoke-") as directory:
        work = Path(directory)
        data = DataDirectory(work / "data")
        _make_secrets(data, work / "secrets")
        manifests = Manifests(shutil.which("kubectl") or "", OVERLAY, work / "secrets")
        spread = float(manifests.setting("CHARGEKEY_GATEWAY_CLOSING_SPREAD"))
        pods = Pods(podman, manifests, work)
        await podman.clear()
        try:
            await pods.open_network()
            await Smoke(pods, data, closing_spread=spread).tell()
        finally:
            await podman.clear()
    say(f"kube-smoke went well, in {time.monotonic() - began:.0f} s.")


def _make_secrets(data: DataDirectory, directory: Path) -> None:
    command = Path(sysconfig.get_path("scripts")) / "chargekey"
    subprocess.run(
        [command, "secrets", directory, "--data", data.path], check=True, stdout=subprocess.DEVNULL
    )
    # What the pod of the command line wants, and no cluster is given unasked.
    administrator = directory / "account-administrator"
    administrator.mkdir(mode=0o700)
    shutil.copy(data.administrator_key, administrator)
    # A cluster lets the pod's group read them (fsGroup).
    for each in directory.rglob("*"):
        os.chown(each, OURS, OURS)


async def _tell_sizes(podman: Podman, base: Base) -> None:
    shared = (await podman.inspected(base.base))["Size"]
    say(f"The base has {shared / 1e6:.0f} MB, and images with it:")
    for line in (await podman("images", "--format", "{{.Repository}}\t{{.Size}}")).splitlines():
        name, size = line.split("\t")
        if "/chargekey/" in name and POSTGRES not in name:
            say(f"    {name.rpartition('/')[2]:<10}{size:>10}")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
