"""A system's keys and passwords as a cluster takes them: a directory a Secret, a file a key.

accounts                  the accounts' public keys: whoever may change it makes himself one
account-<service>         a service's own private key
nats                      the password at NATS, and who signs for partners there
nats-issuer               the seed that he signs with: the notifier's
keyed-ids                 what codes are looked up by: identity's and the gateway's
charger-passwords         what chargers' passwords are hashed with: access's and the gateway's
identity-master-key       what wraps the users' data keys: identity's
notifier                  what the notifier seals with
portal                    what sessions are signed with
postgres-<service>        where it keeps everything: each may be a role of its own
postgres                  the password of the database that development has

The local administrator's private key is not among them: it stays in the data directory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nkeys

from chargekey_common import whole_files
from chargekey_common.accounts import ADMINISTRATOR, service_account
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.errors import SecretsUnwritableError

SERVICES = ("access", "identity", "gateway", "history", "notifier", "portal")
# Who keeps things in a database.
KEEPERS = ("access", "identity", "history", "notifier")
# Where the database is that the cluster has for development.
DATABASE = "postgresql://chargekey:{password}@postgres/chargekey"


def write(data: DataDirectory, directory: Path) -> None:
    """Write every Secret below `directory`; what `data` has not is made, and is the same later.

    A database's URLs that are there already stay. Raises SecretsUnwritableError, and what a data
    directory that is in use, foreign or unusable raises.
    """
    with data.locked():
        secrets = list(_secrets(data))
    try:
        for secret, file, content in secrets:
            own = directory / secret
            own.mkdir(parents=True, exist_ok=True, mode=0o700)
            whole_files.write(own / file, content)
        database = DATABASE.format(password=(directory / "postgres" / "password").read_text())
        for service in KEEPERS:
            url = directory / f"postgres-{service}" / "url"
            if not url.exists():
                url.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                whole_files.write(url, database.encode())
    except OSError as error:
        trouble = f"{directory} ({error.strerror})"
        raise SecretsUnwritableError(trouble) from None


def _secrets(data: DataDirectory) -> Iterator[tuple[str, str, bytes]]:
    """Yield each Secret's name, a key and what it holds."""
    for service in SERVICES:
        key = data.account(service_account(service))
        yield f"account-{service}", key.name, key.read_bytes()
    data.account(ADMINISTRATOR)
    for public in sorted(data.accounts.glob("*.pem")):
        yield "accounts", public.name, public.read_bytes()
    seed = data.nats_issuer().read_bytes()
    yield "nats-issuer", "seed", seed
    yield "nats", "issuer", nkeys.from_seed(seed).public_key
    yield "nats", "token", data.token("nats_token").read_bytes()
    yield "postgres", "password", data.token("postgres_password").read_bytes()
    for name in ("keyed_ids", "charger_passwords", "identity_master_key", "notifier", "portal"):
        yield name.replace("_", "-"), "secret", data.secret(name).read_bytes()
