"""How the notifier is put together: what is kept, who reacts, who sends, what is answered."""

from __future__ import annotations

import time
from collections.abc import Callable

from grpc import aio

from chargekey_common.accounts import Signer, Verifier
from chargekey_common.grpc.client import RemoteCheck, channel, issued_keys
from chargekey_common.grpc.server import Server
from chargekey_common.http_server import HttpServer
from chargekey_common.leadership import lead
from chargekey_common.outgoing import Outgoing
from chargekey_common.process import Lifetime
from chargekey_common.reactions import On, Reactions
from chargekey_common.settings import load
from chargekey_common.telemetry import HealthServer, Readiness, configure_logging
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
from chargekey_notifier.ocpi.calls import Party
from chargekey_notifier.ocpi.following import Following
from chargekey_notifier.ocpi.together import Ocpi
from chargekey_notifier.reactions.on_access_request_approved import on_access_request_approved
from chargekey_notifier.reactions.on_access_request_denied import on_access_request_denied
from chargekey_notifier.reactions.on_access_requested import on_access_requested
from chargekey_notifier.reactions.on_identification_added import on_identification_added
from chargekey_notifier.reactions.on_identification_expiry_changed import (
    on_identification_expiry_changed,
)
from chargekey_notifier.reactions.on_invitation_created import on_invitation_created
from chargekey_notifier.reactions.on_invitation_renewed import on_invitation_renewed
from chargekey_notifier.reactions.on_owner_added import on_owner_added
from chargekey_notifier.reactions.on_ownership_offered import on_ownership_offered
from chargekey_notifier.reactions.on_ownership_transferred import on_ownership_transferred
from chargekey_notifier.reactions.on_partner_credential_revoked import (
    on_partner_credential_revoked,
)
from chargekey_notifier.reactions.on_permission_changed import on_permission_changed
from chargekey_notifier.reactions.on_permission_granted import on_permission_granted
from chargekey_notifier.reactions.on_permission_revoked import on_permission_revoked
from chargekey_notifier.reactions.on_pin_locked_out import on_pin_locked_out
from chargekey_notifier.reactions.on_pin_locked_out_at_installation import (
    on_pin_locked_out_at_installation,
)
from chargekey_notifier.reactions.on_sign_in_link_requested import on_sign_in_link_requested
from chargekey_notifier.reactions.on_user_blocked import on_user_blocked
from chargekey_notifier.reactions.on_user_blocked_at_installation import (
    on_user_blocked_at_installation,
)
from chargekey_notifier.reactions.on_user_erased import on_user_erased
from chargekey_notifier.settings import NotifierSettings
from chargekey_notifier.webhooks.retention import Retention as WebhookRetention
from chargekey_notifier.webhooks.sending import DEADLINE, WebhookSender
from chargekey_notifier.webhooks.store import Webhooks

# What mails follow from; each leaves them in the outbox.
MAILS: tuple[Callable[[Outbox], On], ...] = (
    on_access_request_approved,
    on_access_request_denied,
    on_access_requested,
    on_identification_added,
    on_identification_expiry_changed,
    on_invitation_created,
    on_invitation_renewed,
    on_owner_added,
    on_ownership_offered,
    on_ownership_transferred,
    on_permission_changed,
    on_permission_granted,
    on_permission_revoked,
    on_pin_locked_out,
    on_pin_locked_out_at_installation,
    on_sign_in_link_requested,
    on_user_blocked,
    on_user_blocked_at_installation,
)


async def speak_ocpi(
    lifetime: Lifetime,
    settings: NotifierSettings,
    signer: Signer,
    access: aio.Channel,
    feeds: Feeds,
) -> Ocpi:
    """Return what speaks OCPI with operators, at work."""
    database = ocpi_tables.opened(settings.tables("ocpi.db"))
    lifetime.closing.callback(database.close)
    gateway = channel(settings.gateway_address, signer)
    lifetime.closing.push_async_callback(gateway.close)
    calling = await lifetime.closing.enter_async_context(
        Outgoing(deadline=OCPI_DEADLINE, anywhere=settings.partners_anywhere)
    )
    ocpi = Ocpi(
        database,
        settings.secret_file.read_bytes(),
        calling,
        Party(
            country_code=settings.ocpi_country_code,
            party_id=settings.ocpi_party_id,
            name=settings.ocpi_name,
        ),
        access=access,
        gateway=gateway,
        public_url=settings.public_url,
        currency=settings.ocpi_currency,
    )
    lifetime.closing.push_async_callback(ocpi.commands.close)
    where = settings.tables("ocpi.db")
    lifetime.own(lead(where, "ocpi", ocpi.keeping.run), "ocpi connections")
    following = Following(ocpi.objects, feeds, access)
    lifetime.own(lead(where, "ocpi following", following.run), "ocpi following")
    lifetime.own(lead(where, "ocpi pushing", ocpi.pushing.run), "ocpi pushing")
    return ocpi


