"""Write docs/api/openapi.json from the REST API's table; `--check` only compares."""

from __future__ import annotations

import sys
from pathlib import Path

from chargekey_portal.rest.openapi import encoded

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "api" / "openapi.json"


def main() -> None:
    """Write it, or exit with 1 where what is written is another."""
    if sys.argv[1:] == ["--check"]:
        if DOCUMENT.read_bytes() != encoded():
            print("docs/api/openapi.json is not what REST answers: make api")
            sys.exit(1)
        return
    DOCUMENT.write_bytes(encoded())


if __name__ == "__main__":
    main()
