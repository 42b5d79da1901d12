"""The process `chargekey-portal`."""

from __future__ import annotations

from typing import NoReturn

from chargekey_common import process


def main() -> NoReturn:
    """Run until told to stop."""
    process.main("chargekey_portal.main:start")


if __name__ == "__main__":
    main()
