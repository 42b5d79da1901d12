"""Where the `chargekey` command begins: Ctrl-C is answered by its name from here on.

The rest takes its time to import, and a person may have thought better of it by then.
"""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130


def main() -> None:
    """Run `cli.main`, which see; exit with 130 where Ctrl-C comes before it can."""
    # gRPC's core would write a line of its own for each handshake that fails.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        from chargekey_common.importing import imported  # noqa: PLC0415 - this takes its time, too

        imported("chargekey_stack.cli:main")()
    except KeyboardInterrupt:
        as_json = "--json" in sys.argv
        said = '{"error":{"code":"interrupted","message":"Interrupted."}}'
        print(said if as_json else "Interrupted. (interrupted)", file=sys.stderr)  # noqa: T201 - ours to say
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
