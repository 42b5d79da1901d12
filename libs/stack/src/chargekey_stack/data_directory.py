"""The data directory: everything one system keeps, and who may use it at a time.

version     the form of all this
lock        held while a system runs here
secrets/    keys of the deployment, made once
keys/       the accounts' private keys, the local administrator's among them
accounts/   their public keys
<service>/  a service's own data; of gateway-2 and so on the view alone
nats/       JetStream and its server's log
mail/       mails caught instead of sent
logs/       one file a process
run/        system.json, while a system runs
login.json  the tokens of who signed in by `chargekey login`
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Collection, Iterator
from pathlib import Path

import nkeys

from chargekey_common import whole_files
from chargekey_common.accounts import ADMINISTRATOR, Caller, make_account
from chargekey_stack.errors import (
    DataForeignError,
    DataInUseError,
    DataUnusableError,
    DataVersionError,
)

VERSION = "4"
ENVIRONMENT = "CHARGEKEY_DATA"
DEFAULT = "~/.local/share/chargekey"
SECRET_BYTES = 32
VIEW = "view"


class DataDirectory:
    """One system's directory; nothing is read or written until asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.secrets = self.path / "secrets"
        self.accounts = self.path / "accounts"
        self.keys = self.path / "keys"
        self.mail = self.path / "mail"
        self.nats = self.path / "nats"
        # Where the running system says how to reach it.
        self.system_file = self.path / "run" / "system.json"
        # Who is signed in by `chargekey login`.
        self.login = self.path / "login.json"
        # The URL of the database that has the events; without it they are in files.
        self.postgres = self.secrets / "postgres"
        self.administrator_key = self.keys / f"{ADMINISTRATOR.replace(':', '_')}.key"

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Make the directory ready and hold it for one system; yield the lock's descriptor.

        The lock holds until every copy of the descriptor is closed. Raises
        DataInUseError, DataVersionError, DataForeignError or DataUnusableError.
        """
        with contextlib.ExitStack() as opened:
            with self._usable():
                self._make()
                lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
                opened.callback(os.close, lock)
                self._hold(lock)
                self._check_version()
                for name in ("secrets", "keys", "accounts", "mail", "nats", "logs", "run"):
                    (self.path / name).mkdir(mode=0o700, exist_ok=True)
            yield lock

    def exists(self) -> bool:
        """Whether a system has ever used the directory; raises DataUnusableError."""
        with self._usable():
            return (self.path / "version").exists()

    def in_use(self) -> bool:
        """Whether a system holds the directory at this moment."""
        try:
            lock = os.open(self.path / "lock", os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def is_left(self) -> bool:
        """Whether a system has held the directory and none does; a cluster holds none."""
        return (self.path / "lock").exists() and not self.in_use()

    def service(self, name: str) -> Path:
        """Return a service's own directory, made if need be."""
        own = self.path / name
        with self._usable():
            own.mkdir(mode=0o700, exist_ok=True)
        return own

    def view(self, name: str) -> Path:
        """Return where a gateway keeps its view, in its own directory, made if need be."""
        return self.service(name) / VIEW

    def keep_views_of(self, names: Collection[str]) -> None:
        """Remove the views of gateways but these: nobody has them forget who is erased."""
        with self._usable():
            # With whatever was left unfinished when one was killed.
            for view in self.path.glob(f"gateway*/{VIEW}*"):
                if view.parent.name not in names:
                    view.unlink()

    def log(self, name: str) -> Path:
        """Return the file that a process's output is appended to."""
        return self.path / "logs" / f"{name}.log"

    def secret(self, name: str) -> Path:
        """Return the file of a secret of random bytes, made at the first call ever."""
        return self._once(self.secrets / name, secrets.token_bytes(SECRET_BYTES))

    def token(self, name: str) -> Path:
        """Return the file of a secret in letters, made at the first call ever."""
        return self._once(self.secrets / name, secrets.token_hex(SECRET_BYTES).encode())

    def nats_issuer(self) -> Path:
        """Return the file of the seed that signs for partners at NATS, made at the first call."""
        seed = nkeys.encode_seed(secrets.token_bytes(SECRET_BYTES), nkeys.PREFIX_BYTE_ACCOUNT)
        return self._once(self.secrets / "nats_issuer", seed)

    def remember_postgres(self, url: str) -> None:
        """Keep the URL of the database that has this system's events."""
        self._write(self.postgres, url.encode())

    def has_events(self) -> bool:
        """Return whether a system has kept events in files here."""
        return any(self.path.glob("*/*.db"))

    def account(self, caller: Caller) -> Path:
        """Return the file of an account's private key, made at the first call ever."""
        with self._usable():
            return make_account(caller, keys=self.keys, accounts=self.accounts)

    @contextlib.contextmanager
    def announced(self, system: bytes) -> Iterator[None]:
        """Say how to reach the system that runs for the length of the block."""
        self._write(self.system_file, system)
        try:
            yield
        finally:
            self.system_file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        """Raise DataUnusableError where the file system refuses: a full disk, no permission."""
        try:
            yield
        except OSError as error:
            trouble = f"{self.path} ({error.strerror})"
            raise DataUnusableError(trouble) from None

    def _make(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        present = {entry.name for entry in self.path.iterdir()}
        if present and not present & {"version", "lock"}:
            raise DataForeignError(str(self.path))
        self.path.chmod(0o700)

    def _hold(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataInUseError(str(self.path)) from None

    def _check_version(self) -> None:
        version = self._once(self.path / "version", f"{VERSION}\n".encode())
        found = version.read_bytes().strip()
        if found != VERSION.encode():
            # Only a number is worth showing.
            other = found[:9].decode() if found.isdigit() else "unknown"
            trouble = f"{self.path} (its version is {other}, this Chargekey's is {VERSION})"
            raise DataVersionError(trouble)

    def _once(self, file: Path, content: bytes) -> Path:
        """Write `file` unless it is there; raises DataUnusableError, also if it is unreadable."""
        with self._usable():
            if not file.exists():
                self._write(file, content)
            file.open("rb").close()
        return file

    def _write(self, file: Path, content: bytes) -> None:
        """Write all of `file` or leave it as it was, even if the power fails."""
        with self._usable():
            whole_files.write(file, content)
