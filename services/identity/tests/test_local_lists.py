"""Codes in plain for chargers' own lists: recorded, and only those that can be read (R17)."""

from __future__ import annotations

from pathlib import Path

import pytest

from chargekey.identity.v1 import codes_pb2 as pb
from chargekey.identity.v1.codes_pb2_grpc import CodeServiceStub
from chargekey_common.accounts import ADMINISTRATOR
from chargekey_common.errors import ChargekeyError
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Context, EventStore
from chargekey_common.published import identity as published
from chargekey_identity.domain.errors import ChargerUnknownError, TooManyCodesError
from chargekey_identity.domain.events import IdentificationType
from chargekey_identity.published import publication

from .conftest import Identity, serving

GATEWAY = "service:gateway"


def by(actor: str = GATEWAY) -> Context:
    return Context(actor=actor, command_id=new_id())


def held(identity: Identity, code: str, kind: IdentificationType = "PIN") -> str:
    user_id = identity.users.add_local_user(
        by(), installation_id="home", first_name="Kari", last_name="N", blocked=False
    ).result
    return identity.identifications.add_identification(
        by(),
        user_id=user_id,
        identification_type=kind,
        code=code,
        status="ACTIVE",
        valid_until="",
        time_zone="",
    ).result


def records(store: EventStore) -> list[published.LocalListCodesRevealed]:
    told = [publication(record).event for _, record, _ in store.read(0, 1000)]
    return [each for each in told if isinstance(each, published.LocalListCodesRevealed)]


def test_codes_are_told_with_one_record_that_has_their_number_alone(
    identity: Identity, store: EventStore
) -> None:
    card, pin = held(identity, "04 a1 b2 c3", "RFID"), held(identity, "#1234")
    told = identity.local_lists.reveal_codes(
        by(), charger_id="garage", identification_ids=[card, pin, card]
    )
    assert told == [(card, "04A1B2C3"), (pin, "#1234")]
    assert records(store) == [published.LocalListCodesRevealed(charger_id="garage", codes=2)]
    _, last, row = store.read(0, 1000)[-1]
    assert last.actor == GATEWAY
    assert b"04A1B2C3" not in row.state
    assert publication(last).event.subject == "identity.v1.charger.garage.LocalListCodesRevealed"


def test_what_cannot_be_read_is_left_out_and_nothing_told_is_nothing_recorded(
    identity: Identity, store: EventStore
) -> None:
    removed = held(identity, "#1234")
    identity.identifications.remove_identification(by(), identification_id=removed)
    reveal = identity.local_lists.reveal_codes
    assert not reveal(by(), charger_id="garage", identification_ids=[removed, "nobody", ""])
    assert records(store) == []
    kept = held(identity, "#5678")
    told = reveal(by(), charger_id="garage", identification_ids=[removed, kept])
    assert told == [(kept, "#5678")]
    assert [each.codes for each in records(store)] == [1]


def test_no_app_is_read_by_a_charger(identity: Identity, store: EventStore) -> None:
    user_id = identity.addresses.resolve_email(by(), "grace@example.com").result
    identity.arrivals.sign_in(by(), user_id=user_id, by="LINK")
    [(app, state)] = identity.directory.identifications(user_id)
    assert state.type == "APP"
    assert not identity.local_lists.reveal_codes(
        by(), charger_id="garage", identification_ids=[app]
    )
    assert records(store) == []


@pytest.mark.parametrize(
    ("charger_id", "count", "error"),
    [("garage", 1001, TooManyCodesError), ("a.b", 1, ChargerUnknownError)],
)
def test_what_cannot_be_asked_is_refused_by_name(
    identity: Identity, store: EventStore, charger_id: str, count: int, error: type[ChargekeyError]
) -> None:
    wanted = [held(identity, "#1234")] * count
    with pytest.raises(error):
        identity.local_lists.reveal_codes(by(), charger_id=charger_id, identification_ids=wanted)
    assert records(store) == []


async def test_the_gateway_is_told_over_grpc(identity: Identity, tmp_path: Path) -> None:
    pin = held(identity, "#1234")
    async with serving(identity, tmp_path) as (as_caller, access):
        stub = CodeServiceStub(as_caller(ADMINISTRATOR))
        answer = await stub.RevealLocalListCodes(
            pb.RevealLocalListCodesRequest(charger_id="garage", identification_ids=[pin])
        )
        assert access.asked[-1][1:] == ("identity.RevealLocalListCodes", "charger:garage")
    assert [(each.identification_id, each.code) for each in answer.codes] == [(pin, "#1234")]
