"""The process `chargekey-identity`."""

from __future__ import annotations

from typing import NoReturn

from chargekey_common import process


def main() -> NoReturn:
    """Run until told to stop, make the tables, or take note that they were restored."""
    process.main(
        "chargekey_identity.main:start",
        migrate="chargekey_identity.main:migrate",
        restored="chargekey_identity.main:restored",
    )


if __name__ == "__main__":
    main()