async def start(lifetime: Lifetime) -> None:
    """Send what waits and react to what comes; ready while events reach the reactions."""
    settings = load(NotifierSettings)
    configure_logging("notifier", settings.log_level)
    where = settings.tables("notifier.db")
    outbox = Outbox(where)
    lifetime.closing.callback(outbox.close)
    choices = Choices(outbox, settings.secret_file.read_bytes())
    unsubscribing = Unsubscribing(settings.secret_file.read_bytes(), settings.public_url)
    feeds = Feeds(settings.tables("feeds.db"))
    lifetime.closing.callback(feeds.close)
    webhooks = Webhooks(settings.tables("webhooks.db"), settings.secret_file.read_bytes())
    lifetime.closing.callback(webhooks.close)
    projector = Projector(feeds, settings.nats_url, settings.nats_token)
    signer = Signer.from_file(settings.account_key_file)
    identity = channel(settings.identity_address, signer)
    lifetime.closing.push_async_callback(identity.close)
    access = channel(settings.access_address, signer)
    lifetime.closing.push_async_callback(access.close)
    nats_door = NatsDoor(
        settings.nats_url,
        settings.nats_token,
        feeds=feeds,
        where=settings.tables("feeds.db"),
        identity=identity,
        signer=issuer(settings.nats_issuer_file),
        days=settings.feed_days,
    )
    ocpi = await speak_ocpi(lifetime, settings, signer, access, feeds)
    reactions = Reactions(
        "notifier",
        settings.nats_url,
        settings.nats_token,
        outbox,
        *(each(outbox) for each in MAILS),
        on_user_erased(choices),
        on_partner_credential_revoked(nats_door, outbox),
    )
    verifier = Verifier(settings.accounts, issued_keys(identity))
    check = RemoteCheck(access)
    partners = Partners(access)
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
        mail_service.service(choices, unsubscribing),
        ocpi_service.service(ocpi, Partners(access), public_url=settings.public_url),
    )
    events = EventsDoor(feeds, verifier, check)
    http = HttpServer(
        app(
            events.routes(),
            ocpi.routes(),
            UnsubscribeDoor(choices, unsubscribing).routes(),
            TokenDoor(identity).routes(),
        ),
        settings.http_address,
    )
    health = HealthServer(
        lambda: Readiness(
            ready=reactions.reacting.is_set()
            and nats_door.open.is_set()
            and server.serving
            and http.serving,
            detail={"feeds": "caught up" if projector.caught_up else "behind"},
        )
    )
    await lifetime.serve(health, settings.health_address)
    await lifetime.serve(server, settings.grpc_address)
    writer = Writer(
        identity=identity,
        access=access,
        choices=choices,
        unsubscribing=unsubscribing,
        administrator=settings.administrator_address,
        administrator_language=settings.administrator_language,
        portal_url=settings.portal_url,
    )
    sender = Sender(outbox, writer, Post(settings.smtp_address, settings.sender_address))
    lifetime.own(lead(where, "sending", sender.run), "sender")
    posting = await lifetime.closing.enter_async_context(
        Outgoing(deadline=DEADLINE, anywhere=settings.partners_anywhere)
    )
    webhook_sender = WebhookSender(webhooks, feeds, posting)
    lifetime.own(lead(where, "webhooks", webhook_sender.run), "webhooks")
    lifetime.own(WebhookRetention(webhooks, clock=time.time_ns).run(), "webhook retention")
    lifetime.own(lead(settings.tables("feeds.db"), "feeds", projector.run), "feeds")
    feed_retention = FeedRetention(feeds, days=settings.feed_days, clock=time.time_ns)
    lifetime.own(feed_retention.run(), "feed retention")
    lifetime.own(nats_door.run(), "nats door")
    lifetime.own(reactions.run(), "reactions")
    lifetime.own(http.run(), "http")
    lifetime.closing.push_async_callback(http.stop)
    lifetime.closing.callback(events.stop)
    await reactions.reacting.wait()
    await nats_door.open.wait()
    await server.ready()
