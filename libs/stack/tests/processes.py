"""What runs on this machine, told from /proc."""

from __future__ import annotations

from pathlib import Path


def children(pid: int) -> dict[int, str]:
    """Return the command lines of a process's children, by process id."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended while we looked
    return found


def alive(pid: int) -> bool:
    """Whether this process runs; one that only waits to be reaped does not."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def about(directory: Path) -> dict[int, str]:
    """Return the command lines of what was started for this directory, by process id."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes()
            if str(directory).encode() in line + (entry / "environ").read_bytes():
                found[int(entry.name)] = line.decode().replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # ended while we looked, or somebody else's
    return found
