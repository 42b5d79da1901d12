"""Decision endpoints over gRPC, on both stores: set, replaced, removed, fetched; never shown."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from grpc import aio
from standardwebhooks import Webhook

from chargekey.access.v1 import decision_endpoints_pb2 as pb
from chargekey.access.v1.decision_endpoints_pb2_grpc import DecisionEndpointServiceStub
from chargekey_access.application.decision_endpoints import DecisionEndpoints
from chargekey_access.domain.errors import DecisionEndpointUnknownError
from chargekey_access.domain.events import DecisionEndpointRemoved, DecisionEndpointSet
from chargekey_access.published import publication
from chargekey_access.tables.endpoint_secrets import EndpointSecrets
from chargekey_common.accounts import Caller, service_account
from chargekey_common.eventstore.store import StoreUnavailableError
from chargekey_common.grpc.client import remote_error
from chargekey_common.postgres import Postgres
from chargekey_common.testing.grpc import stubs

from .conftest import SECRET, Access, serving
from .given import a_partner, now, opened
from .worlds import events

OCPI, WEBHOOK = pb.DECISION_ENDPOINT_KIND_OCPI, pb.DECISION_ENDPOINT_KIND_WEBHOOK
URL = "https://volt.example/ocpi/2.2.1/tokens"
TOKEN = "a-token-of-the-operators"
As = Callable[[str], Any]


@pytest.fixture
def access(place: Path | Postgres) -> Iterator[Access]:
    store = opened(place)
    yield Access(store)
    store.close()


@pytest.fixture
async def as_(access: Access, tmp_path: Path) -> AsyncIterator[As]:
    async with serving(access, tmp_path) as as_caller:

        def as_one(caller: str) -> Any:
            return stubs(as_caller(Caller(caller)), DecisionEndpointServiceStub)

        yield as_one


@pytest.fixture
def volt(access: Access) -> str:
    members = {"manager": True, "member": False}
    return a_partner(access, "PAYMENT_OPERATOR", partner_id="volt", key="VOLT", members=members)


def ocpi(partner: str, token: str = TOKEN, **more: Any) -> pb.SetDecisionEndpointRequest:
    return pb.SetDecisionEndpointRequest(
        partner_id=partner, kind=OCPI, url=URL, secret=token, **more
    )


def webhook(partner: str, **more: Any) -> pb.SetDecisionEndpointRequest:
    return pb.SetDecisionEndpointRequest(
        partner_id=partner, kind=WEBHOOK, url="https://volt.example/decide", **more
    )


async def fetched(as_: As, partner: str) -> tuple[int, str, str]:
    gateway = as_(service_account("gateway"))
    found = await gateway.GetDecisionEndpoint(pb.GetDecisionEndpointRequest(partner_id=partner))
    return found.kind, found.url, found.secret


async def refused(call: Any) -> str:
    with pytest.raises(aio.AioRpcError) as raised:
        await call
    return remote_error(raised.value).code


async def test_a_manager_sets_it_and_the_gateway_fetches_it_with_its_secret(
    as_: As, volt: str
) -> None:
    answer = await as_("user:manager").SetDecisionEndpoint(ocpi(volt))
    assert answer.secret == ""  # whoever gave it has it
    assert await fetched(as_, volt) == (OCPI, URL, TOKEN)


async def test_whom_ocpi_names_is_told_with_it_and_replaced_with_it(as_: As, volt: str) -> None:
    """P45."""
    parties = pb.OcpiParties(
        from_country_code="NO", from_party_id="CKY", to_country_code="DE", to_party_id="VLT"
    )
    gateway, get = as_(service_account("gateway")), pb.GetDecisionEndpointRequest(partner_id=volt)
    await as_("user:manager").SetDecisionEndpoint(ocpi(volt, parties=parties))
    assert (await gateway.GetDecisionEndpoint(get)).parties == parties
    await as_("user:manager").SetDecisionEndpoint(ocpi(volt))
    assert not (await gateway.GetDecisionEndpoint(get)).HasField("parties")
    hook = webhook(volt, parties=parties)
    assert await refused(as_("user:manager").SetDecisionEndpoint(hook)) == "ocpi_parties_malformed"


async def test_a_webhooks_key_is_made_and_shown_once_and_signs(as_: As, volt: str) -> None:
    answer = await as_("user:manager").SetDecisionEndpoint(webhook(volt, command_id="once"))
    assert answer.secret.startswith("whsec_")
    assert len(base64.b64decode(answer.secret.removeprefix("whsec_"))) >= 24
    assert Webhook(answer.secret)
    assert await fetched(as_, volt) == (WEBHOOK, "https://volt.example/decide", answer.secret)
    # The command sent again, as after an answer that was lost, makes no other.
    again = await as_("user:manager").SetDecisionEndpoint(webhook(volt, command_id="once"))
    assert again == answer
    other = await as_("user:manager").SetDecisionEndpoint(webhook(volt))
    assert other.secret != answer.secret
    assert (await fetched(as_, volt))[2] == other.secret


async def test_it_is_the_managers_alone_and_told_to_the_gateway_alone(as_: As, volt: str) -> None:
    get = pb.GetDecisionEndpointRequest(partner_id=volt)
    remove = pb.RemoveDecisionEndpointRequest(partner_id=volt)
    await as_("user:manager").SetDecisionEndpoint(ocpi(volt))
    for caller in ("user:member", "user:somebody", service_account("gateway")):
        assert await refused(as_(caller).SetDecisionEndpoint(ocpi(volt))) == "permission_denied"
        assert await refused(as_(caller).RemoveDecisionEndpoint(remove)) == "permission_denied"
    for caller in ("user:manager", service_account("history")):
        assert await refused(as_(caller).GetDecisionEndpoint(get)) == "permission_denied"


async def test_who_manages_the_operator_is_told_where_it_answers_without_the_secret(
    as_: As, volt: str
) -> None:
    parties = pb.OcpiParties(
        from_country_code="NO", from_party_id="CKY", to_country_code="DE", to_party_id="VLT"
    )
    describe = pb.DescribeDecisionEndpointRequest(partner_id=volt)
    manager = as_("user:manager")
    assert await refused(manager.DescribeDecisionEndpoint(describe)) == "decision_endpoint_unknown"
    await manager.SetDecisionEndpoint(ocpi(volt, parties=parties))
    told = await manager.DescribeDecisionEndpoint(describe)
    assert told == pb.DescribeDecisionEndpointResponse(kind=OCPI, url=URL, parties=parties)
    assert TOKEN not in str(told)
    await manager.SetDecisionEndpoint(ocpi(volt))
    assert not (await manager.DescribeDecisionEndpoint(describe)).HasField("parties")
    for caller in ("user:member", "user:somebody", service_account("gateway")):
        denied = as_(caller).DescribeDecisionEndpoint(describe)
        assert await refused(denied) == "permission_denied"


async def test_a_service_partner_is_never_asked(as_: As, access: Access) -> None:
    partner = a_partner(access, "SERVICE_PARTNER", members={"manager": True})
    end = access.store.position()
    assert await refused(as_("user:manager").SetDecisionEndpoint(ocpi(partner))) == (
        "partner_not_operator"
    )
    assert access.store.position() == end


async def test_set_again_it_replaces_at_once_and_what_was_replaced_is_kept_no_longer(
    as_: As, volt: str, tmp_path: Path
) -> None:
    manager = as_("user:manager")
    await manager.SetDecisionEndpoint(ocpi(volt, "first"))
    await manager.SetDecisionEndpoint(ocpi(volt, "second"))
    assert (await fetched(as_, volt))[2] == "second"
    assert _rows(tmp_path) == 1


async def test_a_command_that_comes_again_late_changes_and_keeps_nothing(
    as_: As, volt: str, tmp_path: Path
) -> None:
    """As after an answer that was lost, when it was replaced or removed meanwhile."""
    manager = as_("user:manager")
    for first in (ocpi(volt, "first", command_id="a"), webhook(volt, command_id="b")):
        answer = await manager.SetDecisionEndpoint(first)
        await manager.SetDecisionEndpoint(ocpi(volt, "second"))
        assert await manager.SetDecisionEndpoint(first) == answer
        assert (await fetched(as_, volt))[2] == "second"
        assert _rows(tmp_path) == 1
        await manager.RemoveDecisionEndpoint(pb.RemoveDecisionEndpointRequest(partner_id=volt))
        assert await manager.SetDecisionEndpoint(first) == answer
        assert _rows(tmp_path) == 0


async def test_removed_it_is_unknown_and_nothing_is_kept(
    as_: As, volt: str, tmp_path: Path
) -> None:
    manager = as_("user:manager")
    remove = pb.RemoveDecisionEndpointRequest(partner_id=volt)
    assert await refused(manager.RemoveDecisionEndpoint(remove)) == "decision_endpoint_unknown"
    await manager.SetDecisionEndpoint(ocpi(volt))
    await manager.RemoveDecisionEndpoint(remove)
    get = pb.GetDecisionEndpointRequest(partner_id=volt)
    gateway = as_(service_account("gateway"))
    assert await refused(gateway.GetDecisionEndpoint(get)) == "decision_endpoint_unknown"
    assert _rows(tmp_path) == 0
    await manager.SetDecisionEndpoint(ocpi(volt, "anew"))
    assert (await fetched(as_, volt))[2] == "anew"


async def test_the_secret_is_in_no_event_no_receipt_no_log_and_sealed_where_it_is_kept(
    as_: As, access: Access, volt: str, tmp_path: Path
) -> None:
    """R17."""
    with structlog.testing.capture_logs() as lines:
        await as_("user:manager").SetDecisionEndpoint(ocpi(volt))
        made = await as_("user:manager").SetDecisionEndpoint(webhook(volt))
        await as_("user:manager").SetDecisionEndpoint(ocpi(volt))
    told = [publication(record) for _, record, _ in access.store.read(0, 1_000)]
    shown = [repr(lines), repr(events(access)), repr(told)]
    files = _files(tmp_path)
    for secret in (TOKEN, made.secret, made.secret.removeprefix("whsec_")):
        assert not any(secret in each for each in shown)
        assert not any(secret.encode() in each for each in files)


def test_what_is_published_says_where_and_nothing_of_the_secret(
    access: Access, volt: str, tmp_path: Path
) -> None:
    secrets = EndpointSecrets(tmp_path / "secrets.db", SECRET)
    endpoints = DecisionEndpoints(access.store, access.directory, secrets)
    endpoints.set_(now(), partner_id=volt, kind="OCPI", url=URL, given=TOKEN)
    assert TOKEN not in repr(endpoints.get(volt))
    endpoints.remove(now(), partner_id=volt)
    secrets.close()
    stored = [record for _, record, _ in access.store.read(0, 1_000)][-2:]
    assert [type(record.event) for record in stored] == [
        DecisionEndpointSet,
        DecisionEndpointRemoved,
    ]
    first, last = (publication(record).event for record in stored)
    assert msgspec.to_builtins(first) == {"partner_id": volt, "kind": "OCPI", "url": URL}
    assert msgspec.to_builtins(last) == {"partner_id": volt}


def test_a_secret_that_is_lost_or_sealed_by_another_key_is_an_endpoint_to_be_set_again(
    access: Access, volt: str, tmp_path: Path
) -> None:
    """As after a backup of the events alone was restored."""

    def endpoints(file: str, key: bytes) -> tuple[DecisionEndpoints, EndpointSecrets]:
        secrets = EndpointSecrets(tmp_path / file, key)
        return DecisionEndpoints(access.store, access.directory, secrets), secrets

    first, kept = endpoints("secrets.db", SECRET)
    first.set_(now(), partner_id=volt, kind="OCPI", url=URL, given=TOKEN)
    kept.close()
    for file, key in (("other.db", SECRET), ("secrets.db", b"another secret of many bytes")):
        there, secrets = endpoints(file, key)
        with pytest.raises(DecisionEndpointUnknownError):
            there.get(volt)
        secrets.close()
        with pytest.raises(StoreUnavailableError):
            there.get(volt)


def _rows(tmp_path: Path) -> int:
    database = sqlite3.connect(tmp_path / "access-secrets.db")
    try:
        [(count,)] = database.execute("SELECT count(*) FROM endpoint_secrets")
    finally:
        database.close()
    return int(count)


def _files(tmp_path: Path) -> list[bytes]:
    return [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
