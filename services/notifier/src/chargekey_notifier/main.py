"""The notifier as a process: settings, wiring, run."""

from __future__ import annotations

from chargekey_common import process
from chargekey_common.accounts import Signer
from chargekey_common.grpc.client import channel
from chargekey_common.leadership import lead
from chargekey_common.process import Lifetime
from chargekey_common.reactions import Reactions
from chargekey_common.settings import load, migration
from chargekey_common.telemetry import HealthServer, Readiness, configure_logging
from chargekey_notifier.outbox import Outbox
from chargekey_notifier.post import Post
from chargekey_notifier.reactions.on_invitation_created import on_invitation_created
from chargekey_notifier.reactions.on_invitation_renewed import on_invitation_renewed
from chargekey_notifier.reactions.on_sign_in_link_requested import on_sign_in_link_requested
from chargekey_notifier.reactions.on_user_blocked import on_user_blocked
from chargekey_notifier.sending import Sender
from chargekey_notifier.settings import NotifierSettings
from chargekey_notifier.writing import Writer


async def start(lifetime: Lifetime) -> None:
    """Send what waits and react to what comes; ready while events reach the reactions."""
    settings = load(NotifierSettings)
    configure_logging("notifier", settings.log_level)
    where = settings.tables("notifier.db")
    outbox = Outbox(where)
    lifetime.closing.callback(outbox.close)
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
    health = HealthServer(lambda: Readiness(ready=reactions.reacting.is_set()))
    await lifetime.serve(health, settings.health_address)
    signer = Signer.from_file(settings.account_key_file)
    identity = channel(settings.identity_address, signer)
    lifetime.closing.push_async_callback(identity.close)
    access = channel(settings.access_address, signer)
    lifetime.closing.push_async_callback(access.close)
    writer = Writer(
        identity=identity,
        access=access,
        administrator=settings.administrator_address,
        portal_url=settings.portal_url,
    )
    sender = Sender(outbox, writer, Post(settings.smtp_address, settings.sender_address))
    lifetime.own(lead(where, "sending", sender.run), "sender")
    lifetime.own(reactions.run(), "reactions")
    await reactions.reacting.wait()


def main() -> None:
    """Run until told to stop, or make the tables."""
    process.main(start, migrate=migration(NotifierSettings, Outbox.migrate))
