"""What the gateway serves, put together."""

from __future__ import annotations

from collections.abc import Sequence

from chargekey_common.grpc.server import Service
from chargekey_gateway.api import service as gateway_service
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.gateway import Gateway


def services(gateway: Gateway, chargers: OcppServer) -> Sequence[Service]:
    """Return what is served by gRPC."""
    return (gateway_service.service(gateway, chargers),)
