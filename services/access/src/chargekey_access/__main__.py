"""The process `chargekey-access`."""

from __future__ import annotations

from typing import NoReturn

from chargekey_common import process


def main() -> NoReturn:
    """Run until told to stop, make the tables, or take note that they were restored."""
    process.main(
        "chargekey_access.main:start",
        migrate="chargekey_access.main:migrate",
        restored="chargekey_access.main:restored",
    )


if __name__ == "__main__":
    main()
