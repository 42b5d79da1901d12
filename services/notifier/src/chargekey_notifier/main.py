"""The notifier as a process."""

from __future__ import annotations

from chargekey_common import process
from chargekey_common.settings import migration
from chargekey_notifier.feeds.store import Feeds
from chargekey_notifier.mails.outbox import Outbox
from chargekey_notifier.ocpi import tables as ocpi_tables
from chargekey_notifier.settings import NotifierSettings
from chargekey_notifier.webhooks.store import Webhooks
from chargekey_notifier.wiring import start


def main() -> None:
    """Run until told to stop, or make the tables."""
    process.main(
        start,
        migrate=migration(
            NotifierSettings, Outbox.migrate, Feeds.migrate, Webhooks.migrate, ocpi_tables.migrate
        ),
    )
