"""How the notifier is put together: what is kept, who reacts, who sends, what is answered."""

from __future__ import annotations

import time
from typing import NamedTuple

from grpc import aio

from chargekey_common import jetstream
from chargekey_common.accounts import Signer, Verifier
from chargekey_common.audit.standings import Standings
from chargekey_common.certificates import Certificates, follow
from chargekey_common.grpc.client import RemoteCheck, channel, issued_keys
from chargekey_common.grpc.server import Server
from chargekey_common.http_server import HttpServer
from chargekey_common.jetstream import Bus
from chargekey_common.leadership import lead
from chargekey_common.outgoing import Outgoing
from chargekey_common.process import Lifetime
from chargekey_common.reactions import Reactions
from chargekey_common.settings import load, migration
from chargekey_common.telemetry import HealthServer, Readiness, observe
from chargekey_notifier.api import feeds as feed_service
from chargekey_notifier.api import mails as mail_service
from chargekey_notifier.api import ocpi as ocpi_service
from chargekey_notifier.api import webhooks as webhook_service
from chargekey_notifier.api.partners import Partners
from chargekey_notifier.feeds.projecting import Projector
from chargekey_notifier.feeds.retention import Retention as FeedRetention
from chargekey_notifier.feeds.store import Feeds
from chargekey_notifier.http.app import app
from chargekey_notifier.http.events import EventsDoor
from chargekey_notifier.http.tokens import TokenDoor
from chargekey_notifier.http.unsubscribe import UnsubscribeDoor
from chargekey_notifier.mails.choices import Choices
from chargekey_notifier.mails.outbox import Outbox
from chargekey_notifier.mails.post import Post
from chargekey_notifier.mails.sending import Sender
from chargekey_notifier.mails.unsubscribing import Unsubscribing
from chargekey_notifier.mails.writing import Writer
from chargekey_notifier.nats_door.callout import issuer
from chargekey_notifier.nats_door.door import NatsDoor
from chargekey_notifier.ocpi import tables as ocpi_tables
from chargekey_notifier.ocpi.calls import DEADLINE as OCPI_DEADLINE
from chargekey_notifier.ocpi.following import Following
from chargekey_notifier.ocpi.messages import Party
from chargekey_notifier.ocpi.together import Ocpi
from chargekey_notifier.reactions.mailing import MAILS
from chargekey_notifier.reactions.on_partner_credential_revoked import (
    on_partner_credential_revoked,
)
from chargekey_notifier.reactions.on_user_erased import on_user_erased
from chargekey_notifier.sealing import read_secret
from chargekey_notifier.settings import NotifierSettings
from chargekey_notifier.webhooks.retention import Retention as WebhookRetention
from chargekey_notifier.webhooks.sending import DEADLINE as WEBHOOK_DEADLINE
from chargekey_notifier.webhooks.sending import WebhookSender
from chargekey_notifier.webhooks.store import Webhooks


class Others(NamedTuple):
    """The ways to the services that are others."""

    access: aio.Channel
    identity: aio.Channel
    gateway: aio.Channel


class Mails(NamedTuple):
    """What waits to be sent, and what people choose to get."""

    outbox: Outbox
    choices: Choices
    unsubscribing: Unsubscribing


def connect(
    lifetime: Lifetime, settings: NotifierSettings, certificates: Certificates | None
) -> Others:
    """Return the ways to them; each connects when something is asked."""
    signer = Signer.from_file(settings.account_key_file)
    channels = Others(
        access=channel(settings.access_address, signer, certificates),
        identity=channel(settings.identity_address, signer, certificates),
        gateway=channel(settings.gateway_address, signer, certificates),
    )
    for each in channels:
        lifetime.closing.push_async_callback(each.close)
    return channels


def project_feeds(
    lifetime: Lifetime, settings: NotifierSettings, bus: Bus
) -> tuple[Feeds, Projector]:
    """Return what every partner is told, and what tells it, at work."""
    where = settings.tables("feeds.db")
    feeds = Feeds(where)
    lifetime.closing.callback(feeds.close)
    projector = Projector(feeds, bus)
    lifetime.own(lead(where, "feeds", projector.run), "feeds")
    retention = FeedRetention(feeds, days=settings.feed_days, clock=time.time_ns)
    lifetime.own(retention.run(), "feed retention")
    return feeds, projector


def send_mails(lifetime: Lifetime, settings: NotifierSettings, others: Others) -> Mails:
    """Return the queue, which is being sent from now on, and what people choose."""
    where = settings.tables("notifier.db")
    secret = read_secret(settings.secret_file)
    outbox = Outbox(where)
    lifetime.closing.callback(outbox.close)
    choices = Choices(outbox, secret)
    unsubscribing = Unsubscribing(secret, settings.public_url)
    writer = Writer(
        identity=others.identity,
        access=others.access,
        choices=choices,
        unsubscribing=unsubscribing,
        administrator=settings.administrator_address,
        administrator_language=settings.administrator_language,
        portal_url=settings.portal_url,
    )
    post = Post(
        settings.smtp_address,
        settings.sender_address,
        tls=settings.smtp_tls,
        user=settings.smtp_user,
        password_file=settings.smtp_password_file,
    )
    sender = Sender(outbox, writer, post)
    lifetime.own(lead(where, "sending", sender.run), "sender")
    return Mails(outbox, choices, unsubscribing)


