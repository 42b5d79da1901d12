"""What every service does that keeps events: tells its own to the others, and hears theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nats.aio.client import Client

from chargekey_common.audit.standings import Standings
from chargekey_common.eventstore.records import Record
from chargekey_common.eventstore.store import EventStore
from chargekey_common.leadership import lead
from chargekey_common.process import Lifetime
from chargekey_common.reactions import On, Reactions
from chargekey_common.relay import Publication, Relay, relayed
from chargekey_common.settings import ServiceSettings
from chargekey_common.standing import Standing


def tell_and_hear(
    lifetime: Lifetime,
    settings: ServiceSettings,
    client: Client,
    store: EventStore,
    publication: Callable[[Record], Publication],
    standings: Standings,
    *reactions: On,
) -> None:
    """Publish whatever the store records, and react to what others publish, all life long.

    Of several replicas one publishes; all react. `standings` tells from then on how far both are.
    """
    relay = Relay(client, store, publication)
    where = settings.tables(f"{store.service}.db")
    lifetime.own(lead(where, "relay", relay.run), "relay")
    hearing = Reactions(store.service, settings.nats_url, settings.nats_token, store, *reactions)
    lifetime.own(hearing.run(), "reactions")

    async def telling() -> Sequence[Standing]:
        return [await relayed(client, store)]

    standings.include(telling, hearing.standings)
