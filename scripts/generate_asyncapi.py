"""Write docs/api/asyncapi.json from what feeds tell; `--check` only compares."""

from __future__ import annotations

import sys
from pathlib import Path

from chargekey_common.asyncapi import encoded

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "api" / "asyncapi.json"


def main() -> None:
    """Write it, or exit with 1 where what is written is another."""
    if sys.argv[1:] == ["--check"]:
        if DOCUMENT.read_bytes() != encoded():
            print("docs/api/asyncapi.json is not what feeds tell: make api")
            sys.exit(1)
        return
    DOCUMENT.write_bytes(encoded())


if __name__ == "__main__":
    main()
