"""Files that are there whole or not at all: keys and secrets, which nobody could make again."""

from __future__ import annotations

import os
from pathlib import Path


def unfinished(file: Path) -> Path:
    """Return where a file is while it is being written, and stays where that was cut off."""
    return file.with_name(f"{file.name}.new")


def write(file: Path, content: bytes) -> None:
    """Write a file for its owner alone, in place of what was there; raises OSError.

    Neither a full disk nor a power cut leaves half of it.
    """
    fresh = unfinished(file)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as new:
        new.write(content)
        new.flush()
        os.fsync(new.fileno())
    fresh.rename(file)
