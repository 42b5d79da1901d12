"""The embedded nats-server, from its wheel: for `chargekey up` and for tests."""

from __future__ import annotations

import json
import signal
import subprocess
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from chargekey_common.jetstream import Bus

START_TIMEOUT = 20.0
STOP_TIMEOUT = 10.0
# Seconds within which a partner's credential is known or refused.
ASKING_TIMEOUT = 5.0

# js_ack_fc_v2 would give acknowledgement subjects a form that nats-py 2.16 cannot read.
# Partners are in an account without JetStream, which is let pull and acknowledge in FEEDS: a
# pull names the subject that it is answered on, whatever its sender may publish to, and among
# streams one answered on `$JS.API.STREAM.DELETE.<another's>` deletes it.
_CONFIGURATION = """\
listen: "127.0.0.1:{port}"
server_name: "{name}"
ports_file_dir: "{directory}"
jetstream {{ store_dir: "{directory}", sync_interval: {sync} }}
feature_flags {{ js_ack_fc_v2: false }}
{tls}{cluster}accounts {{
  CHARGEKEY {{
    jetstream: enabled
    users: [ {{ user: "chargekey", password: "{token}" }} ]
  }}
  FEEDS {{
    jetstream: enabled
    users: [ {{ user: "feeds", password: "{token}" }} ]
    exports: [
      {{ service: "$JS.API.CONSUMER.MSG.NEXT.*.*", response_type: stream }}
      {{ service: "$JS.ACK.>" }}
    ]
  }}
  PARTNERS {{
    limits {{ max_payload: 4096, max_subscriptions: 256 }}
    imports: [
      {{ service: {{ account: FEEDS, subject: "$JS.API.CONSUMER.MSG.NEXT.*.*" }} }}
      {{ service: {{ account: FEEDS, subject: "$JS.ACK.>" }} }}
    ]
  }}
}}
{callout}"""

# Whoever is not among the accounts' own users is asked about in CHARGEKEY, where no partner is.
_CALLOUT = """\
authorization {{
  timeout: {timeout:g}
  auth_callout {{ account: CHARGEKEY, issuer: {issuer}, auth_users: [ chargekey, feeds ] }}
}}
"""


# From the first byte on: who waited to be asked for TLS could be told that none is needed.
_TLS = """\
tls {{ cert_file: "{certificate}", key_file: "{key}", handshake_first: true }}
"""


# Servers find each other where `routes` are; each has a name of its own.
_CLUSTER = """\
cluster {{ name: "chargekey", listen: "127.0.0.1:{port}", routes: [ {routes} ] }}
"""


class NatsServerError(Exception):
    """The server did not start; its log says why."""


class NatsServer:
    """One nats-server process with JetStream on loopback, in a directory of its own.

    Port 0 lets the system choose at the first start; later starts keep the port,
    so that clients find it again. `token` is the password of our own users; partners are
    let in by whoever holds the seed of `issuer`, an account's public nkey, or not at all.
    With the files of a certificate and its key it speaks TLS alone. `routes` are the ports at
    which the servers of a cluster reach each other, of which this one has the one at `place`.
    `sync` is JetStream's sync_interval: `always` survives a power cut.
    """

    def __init__(
        self,
        directory: Path,
        *,
        token: str,
        issuer: str | None = None,
        port: int = 0,
        sync: str = "always",
        tls: tuple[Path, Path] | None = None,
        routes: Sequence[int] = (),
        place: int = 0,
    ) -> None:
        self.directory = directory
        self.token = token
        self.port = port
        self.log = directory / "nats-server.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._issuer = issuer
        self._sync = sync
        self._tls = tls
        self._routes = routes
        self._place = place

    @property
    def url(self) -> str:
        """Where clients connect, once started."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def bus(self) -> Bus:
        """What our own users connect with, once started."""
        # The client takes its time to import, which whoever only runs a server need not wait for.
        from chargekey_common.jetstream import Bus  # noqa: PLC0415

        return Bus(self.url, lambda: self.token)

    def start(self) -> None:
        """Start and wait until clients are served; raises NatsServerError."""
        self.launch()
        self.wait_until_serving()

    def launch(self) -> None:
        """Start the process, which serves clients a moment later; raises NatsServerError."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for stale in self.directory.glob("*.ports"):
                stale.unlink()
            configuration = self.directory / "nats-server.conf"
            configuration.touch(mode=0o600)
            configuration.write_text(
                _CONFIGURATION.format(
                    port=self.port or -1,
                    directory=self.directory,
                    sync=self._sync,
                    token=self.token,
                    callout=self._callout(),
                    tls=self._speaking_tls(),
                    name=f"chargekey-{self._place}",
                    cluster=self._with_others(),
                )
            )
            binary = Path(sysconfig.get_path("scripts")) / "nats-server"
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(  # noqa: S603 - our own binary, our own configuration
                    [binary, "--config", configuration],
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            message = f"nats-server did not start: {error.strerror}"
            raise NatsServerError(message) from None

    def _callout(self) -> str:
        if self._issuer is None:
            return ""
        return _CALLOUT.format(issuer=self._issuer, timeout=ASKING_TIMEOUT)

    def _speaking_tls(self) -> str:
        if self._tls is None:
            return ""
        certificate, key = self._tls
        return _TLS.format(certificate=certificate, key=key)

    def _with_others(self) -> str:
        if not self._routes:
            return ""
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self._routes)
        return _CLUSTER.format(port=self._routes[self._place], routes=routes)

    def wait_until_serving(self) -> None:
        """Return once clients are served; raises NatsServerError, and then it has ended."""
        process = self.process
        if process is not None:
            ports_file = self.directory / f"nats-server_{process.pid}.ports"
            deadline = time.monotonic() + START_TIMEOUT
            while process.poll() is None and time.monotonic() < deadline:
                if port := _port(ports_file):
                    self.port = port
                    return
                time.sleep(0.005)
            # This one, whoever has started another meanwhile.
            process.kill()
            process.wait(STOP_TIMEOUT)
        message = f"nats-server did not start; see {self.log}"
        raise NatsServerError(message)

    def stop(self) -> None:
        """End the server and wait for it; nothing happens when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(STOP_TIMEOUT)
            self.process = None


def _port(ports_file: Path) -> int | None:
    """Return the port the server has told of; it may be writing, or its directory be gone."""
    try:
        ports = json.loads(ports_file.read_text())
    except (OSError, ValueError):
        return None
    return urlsplit(str(ports["nats"][0])).port
