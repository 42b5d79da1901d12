"""What every service does that keeps events: tells its own to the others, and hears theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

import structlog
from nats.aio.client import Client

from chargekey_common.audit.standings import Standings
from chargekey_common.errors import CannotRunError
from chargekey_common.eventstore.records import Record
from chargekey_common.eventstore.store import EventStore
from chargekey_common.jetstream import Bus
from chargekey_common.leadership import lead
from chargekey_common.process import Lifetime
from chargekey_common.reactions import On, Reactions
from chargekey_common.relay import Publication, Relay, relayed
from chargekey_common.settings import ServiceSettings, StreamSettings, load
from chargekey_common.standing import Standing
from chargekey_common.telemetry import configure_logging

log = structlog.get_logger()


def tell_and_hear(
    lifetime: Lifetime,
    settings: StreamSettings,
    bus: Bus,
    client: Client,
    store: EventStore,
    publication: Callable[[Record], Publication],
    standings: Standings,
    *reactions: On,
) -> None:
    """Publish whatever the store records, and react to what others publish, all life long.

    Of several replicas one publishes; all react. `standings` tells from then on how far both are.
    """
    relay = Relay(client, store, publication, replicas=settings.stream_replicas)
    where = settings.tables(f"{store.service}.db")
    lifetime.own(lead(where, "relay", relay.run), "relay")
    lifetime.closing.push_async_callback(relay.finish)
    hearing = Reactions(store.service, bus, store, *reactions)
    lifetime.own(hearing.run(), "reactions")

    async def telling() -> Sequence[Standing]:
        return [await relayed(client, store)]

    standings.include(telling, hearing.standings)


def restoration(settings: type[ServiceSettings]) -> Callable[[], None]:
    """Return the job to run once after a service's database was restored, while no replica runs.

    It declares the store another one than its stream was filled from: the stream is filled anew,
    and whoever follows it starts over.
    """

    def restored() -> None:
        loaded = load(settings)
        where = loaded.postgres
        if where is None:
            message = "A store in files is declared another by `chargekey restored`."
            raise CannotRunError(message)
        configure_logging(where.schema, loaded.log_level)
        from chargekey_common.eventstore.postgres import (  # noqa: PLC0415 - a service starts without
            PostgresRecorder,
        )

        with closing(PostgresRecorder(where)) as recorder:
            log.info("generation_begun", generation=recorder.begin_new_generation())

    return restored
