from __future__ import annotations

from chargekey_common.grpc.client import RemoteError, passed_on
from chargekey_notifier.ocpi.charging import GatewayRefusedError


def test_an_operator_is_told_in_the_gateways_words_why_it_refuses() -> None:
    """P4."""
    said = RemoteError("managed_externally", "You decide there yourself.")
    refused = passed_on(GatewayRefusedError, said)
    assert (refused.code, str(refused)) == ("managed_externally", "You decide there yourself.")