async def send_webhooks(lifetime: Lifetime, settings: NotifierSettings, feeds: Feeds) -> Webhooks:
    """Return the endpoints, to which the feeds are sent from now on."""
    where = settings.tables("webhooks.db")
    webhooks = Webhooks(where, read_secret(settings.secret_file))
    lifetime.closing.callback(webhooks.close)
    outgoing = await lifetime.closing.enter_async_context(
        Outgoing(deadline=WEBHOOK_DEADLINE, anywhere=settings.partners_anywhere)
    )
    sender = WebhookSender(webhooks, feeds, outgoing)
    lifetime.own(lead(where, "webhooks", sender.run), "webhooks")
    lifetime.own(WebhookRetention(webhooks, clock=time.time_ns).run(), "webhook retention")
    return webhooks


async def speak_ocpi(
    lifetime: Lifetime, settings: NotifierSettings, others: Others, feeds: Feeds
) -> Ocpi:
    """Return what speaks OCPI with operators, at work."""
    where = settings.tables("ocpi.db")
    database = ocpi_tables.opened(where)
    lifetime.closing.callback(database.close)
    outgoing = await lifetime.closing.enter_async_context(
        Outgoing(deadline=OCPI_DEADLINE, anywhere=settings.partners_anywhere)
    )
    ocpi = Ocpi(
        database,
        read_secret(settings.secret_file),
        outgoing,
        Party(
            country_code=settings.ocpi_country_code,
            party_id=settings.ocpi_party_id,
            name=settings.ocpi_name,
        ),
        access=others.access,
        gateway=others.gateway,
        public_url=settings.public_url,
        currency=settings.ocpi_currency,
    )
    lifetime.closing.push_async_callback(ocpi.commands.close)
    following = Following(ocpi.objects, ocpi.starts, feeds, others.access)
    lifetime.own(lead(where, "ocpi connections", ocpi.keeping.run), "ocpi connections")
    lifetime.own(lead(where, "ocpi following", following.run), "ocpi following")
    lifetime.own(lead(where, "ocpi pushing", ocpi.pushing.run), "ocpi pushing")
    return ocpi


def open_nats_door(
    lifetime: Lifetime, settings: NotifierSettings, bus: Bus, others: Others, feeds: Feeds
) -> NatsDoor:
    """Return the door, which is being opened."""
    door = NatsDoor(
        bus,
        feeds=feeds,
        where=settings.tables("feeds.db"),
        identity=others.identity,
        signer=issuer(settings.nats_issuer_file),
        days=settings.feed_days,
        replicas=settings.stream_replicas,
    )
    lifetime.own(door.run(), "nats door")
    return door


async def start(lifetime: Lifetime) -> None:
    """Send what waits and react to what comes; ready while events reach the reactions."""
    settings = load(NotifierSettings)
    observe(lifetime, "notifier", settings.log_level)
    certificates = follow(lifetime, settings.tls_files)
    bus = jetstream.bus(lifetime, settings)
    others = connect(lifetime, settings, certificates)
    feeds, projector = project_feeds(lifetime, settings, bus)
    mails = send_mails(lifetime, settings, others)
    webhooks = await send_webhooks(lifetime, settings, feeds)
    ocpi = await speak_ocpi(lifetime, settings, others, feeds)
    nats_door = open_nats_door(lifetime, settings, bus, others, feeds)
    reactions = Reactions(
        "notifier",
        bus,
        mails.outbox,
        *(each(mails.outbox) for each in MAILS),
        on_user_erased(mails.choices),
        on_partner_credential_revoked(nats_door, mails.outbox),
    )
    verifier = Verifier(settings.accounts, issued_keys(others.identity))
    check = RemoteCheck(others.access)
    partners = Partners(others.access)
    server = Server(
        feed_service.service(
            feeds,
            partners,
            public_url=settings.public_url,
            nats_url=settings.partners_nats_url,
        ),
        verifier,
        check,
        webhook_service.service(webhooks, feeds, partners, anywhere=settings.partners_anywhere),
        mail_service.service(mails.choices, mails.unsubscribing),
        ocpi_service.service(ocpi, partners, public_url=settings.public_url),
        Standings(projector.standings, reactions.standings).service(),
        certificates=certificates,
    )
    events = EventsDoor(feeds, verifier, check)
    http = HttpServer(
        app(
            events.routes(),
            ocpi.routes(),
            UnsubscribeDoor(mails.choices, mails.unsubscribing).routes(),
            TokenDoor(others.identity).routes(),
        ),
        settings.http_address,
        trusted_proxies=settings.trusted_proxies,
    )
    health = HealthServer(
        lifetime,
        lambda: Readiness(
            ready=reactions.reacting.is_set()
            and nats_door.open.is_set()
            and server.serving
            and http.serving,
            detail={"feeds": "caught up" if projector.caught_up else "behind"},
        ),
    )
    await lifetime.serve(health, settings.health_address)
    await lifetime.serve(server, settings.grpc_address)
    lifetime.own(reactions.run(), "reactions")
    lifetime.own(http.run(), "http")
    lifetime.closing.push_async_callback(http.stop)
    lifetime.closing.callback(events.stop)
    await reactions.reacting.wait()
    await nats_door.open.wait()
    await server.ready()


migrate = migration(
    NotifierSettings, Outbox.migrate, Feeds.migrate, Webhooks.migrate, ocpi_tables.migrate
)
