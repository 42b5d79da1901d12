"""How the notifier is put together: what is kept, who reacts, who sends, what is answered."""

from __future__ import annotations

from chargekey_common.accounts import Signer, Verifier
from chargekey_common.grpc.client import RemoteCheck, channel, issued_keys
from chargekey_common.grpc.server import Server
from chargekey_common.http_server import HttpServer
from chargekey_common.leadership import lead
from chargekey_common.process import Lifetime
from chargekey_common.reactions import Reactions
from chargekey_common.settings import load
from chargekey_common.telemetry import HealthServer, Readiness, configure_logging
from chargekey_notifier.api import feeds as feed_service
from chargekey_notifier.feeds.store import Feeds
from chargekey_notifier.http.app import app
from chargekey_notifier.mails.outbox import Outbox
from chargekey_notifier.mails.post import Post
from chargekey_notifier.mails.sending import Sender
from chargekey_notifier.mails.writing import Writer
from chargekey_notifier.reactions.on_invitation_created import on_invitation_created
from chargekey_notifier.reactions.on_invitation_renewed import on_invitation_renewed
from chargekey_notifier.reactions.on_sign_in_link_requested import on_sign_in_link_requested
from chargekey_notifier.reactions.on_user_blocked import on_user_blocked
from chargekey_notifier.settings import NotifierSettings


async def start(lifetime: Lifetime) -> None:
    """Send what waits and react to what comes; ready while events reach the reactions."""
    settings = load(NotifierSettings)
    configure_logging("notifier", settings.log_level)
    where = settings.tables("notifier.db")
    outbox = Outbox(where)
    lifetime.closing.callback(outbox.close)
    feeds = Feeds(settings.tables("feeds.db"))
    lifetime.closing.callback(feeds.close)
    signer = Signer.from_file(settings.account_key_file)
    identity = channel(settings.identity_address, signer)
    lifetime.closing.push_async_callback(identity.close)
    access = channel(settings.access_address, signer)
    lifetime.closing.push_async_callback(access.close)
    reactions = Reactions(
        "notifier",
        settings.nats_url,
        settings.nats_token,
        outbox,
        on_user_blocked(outbox),
        on_invitation_created(outbox),
        on_invitation_renewed(outbox),
        on_sign_in_link_requested(outbox),
    )
    server = Server(
        feed_service.service(
            feeds, public_url=settings.public_url, nats_url=settings.partners_nats_url
        ),
        Verifier(settings.accounts, issued_keys(identity)),
        RemoteCheck(access),
    )
    http = HttpServer(app(), settings.http_address)
    health = HealthServer(
        lambda: Readiness(ready=reactions.reacting.is_set() and server.serving and http.serving)
    )
    await lifetime.serve(health, settings.health_address)
    await lifetime.serve(server, settings.grpc_address)
    writer = Writer(
        identity=identity,
        access=access,
        administrator=settings.administrator_address,
        portal_url=settings.portal_url,
    )
    sender = Sender(outbox, writer, Post(settings.smtp_address, settings.sender_address))
    lifetime.own(lead(where, "sending", sender.run), "sender")
    lifetime.own(reactions.run(), "reactions")
    lifetime.own(http.run(), "http")
    lifetime.closing.push_async_callback(http.stop)
    await reactions.reacting.wait()
    await server.ready()
