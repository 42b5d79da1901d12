"""All that identity keeps: its events, the keys they are sealed under, and the tables beside them.

On PostgreSQL everything is in one schema; in files, what has to be backed up or
thrown away apart from the rest is in a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from chargekey_common.attempts import Attempts
from chargekey_common.eventstore.store import EventStore
from chargekey_common.postgres import Postgres
from chargekey_identity.domain.events import EVENTS
from chargekey_identity.tables.keyring import KeyRing
from chargekey_identity.tables.openid_states import OpenIdStates
from chargekey_identity.tables.refresh_tokens import RefreshTokens
from chargekey_identity.tables.scans import ScanTables
from chargekey_identity.tables.signing_keys import SigningKeys

MAKERS: tuple[Callable[[Postgres], None], ...] = (
    EventStore.migrate,
    KeyRing.migrate,
    SigningKeys.migrate,
    RefreshTokens.migrate,
    OpenIdStates.migrate,
    Attempts.migrate,
    ScanTables.migrate,
)
"""Make the tables on PostgreSQL, each its own."""


class Storage(msgspec.Struct, frozen=True):
    """Everything that was opened."""

    events: EventStore
    keyring: KeyRing
    signing_keys: SigningKeys
    refresh_tokens: RefreshTokens
    openid_states: OpenIdStates
    attempts: Attempts
    scans: ScanTables


@contextmanager
def opened(tables: Callable[[str], Path | Postgres], master: bytes) -> Iterator[Storage]:
    """Open everything and close it afterwards; `tables` tells where those of a file are."""
    sign_ins = tables("identity-sign-ins.db")
    with (
        closing(KeyRing(tables("identity-keys.db"), master)) as keyring,
        closing(EventStore("identity", tables("identity.db"), EVENTS, keyring)) as events,
        closing(SigningKeys(tables("identity-signing-keys.db"), master)) as signing_keys,
        closing(RefreshTokens(sign_ins, master)) as refresh_tokens,
        closing(OpenIdStates(sign_ins, master)) as openid_states,
        closing(Attempts(sign_ins)) as attempts,
        closing(ScanTables(tables("identity-scans.db"), master)) as scans,
    ):
        yield Storage(events, keyring, signing_keys, refresh_tokens, openid_states, attempts, scans)
