"""Follows a partner's feed and prints each event, from where it was stopped the last time.

CHARGEKEY_URL=https://charge.example CLIENT_ID=... CLIENT_SECRET=... python feed_client.py cursor
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

URL, CURSOR = os.environ["CHARGEKEY_URL"], Path(sys.argv[1])


def token() -> str:
    """Return an access token; it is good for minutes."""
    form = {"client_id": os.environ["CLIENT_ID"], "client_secret": os.environ["CLIENT_SECRET"]}
    form = urlencode(form | {"grant_type": "client_credentials"}).encode()
    with urlopen(f"{URL}/v1/token", form, timeout=10) as answer:
        return json.load(answer)["access_token"]


def events(access_token: str) -> Iterator[dict[str, Any]]:
    """Yield what comes behind the cursor, until the token ends."""
    after = CURSOR.read_text() if CURSOR.exists() else ""
    headers = {"Authorization": f"Bearer {access_token}", "Last-Event-ID": after}
    with urlopen(Request(f"{URL}/v1/events/stream", headers=headers), timeout=60) as stream:
        for line in stream:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


while True:
    try:
        for event in events(token()):
            print(event["sequence"], event["type"], json.dumps(event["data"]), flush=True)
            # Once it is dealt with, and not before; whole, whenever we are stopped.
            CURSOR.with_suffix(".new").write_text(event["sequence"])
            CURSOR.with_suffix(".new").replace(CURSOR)
    except HTTPError as error:
        if error.code < 500 and error.code != 429:
            sys.exit(f"{error.code}: {error.read().decode()}")
        time.sleep(5)
    except OSError:  # the connection was lost
        time.sleep(1)
