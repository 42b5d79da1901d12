"""The portal as a process: settings, wiring, run."""

from __future__ import annotations

from chargekey_common.accounts import Signer
from chargekey_common.certificates import follow
from chargekey_common.http_server import HttpServer
from chargekey_common.process import Lifetime
from chargekey_common.settings import load
from chargekey_common.telemetry import HealthServer, Readiness, observe
from chargekey_portal.app import portal
from chargekey_portal.guard import Guard
from chargekey_portal.services import Services
from chargekey_portal.settings import PortalSettings
from chargekey_portal.static_files import require_vendored


async def start(lifetime: Lifetime) -> None:
    """Serve; ready whatever the services' states are, which is what it is there to tell."""
    settings = load(PortalSettings)
    observe(lifetime, "portal", settings.log_level)
    require_vendored()
    services = Services(
        {
            "access": settings.access_address,
            "identity": settings.identity_address,
            "gateway": settings.gateway_address,
            "history": settings.history_address,
            "notifier": settings.notifier_address,
        },
        Signer.from_file(settings.account_key_file),
        certificates=follow(lifetime, settings.tls_files),
    )
    lifetime.closing.push_async_callback(services.close)
    app = portal(settings, services)
    guarded = Guard(app, settings.hosts, secure=settings.secure)
    http = HttpServer(guarded, settings.http_address, trusted_proxies=settings.trusted_proxies)
    health = HealthServer(lifetime, lambda: Readiness(ready=http.serving))
    await lifetime.serve(health, settings.health_address)
    lifetime.own(http.run(), "http")
    lifetime.closing.push_async_callback(http.stop)
    lifetime.closing.callback(app.state.ending.set)
