"""Where the mail sink begins."""

from __future__ import annotations

from chargekey_common.importing import imported

if __name__ == "__main__":
    imported("chargekey_stack.mail_sink.sink:main")()
