"""An image holds of others what was tested, by hash, and all that its programs import."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LOCKS = ROOT / "deploy" / "requirements"
PROJECTS = {
    str(tomllib.loads(each.read_text())["project"]["name"]): each
    for each in (*ROOT.glob("libs/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml"))
}
# The image of each project that is one.
IMAGES = {
    "chargekey-stack": "cli",
    **{
        f"chargekey-{each}": each
        for each in ("access", "common", "gateway", "history", "identity", "notifier", "portal")
    },
}

Locked = Mapping[str, frozenset[str]]


def locked(file: Path) -> Locked:
    """Return what is locked, by name: each version with its hashes."""
    found: dict[str, frozenset[str]] = {}
    for block in re.split(r"\n(?=\S)", file.read_text()):
        if match := re.match(r"([a-z0-9._-]+)==(\S+)", block):
            hashes = re.findall(r"--hash=(\S+)", block)
            found[match[1]] = found.get(match[1], frozenset()) | {match[2], *hashes}
    return found


def needed(project: str) -> Iterator[str]:
    """Yield what a project depends on, and those of ours that it depends on."""
    declared = tomllib.loads(PROJECTS[project].read_text())["project"]["dependencies"]
    for each in declared:
        name = re.match(r"[A-Za-z0-9._-]+", each)
        assert name is not None
        if name[0] in PROJECTS:
            yield from needed(name[0])
        else:
            yield name[0].lower().replace("_", "-")


@pytest.mark.parametrize("lock", sorted(LOCKS.glob("*.txt")), ids=lambda lock: lock.stem)
def test_images_hold_what_was_tested(lock: Path) -> None:
    tested, held = locked(ROOT / "requirements.lock"), locked(lock)
    assert held
    assert {name: held[name] for name in held if name in tested} == {
        name: tested[name] for name in held if name in tested
    }


@pytest.mark.parametrize("project", sorted(IMAGES))
def test_images_hold_what_their_program_imports(project: str) -> None:
    held = locked(LOCKS / f"{IMAGES[project]}.txt")
    assert set(needed(project)) - set(held) == set()


@pytest.mark.parametrize("image", sorted(set(IMAGES.values()) - {"common"}))
def test_what_is_common_is_in_every_image(image: str) -> None:
    common, held = locked(LOCKS / "common.txt"), locked(LOCKS / f"{image}.txt")
    assert {name: held.get(name) for name in common} == common
