"""Where the `chargekey` command begins: Ctrl-C is answered by its name from here on.

The rest takes its time to import, and a person may have thought better of it by then.
"""

from __future__ import annotations

import os
import signal
import sys

INTERRUPTED = 130


def main() -> None:
    """Run `cli.main`, which see; exit with 130 where Ctrl-C comes before it can."""
    raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if raises:
        # What is imported may swallow an exception, and nothing is to be cleaned up yet.
        signal.signal(signal.SIGINT, lambda *_: os._exit(_interrupted()))
    from chargekey_stack import cli  # noqa: PLC0415 - this is what takes its time

    try:
        if raises:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        cli.main()
    except KeyboardInterrupt:
        sys.exit(_interrupted())


def _interrupted() -> int:
    said = '{"error":{"code":"interrupted","message":"Interrupted."}}'
    shown = said if "--json" in sys.argv else "Interrupted. (interrupted)"
    os.write(sys.stderr.fileno(), f"{shown}\n".encode())
    return INTERRUPTED


if __name__ == "__main__":
    main()
