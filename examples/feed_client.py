"""Follows a partner's feed and prints each event, from where it was stopped the last time.

CHARGEKEY_URL=https://charge.example CLIENT_ID=... CLIENT_SECRET=... python feed_client.py cursor
"""

import json
import os
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

URL, CURSOR = os.environ["CHARGEKEY_URL"], Path(sys.argv[1])
FORM = {key: os.environ[key.upper()] for key in ("client_id", "client_secret")}
FORM["grant_type"] = "client_credentials"
while True:
    try:
        # Good for minutes; the stream ends with it.
        with urlopen(f"{URL}/v1/token", urlencode(FORM).encode(), timeout=10) as answer:
            headers = {"Authorization": f"Bearer {json.load(answer)['access_token']}"}
        headers["Last-Event-ID"] = CURSOR.read_text() if CURSOR.exists() else ""
        with urlopen(Request(f"{URL}/v1/events/stream", headers=headers), timeout=60) as stream:
            for line in filter(lambda line: line.startswith(b"data: "), stream):
                event = json.loads(line.removeprefix(b"data: "))
                print(event["sequence"], event["type"], json.dumps(event["data"]), flush=True)
                # Once it is dealt with, and not before; whole, whenever we are stopped.
                CURSOR.with_suffix(".new").write_text(event["sequence"])
                CURSOR.with_suffix(".new").replace(CURSOR)
    except OSError as error:
        if isinstance(error, HTTPError) and error.code < 500 and error.code != 429:
            sys.exit(f"{error.code}: {error.read().decode()}")
        time.sleep(1)  # the connection was lost
