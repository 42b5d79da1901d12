from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from chargekey_common import whole_files

WRITE = """
import pathlib, resource, sys
from chargekey_common import whole_files
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
whole_files.write(pathlib.Path(sys.argv[1]), b"x" * 100)
"""


def test_a_file_is_for_its_owner_alone_and_takes_the_place_of_another(tmp_path: Path) -> None:
    file = tmp_path / "key"
    for content in (b"first", b"second"):
        whole_files.write(file, content)
        assert file.read_bytes() == content
        assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_what_does_not_fit_leaves_what_was_there(tmp_path: Path) -> None:
    for before in (None, b"before"):
        file = tmp_path / str(before)
        if before is not None:
            file.write_bytes(before)
        done = subprocess.run(
            [sys.executable, "-c", WRITE, file], capture_output=True, check=False, timeout=60
        )
        assert b"OSError" in done.stderr
        assert (file.read_bytes() if file.exists() else None) == before
