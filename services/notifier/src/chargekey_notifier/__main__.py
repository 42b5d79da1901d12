"""The process `chargekey-notifier`."""

from __future__ import annotations

from typing import NoReturn

from chargekey_common import process


def main() -> NoReturn:
    """Run until told to stop, or make the tables."""
    process.main("chargekey_notifier.main:start", migrate="chargekey_notifier.main:migrate")


if __name__ == "__main__":
    main()
