"""The process `chargekey-gateway`."""

from __future__ import annotations

import os
from typing import NoReturn

from chargekey_common import process


def main() -> NoReturn:
    """Run until told to stop."""
    # Else gRPC, which reads this when it is imported, starts threads in the child that keeps the
    # view: they miss what that has closed, and abort it.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
    process.main("chargekey_gateway.main:start")


if __name__ == "__main__":
    main()
