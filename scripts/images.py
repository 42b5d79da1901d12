"""Build the images of deploy/Dockerfile, with whichever of docker, podman and buildah works here.

`make images` runs it, once what pages load is there. The images of a version are called
`chargekey/<name>:<version>`; another repository than `chargekey` is to be pushed to.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("access", "identity", "gateway", "history", "notifier", "portal", "cli", "nats")
BUILDERS = ("docker", "podman", "buildah")
NO_BUILDER = """\
Images are built by docker, podman or buildah, and none of them works here: install podman
(`apt-get install podman`, `dnf install podman`, `brew install podman`), or start the daemon that
docker asks (`systemctl start docker`, or Docker Desktop)."""


def working_builder(names: Sequence[str]) -> str | None:
    """Return the first builder that is here and works: docker's client alone does not."""
    for name in names:
        found = shutil.which(name)
        if found is None:
            continue
        if subprocess.run([found, "info"], capture_output=True, check=False).returncode == 0:
            return found
    return None


def version() -> str:
    """Return the version that the images are of."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def revision() -> str:
    """Return the commit they are built from; nothing where this is no clone."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return ""
    said = subprocess.run(
        [git, "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    return said.stdout.strip()


def build(builder: str, name: str, tag: str, arguments: dict[str, str]) -> None:
    """Build one image; raises CalledProcessError, after its builder has said why."""
    file = str(ROOT / "deploy" / "Dockerfile")
    given = [f"--build-arg={key}={value}" for key, value in arguments.items()]
    command = [builder, "build", "--file", file, "--target", name, *given, "--tag", tag, str(ROOT)]
    subprocess.run(command, check=True)


def main() -> int:
    """Build what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, prog="images.py")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all")
    parser.add_argument("--repository", default="chargekey", help="what their names begin with")
    parser.add_argument("--builder", choices=BUILDERS, help="the first that works")
    parser.add_argument("--base", help="the image with Python that they stand on")
    parser.add_argument("--build-base", help="the same where they are built; see the Dockerfile")
    wanted = parser.parse_args()
    if unknown := set(wanted.names) - set(NAMES):
        parser.error(f"no such image: {', '.join(sorted(unknown))}")
    builder = working_builder((wanted.builder,) if wanted.builder else BUILDERS)
    if builder is None:
        print(NO_BUILDER, file=sys.stderr)
        return 1
    arguments = {"VERSION": version(), "REVISION": revision()}
    arguments |= {"BASE": wanted.base} if wanted.base else {}
    arguments |= {"BUILD_BASE": wanted.build_base} if wanted.build_base else {}
    for name in wanted.names or NAMES:
        tag = f"{wanted.repository}/{name}:{arguments['VERSION']}"
        began = time.monotonic()
        try:
            build(builder, name, tag, arguments)
        except subprocess.CalledProcessError as error:
            return error.returncode
        print(f"{tag}: built in {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
