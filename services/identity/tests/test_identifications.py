"""Identifications and scans on a real server: scopes, pages, PINs that are free, who may."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from chargekey.identity.v1 import identifications_pb2 as pb
from chargekey.identity.v1 import scans_pb2
from chargekey.identity.v1.identifications_pb2_grpc import IdentificationServiceStub
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Context, Work
from chargekey_common.grpc.client import remote_error
from chargekey_common.keyed_ids import KeyedIds
from chargekey_identity.domain import identification, user
from chargekey_identity.domain.email import canonical
from chargekey_identity.domain.errors import IdentificationUnknownError
from chargekey_identity.domain.events import UserErased
from chargekey_identity.published import publication

from .conftest import SECRET, Identity, Served, serving

PIN, RFID = pb.IDENTIFICATION_TYPE_PIN, pb.IDENTIFICATION_TYPE_RFID
VEHICLE_ID, SMS = pb.IDENTIFICATION_TYPE_VEHICLE_ID, pb.IDENTIFICATION_TYPE_SMS
CREDIT_CARD, APP = pb.IDENTIFICATION_TYPE_CREDIT_CARD, pb.IDENTIFICATION_TYPE_APP
LATER = "2099-01-01"
DRIVER = "user:somebody"


def by(actor: str = "administrator:local") -> Context:
    return Context(actor, new_id())


def a_local_user(identity: Identity, site: str = "home") -> str:
    return identity.users.add_local_user(
        by(), installation_id=site, first_name="A", last_name="B", blocked=False
    ).result


def an_account(identity: Identity, zone: str = "Asia/Tokyo") -> str:
    """Return somebody who has signed in once, and lives in this zone."""
    address = canonical(f"{new_id()}@example.com")
    user_id = identity.addresses.resolve_email(by(), address).result
    identity.arrivals.sign_in(by(f"user:{user_id}"), user_id=user_id, by="LINK")
    identity.users.change_profile(by(), user_id=user_id, time_zone=zone, language=None)
    return user_id


async def refusal(call: object) -> tuple[str, str]:
    with pytest.raises(aio.AioRpcError) as refused:
        await call  # type: ignore[misc] # any call
    error = remote_error(refused.value)
    return error.code, error.message


async def add(stub: Any, user_id: str, kind: Any, code: str, **more: Any) -> str:
    request = pb.AddIdentificationRequest(user_id=user_id, type=kind, code=code, **more)
    added: pb.AddIdentificationResponse = await stub.AddIdentification(request)
    return added.identification_id


async def listed(stub: Any, user_id: str, **more: Any) -> Sequence[pb.Identification]:
    request = pb.ListIdentificationsRequest(user_id=user_id, **more)
    answer: pb.ListIdentificationsResponse = await stub.ListIdentifications(request)
    return answer.identifications


async def test_everything_that_can_be_presented_is_added_by_typing_it_in(
    running: Served, identity: Identity
) -> None:
    """S0-16, S0-17, S3-50, S3-52, S3-53."""
    stub, kari = running.administrator, an_account(identity)
    keys = [
        await add(stub, kari, RFID, "04:A2:B3:C4"),
        await add(stub, kari, VEHICLE_ID, "NL-TNM-C00122045-K"),
        await add(stub, kari, VEHICLE_ID, "VID:A0B2C3D4E5F6"),
        await add(stub, kari, SMS, "+47 912 34 567"),
        await add(stub, kari, CREDIT_CARD, "04A2B3C4D5E6F7"),
        await add(stub, kari, PIN, "#1234", installation_id="home"),
    ]
    app, *rest = await listed(stub, kari)
    assert (app.type, app.installation_id) == (APP, "")
    assert [each.id for each in rest] == keys
    kinds = [RFID, VEHICLE_ID, VEHICLE_ID, SMS, CREDIT_CARD, PIN]
    assert [each.type for each in rest] == kinds
    assert [each.installation_id for each in rest] == [""] * 5 + ["home"]
    shown = await stub.RevealCode(pb.RevealCodeRequest(identification_id=keys[1]))
    assert shown.code == "NLTNMC00122045"


@pytest.mark.parametrize(
    ("kind", "code", "refused", "advice"),
    [
        (CREDIT_CARD, "4111 1111 1111 1111", "credit_card_number_refused", "scanning"),
        (CREDIT_CARD, "08A2B3C4", "rfid_random", "at every tap"),
        (VEHICLE_ID, "NL-TNM-C00122045-X", "vehicle_id_malformed", "check digit"),
        (SMS, "91234567", "phone_malformed", "+4791234567"),
        (APP, "APP:ABCDEFGH2345672A", "app_not_by_hand", "comes with the account"),
    ],
)
async def test_what_cannot_be_added_is_refused_with_what_to_do_instead(
    running: Served, identity: Identity, kind: int, code: str, refused: str, advice: str
) -> None:
    """S3-54."""
    said, sentence = await refusal(add(running.administrator, an_account(identity), kind, code))
    assert said == refused
    assert advice in sentence


async def test_cards_vehicles_and_telephones_are_one_persons_everywhere(
    running: Served, identity: Identity
) -> None:
    """R15: in any spelling, as whatever type; and nobody is told whose."""
    stub, kari, ola = running.administrator, an_account(identity), a_local_user(identity, "away")
    for kind, code in (
        (RFID, "DE8AAC12345678"),
        (VEHICLE_ID, "NLTNMC00122045"),
        (SMS, "+4791234567"),
        (VEHICLE_ID, "A0:B2:C3:D4:E5:F6"),
    ):
        await add(stub, kari, kind, code)
    for kind, code, refused in (
        (CREDIT_CARD, "de:8a:ac:12:34:56:78", "rfid_in_use"),
        (VEHICLE_ID, "DE-8AA-C12345678", "code_in_use"),
        (VEHICLE_ID, "nl-tnm-c00122045-k", "code_in_use"),
        (SMS, "+47 91 23 45 67", "code_in_use"),
        (VEHICLE_ID, "vid:a0b2c3d4e5f6", "code_in_use"),
    ):
        said, sentence = await refusal(add(stub, ola, kind, code))
        assert said == refused
        assert kari not in sentence


async def test_a_pin_of_somebody_with_an_account_belongs_to_one_installation(
    running: Served, identity: Identity
) -> None:
    """R13: who may is asked of him as one of that site's."""
    stub, kari = running.administrator, an_account(identity)
    assert (await refusal(add(stub, kari, PIN, "#1234")))[0] == "installation_missing"
    for site in ("home", "away"):
        await add(stub, kari, PIN, "#1234", installation_id=site)
    said, _ = await refusal(add(stub, kari, PIN, "#1234", installation_id="home"))
    assert said == "code_unavailable"
    unknown = await refusal(add(stub, kari, PIN, "#5678", installation_id="nowhere"))
    assert unknown[0] == "installation_unknown"
    assert running.access.asked[-1] == (
        "administrator:local",
        "identity.AddIdentification",
        f"user:{kari}/installation:nowhere",
    )


async def test_a_local_user_has_one_installation_alone(running: Served, identity: Identity) -> None:
    stub, kari = running.administrator, a_local_user(identity)
    for kind, code in ((PIN, "#1234"), (RFID, "04A2B3C4")):
        said, _ = await refusal(add(stub, kari, kind, code, installation_id="away"))
        assert said == "installation_foreign"
    await add(stub, kari, PIN, "#1234", installation_id="home")
    await add(stub, kari, RFID, "04A2B3C4", installation_id="home")
    pin, card = await listed(stub, kari)
    assert (pin.installation_id, card.installation_id) == ("home", "")
    assert running.access.asked[-1][2] == "installation:home"


async def test_new_pins_are_as_long_as_their_installation_asks(
    running: Served, identity: Identity
) -> None:
    """R13: those there are stay as they are, and are changed to longer ones alone."""
    stub, kari = running.administrator, a_local_user(identity)
    key = await add(stub, kari, PIN, "#1234")
    running.access.installations.pin_lengths["home"] = 6
    said, sentence = await refusal(add(stub, kari, PIN, "#12345"))
    assert said == "pin_too_short"
    assert "at least 6 digits" in sentence
    await add(stub, kari, PIN, "#123456")
    change = pb.ChangeIdentificationRequest(identification_id=key, code="#56789")
    assert (await refusal(stub.ChangeIdentification(change)))[0] == "pin_too_short"
    await stub.ChangeIdentification(
        pb.ChangeIdentificationRequest(identification_id=key, code="#1234", valid_until=LATER)
    )
    await stub.ChangeIdentification(
        pb.ChangeIdentificationRequest(identification_id=key, code="#567890")
    )
    assert (await refusal(add(stub, kari, PIN, "1234567")))[0] == "pin_malformed"


async def test_identifications_are_described_by_their_ids_to_who_may_know_their_people(
    running: Served, identity: Identity
) -> None:
    """R24: what a report's rows are called; no code and no stranger's is told."""
    stub, kari = running.administrator, a_local_user(identity)
    pin = await add(stub, kari, PIN, "#1234")
    card = await add(stub, kari, RFID, "04A2B3C4")
    await stub.RemoveIdentification(pb.RemoveIdentificationRequest(identification_id=card))
    asked = pb.DescribeIdentificationsRequest(
        installation_id="home", identification_ids=[pin, card, "none"]
    )
    described = (await stub.DescribeIdentifications(asked)).identifications
    assert {each.id: each.type for each in described} == {pin: PIN, card: RFID}
    assert len({each.holder_name for each in described}) == 1
    # To who runs another site he is nobody.
    running.access.owners[DRIVER] = "away"
    asked.installation_id = "away"
    elsewhere = await running.driver.DescribeIdentifications(asked)
    assert list(elsewhere.identifications) == []
    asked.identification_ids.extend(["none"] * 1000)
    assert (await refusal(stub.DescribeIdentifications(asked)))[0] == "too_many_described"


async def test_generated_pins_are_free_and_as_long_as_the_installation_asks(
    running: Served, identity: Identity
) -> None:
    """R13."""
    stub, kari = running.administrator, a_local_user(identity)
    one = await stub.GeneratePins(pb.GeneratePinsRequest(installation_id="home"))
    assert [len(pin) for pin in one.pins] == [5]
    running.access.installations.pin_lengths["home"] = 6
    many = await stub.GeneratePins(pb.GeneratePinsRequest(installation_id="home", count=20))
    assert [len(pin) for pin in many.pins] == [7] * 20
    assert len(set(many.pins)) == 20
    for user_id, pins in ((kari, many.pins[:10]), (a_local_user(identity), many.pins[10:])):
        for pin in pins:
            await add(stub, user_id, PIN, pin)  # none of them is kept for anybody
    assert running.access.asked[0][1:] == ("identity.GeneratePins", "installation:home")


async def test_free_pins_are_told_to_who_only_charges_there_so_often(running: Served) -> None:
    """R14: those who run the site know of everybody's there anyhow."""
    request = pb.GeneratePinsRequest(installation_id="home", count=20)
    running.access.owners[DRIVER] = "home"
    for _ in range(12):
        await running.driver.GeneratePins(request)
    running.access.denied.add((DRIVER, "identity.ListUsers"))
    for _ in range(10):
        await running.driver.GeneratePins(request)
    assert (await refusal(running.driver.GeneratePins(request)))[0] == "too_many_attempts"
    running.access.owners[DRIVER] = "away"
    await running.driver.GeneratePins(pb.GeneratePinsRequest(installation_id="away"))


async def test_what_a_sites_owner_has_set_its_user_does_not_undo(
    identity: Identity, tmp_path: Path
) -> None:
    """R12, R18: he makes it stricter, and has it otherwise if he owns the site himself."""
    kari = an_account(identity)
    me = f"user:{kari}"
    async with serving(identity, tmp_path) as (as_caller, access):
        access.allowed = {(me, f"user:{kari}"), (me, f"user:{kari}/installation:home")}
        own = IdentificationServiceStub(as_caller(Caller(me)))
        owner = IdentificationServiceStub(as_caller(ADMINISTRATOR))

        async def change(stub: Any, **fields: Any) -> None:
            request = pb.ChangeIdentificationRequest(identification_id=key, **fields)
            await stub.ChangeIdentification(request)

        key = await add(owner, kari, RFID, "04A2B3C4", installation_id="home", valid_until=LATER)
        looser: tuple[dict[str, Any], ...] = (
            {"valid_until": ""},
            {"valid_until": "2099-01-02"},
            {"group_card": True},
            {"status": pb.IDENTIFICATION_STATUS_ACTIVE},
        )
        await change(own, status=pb.IDENTIFICATION_STATUS_INACTIVE, code="04A2B3C5")
        await change(own, status=pb.IDENTIFICATION_STATUS_ACTIVE)
        await change(owner, status=pb.IDENTIFICATION_STATUS_BLOCKED)
        end = identity.store.end()
        for fields in looser:
            said, sentence = await refusal(change(own, **fields))
            assert said == "stricter_only"
            assert "owner of the site" in sentence
        pin = add(own, kari, PIN, "#1234", installation_id="home", group_card=True)
        assert (await refusal(pin))[0] == "stricter_only"
        assert identity.store.end() == end
        await change(own, valid_until="2098-12-31")
        access.owners[me] = "home"
        for fields in looser:
            await change(own, **fields)
        access.owners.clear()
        await own.RemoveIdentification(pb.RemoveIdentificationRequest(identification_id=key))
        key = await add(own, kari, RFID, "04A2B3C4", valid_until=LATER)
        await change(own, valid_until="", group_card=True)


async def test_whoever_may_nothing_at_a_site_adds_himself_no_pin_there(
    running: Served, identity: Identity
) -> None:
    """R12: as one who is blocked there, though elsewhere his own is his."""
    kari = an_account(identity)
    running.access.allowed = {(DRIVER, f"user:{kari}"), (DRIVER, f"user:{kari}/installation:away")}
    pin = add(running.driver, kari, PIN, "#1234", installation_id="home")
    assert (await refusal(pin))[0] == "permission_denied"
    about = f"user:{kari}/installation:home"
    assert running.access.asked[-1] == (DRIVER, "identity.AddIdentification", about)
    await add(running.driver, kari, PIN, "#1234", installation_id="away")


async def test_a_nearly_full_installation_is_offered_longer_pins(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R13: after so many attempts, and there are always some left."""
    asked: list[str] = []

    def is_registered(pin: str, installation_id: str = "") -> bool:
        asked.append(installation_id)
        return len(pin) < 6 or pin.endswith("7")

    monkeypatch.setattr(identity.identifications, "is_registered", is_registered)
    pins = identity.identifications.free_pins("home", count=20, pin_length=4)
    assert len(pins) == 20
    assert all(len(pin) == 6 and not pin.endswith("7") for pin in pins)
    assert len(asked) < 300
    monkeypatch.setattr(identity.identifications, "is_registered", lambda *_: True)
    assert identity.identifications.free_pins("home", count=20, pin_length=4) == []


async def test_a_day_ends_where_the_card_works_or_where_its_user_lives(
    running: Served, identity: Identity
) -> None:
    """R18: midnight in Oslo, in New York and in Tokyo."""
    stub, kari, ola = running.administrator, an_account(identity), a_local_user(identity)
    scoped = await add(stub, kari, RFID, "04A2B3C4", valid_until=LATER, installation_id="away")
    own = await add(stub, kari, RFID, "04A2B3C5", valid_until=LATER)
    local = await add(stub, ola, RFID, "04A2B3C6", valid_until=LATER)
    ends = {each.id: each.valid_until for user in (kari, ola) for each in await listed(stub, user)}
    midnight = {
        scoped: dt.datetime(2099, 1, 2, 5, tzinfo=dt.UTC),
        own: dt.datetime(2099, 1, 1, 15, tzinfo=dt.UTC),
        local: dt.datetime(2099, 1, 1, 23, tzinfo=dt.UTC),
    }
    for key, end in midnight.items():
        assert ends[key] == int(end.timestamp()) * 10**9
    await stub.ChangeIdentification(
        pb.ChangeIdentificationRequest(identification_id=scoped, valid_until="2099-01-02")
    )
    _, changed, _ = await listed(stub, kari)
    assert changed.valid_until == ends[scoped] + 86400 * 10**9


async def test_a_sites_owner_sees_what_works_there_alone_and_its_user_everything(
    running: Served, identity: Identity
) -> None:
    """R17: of somebody with an account."""
    stub, kari = running.administrator, an_account(identity)
    pin = await add(stub, kari, PIN, "#1234", installation_id="home")
    card = await add(stub, kari, RFID, "04A2B3C4", installation_id="home")
    other = await add(stub, kari, PIN, "#1234", installation_id="away")
    own = await add(stub, kari, RFID, "04A2B3C5")

    owner = running.driver
    running.access.allowed.add((DRIVER, f"user:{kari}/installation:home"))
    assert [each.id for each in await listed(owner, kari, installation_id="home")] == [pin, card]
    for request in (
        pb.ListIdentificationsRequest(user_id=kari),
        pb.ListIdentificationsRequest(user_id=kari, installation_id="away"),
    ):
        assert (await refusal(owner.ListIdentifications(request)))[0] == "permission_denied"
    for key in (other, own):
        for call in (
            owner.RevealCode(pb.RevealCodeRequest(identification_id=key)),
            owner.RemoveIdentification(pb.RemoveIdentificationRequest(identification_id=key)),
            owner.ChangeIdentification(pb.ChangeIdentificationRequest(identification_id=key)),
        ):
            assert (await refusal(call))[0] == "permission_denied"
    assert (await owner.RevealCode(pb.RevealCodeRequest(identification_id=card))).code == "04A2B3C4"

    running.access.allowed = {(DRIVER, f"user:{kari}")}
    assert [each.id for each in await listed(owner, kari)][1:] == [pin, card, other, own]
    denied = await refusal(owner.RevealCode(pb.RevealCodeRequest(identification_id=pin)))
    assert denied[0] == "permission_denied"
    # Access tells its own SELF in either; this small one knows objects by their letters.
    local = a_local_user(identity)
    key = await add(stub, local, RFID, "04A2B3C6")
    assert [each.id for each in await listed(stub, local, installation_id="home")] == [key]
    assert not await listed(stub, local, installation_id="away")


async def test_a_list_comes_in_pages_whatever_is_removed_meanwhile(
    running: Served, identity: Identity
) -> None:
    stub, kari = running.administrator, a_local_user(identity)
    keys = [await add(stub, kari, RFID, f"04A2B3C{number}") for number in range(7)]

    async def page(token: str) -> pb.ListIdentificationsResponse:
        answer: pb.ListIdentificationsResponse = await stub.ListIdentifications(
            pb.ListIdentificationsRequest(user_id=kari, page_size=3, page_token=token)
        )
        return answer

    first = await page("")
    assert [each.id for each in first.identifications] == keys[:3]
    for gone in (keys[2], keys[3]):
        await stub.RemoveIdentification(pb.RemoveIdentificationRequest(identification_id=gone))
    second = await page(first.next_page_token)
    assert [each.id for each in second.identifications] == keys[4:7]
    assert not second.next_page_token


async def test_a_group_is_put_on_and_taken_off(running: Served, identity: Identity) -> None:
    """R21, R22."""
    stub, kari = running.administrator, a_local_user(identity)
    key = await add(stub, kari, RFID, "04A2B3C4", group="fleet-1", group_card=True)

    async def group() -> tuple[str, bool]:
        [found] = await listed(stub, kari)
        return found.group, found.group_card

    async def change(**fields: Any) -> None:
        request = pb.ChangeIdentificationRequest(identification_id=key, **fields)
        await stub.ChangeIdentification(request)

    assert await group() == ("fleet-1", True)
    await change(group_card=False)
    assert await group() == ("fleet-1", False)
    await change(group="")
    assert await group() == ("", False)
    await change(group="fleet-2")
    assert await group() == ("fleet-2", False)
    *_, (_, last, _) = identity.store.read(0, 100)
    told = publication(last).event
    assert told.group_id  # type: ignore[attr-defined] # IdentificationGroupChanged has one
    assert "fleet-2" not in repr(told) + repr(last.event)


async def test_the_identification_of_the_app_is_switched_off_and_never_taken_away(
    running: Served, identity: Identity
) -> None:
    """S3-12."""
    stub, kari = running.administrator, an_account(identity)
    [app] = await listed(stub, kari)
    remove = pb.RemoveIdentificationRequest(identification_id=app.id)
    assert (await refusal(stub.RemoveIdentification(remove)))[0] == "app_not_by_hand"
    change = pb.ChangeIdentificationRequest(identification_id=app.id, code="APP:" + "A" * 16)
    assert (await refusal(stub.ChangeIdentification(change)))[0] == "app_not_by_hand"
    await stub.ChangeIdentification(
        pb.ChangeIdentificationRequest(
            identification_id=app.id, status=pb.IDENTIFICATION_STATUS_BLOCKED
        )
    )
    [app] = await listed(stub, kari)
    assert app.status == pb.IDENTIFICATION_STATUS_BLOCKED


async def test_a_long_cards_alias_travels_with_its_keyed_id(
    running: Served, identity: Identity
) -> None:
    """R15, R17."""
    kari, keyed_ids = a_local_user(identity), KeyedIds(SECRET)
    key = await add(running.administrator, kari, RFID, "04A2B3C4D5E6F7")
    change = pb.ChangeIdentificationRequest(identification_id=key, code="04B2B3C4")
    *_, (_, added, _) = identity.store.read(0, 100)
    await running.administrator.ChangeIdentification(change)
    *_, (_, changed, _) = identity.store.read(0, 100)
    [long], [short] = publication(added).private, publication(changed).private
    alias = keyed_ids.alias_of_token("04A2B3C4")
    assert alias is not None
    assert (long.alias, short.alias) == (alias.hex(), "")  # type: ignore[attr-defined] # keys have one
    state = identity.store.load(identification.evolve, key).state
    assert identification.existing(state).code.alias == ""


def a_scan(user_id: str, **more: Any) -> scans_pb2.StartScanRequest:
    return scans_pb2.StartScanRequest(user_id=user_id, **({"charger_id": "garage"} | more))


def a_report(code: str, charger_id: str = "garage", site: str = "home") -> Any:
    return scans_pb2.ReportUnknownCodeRequest(
        charger_id=charger_id, installation_id=site, code=code, at=time.time_ns()
    )


async def test_a_card_is_scanned_at_a_charger(running: Served, identity: Identity) -> None:
    """S3-51, R16."""
    stub, kari = running.administrator, a_local_user(identity)
    started = await stub.StartScan(a_scan(kari))
    assert 59 < started.expires_at / 1e9 - time.time() <= 60
    get = scans_pb2.GetScanRequest(scan_id=started.scan_id)
    assert (await stub.GetScan(get)).state == scans_pb2.SCAN_STATE_WAITING
    await stub.ReportUnknownCode(a_report("04A2B3C4"))
    found = await stub.GetScan(get)
    [held] = await listed(stub, kari)
    assert found == scans_pb2.GetScanResponse(
        state=scans_pb2.SCAN_STATE_ADDED,
        identification_id=held.id,
        position=str(identity.store.position()),
        expires_at=started.expires_at,
    )


async def test_a_scan_that_failed_says_why(running: Served, identity: Identity) -> None:
    """S3-54."""
    stub = running.administrator
    started = await stub.StartScan(a_scan(a_local_user(identity), type=CREDIT_CARD))
    await stub.ReportUnknownCode(a_report("08A2B3C4"))
    found = await stub.GetScan(scans_pb2.GetScanRequest(scan_id=started.scan_id))
    assert found.state == scans_pb2.SCAN_STATE_REFUSED
    assert found.refusal_code == "rfid_random"
    assert "at every tap" in found.refusal_sentence
    again = await stub.StartScan(a_scan(a_local_user(identity)))
    cancel = scans_pb2.CancelScanRequest(scan_id=again.scan_id)
    await stub.CancelScan(cancel)
    found = await stub.GetScan(scans_pb2.GetScanRequest(scan_id=again.scan_id))
    assert found.state == scans_pb2.SCAN_STATE_CANCELLED


async def test_nobody_waits_for_cards_at_chargers_he_may_not_see(
    running: Served, identity: Identity
) -> None:
    """R16: not even for himself, and he does not learn whether there is such a charger."""
    kari = an_account(identity)
    running.access.allowed = {(DRIVER, f"user:{kari}"), (DRIVER, "charger:street")}
    for charger in ("garage", "nonsense"):
        said, _ = await refusal(running.driver.StartScan(a_scan(kari, charger_id=charger)))
        assert said == "permission_denied"
        assert running.access.asked[-1] == (DRIVER, "access.GetCharger", f"charger:{charger}")
    started = await running.driver.StartScan(a_scan(kari, charger_id="street"))

    running.access.allowed = set()
    for call in (
        running.driver.GetScan(scans_pb2.GetScanRequest(scan_id=started.scan_id)),
        running.driver.CancelScan(scans_pb2.CancelScanRequest(scan_id=started.scan_id)),
        running.driver.GetScan(scans_pb2.GetScanRequest(scan_id="nonsense")),
    ):
        assert (await refusal(call))[0] == "permission_denied"


async def test_a_card_is_scanned_where_it_is_to_work(running: Served, identity: Identity) -> None:
    stub, kari, ola = running.administrator, an_account(identity), a_local_user(identity)
    for request in (
        a_scan(kari, installation_id="home", charger_id="street"),
        a_scan(ola, charger_id="street"),
    ):
        assert (await refusal(stub.StartScan(request)))[0] == "charger_elsewhere"
    assert (await refusal(stub.StartScan(a_scan(kari, charger_id="x"))))[0] == "charger_unknown"
    await stub.StartScan(a_scan(kari, installation_id="home"))
    assert ("administrator:local", "identity.StartScan", f"user:{kari}/installation:home") in (
        running.access.asked
    )


async def test_what_was_presented_and_is_nobodys_is_listed_in_pages_and_given_to_somebody(
    running: Served, identity: Identity
) -> None:
    """R16: when and where, never what."""
    stub, kari = running.administrator, an_account(identity)
    cards = [f"04A2B3C{number}" for number in range(5)]
    for card in cards:
        await stub.ReportUnknownCode(a_report(card))
    await stub.ReportUnknownCode(a_report("#1234"))
    found: list[scans_pb2.UnknownCode] = []
    token, pages = "", 0
    while token or not pages:
        request = scans_pb2.ListUnknownCodesRequest(
            installation_id="home", page_size=2, page_token=token
        )
        answer = await stub.ListUnknownCodes(request)
        assert not any(card in str(answer) for card in cards)
        found += answer.unknown_codes
        token, pages = answer.next_page_token, pages + 1
    assert (len(found), pages) == (5, 3)
    assert {(each.charger_id, each.type, each.times) for each in found} == {("garage", RFID, 1)}

    give = scans_pb2.AddFromUnknownCodeRequest(
        command_id="give", unknown_code_id=found[0].id, user_id=kari
    )
    added = await stub.AddFromUnknownCode(give)
    assert await stub.AddFromUnknownCode(give) == added  # though nothing is kept of it
    give.command_id = "another"
    assert (await refusal(stub.AddFromUnknownCode(give)))[0] == "unknown_code_gone"
    _, held = await listed(stub, kari)
    assert (held.id, held.installation_id) == (added.identification_id, "home")
    shown = await stub.RevealCode(pb.RevealCodeRequest(identification_id=held.id))
    assert shown.code == cards[-1]
    about = f"user:{kari}/installation:home"
    asked = ("administrator:local", "identity.AddFromUnknownCode", about)
    assert running.access.asked.count(asked) == 2


async def test_what_was_presented_at_one_site_is_not_given_away_at_another(
    running: Served, identity: Identity
) -> None:
    """R16: by somebody who owns the other one."""
    stub, ola = running.administrator, a_local_user(identity, "away")
    await stub.ReportUnknownCode(a_report("04A2B3C4"))
    listing = scans_pb2.ListUnknownCodesRequest(installation_id="home")
    [found] = (await stub.ListUnknownCodes(listing)).unknown_codes
    running.access.owners[DRIVER] = "away"
    give = scans_pb2.AddFromUnknownCodeRequest(unknown_code_id=found.id, user_id=ola)
    assert (await refusal(running.driver.AddFromUnknownCode(give)))[0] == "permission_denied"
    assert (await refusal(stub.AddFromUnknownCode(give)))[0] == "unknown_code_gone"
    assert (await refusal(running.driver.ListUnknownCodes(listing)))[0] == "permission_denied"
    assert (await refusal(running.driver.ReportUnknownCode(a_report("04A2B3C4"))))[0] == (
        "permission_denied"
    )


async def test_nothing_is_done_to_the_identifications_of_somebody_erased(
    running: Served, identity: Identity
) -> None:
    """R20."""
    stub, kari = running.administrator, a_local_user(identity)
    key = await add(stub, kari, RFID, "04A2B3C4")
    started = await stub.StartScan(a_scan(kari))

    def erase(work: Work) -> None:
        work.record(work.load(user.evolve, kari), UserErased())
        held = work.load(identification.evolve, key)
        work.record(held, *identification.remove(held.state))

    identity.store.execute("erase", type(None), by(), erase)
    for call in (
        add(stub, kari, RFID, "04A2B3C5"),
        listed(stub, kari),
        stub.StartScan(a_scan(kari)),
        stub.GetScan(scans_pb2.GetScanRequest(scan_id=started.scan_id)),
        stub.RevealCode(pb.RevealCodeRequest(identification_id=key)),
        stub.RemoveIdentification(pb.RemoveIdentificationRequest(identification_id=key)),
        stub.ChangeIdentification(
            pb.ChangeIdentificationRequest(identification_id=key, code="04A2B3C5")
        ),
    ):
        assert (await refusal(call))[0] == "user_unknown"
    with pytest.raises(IdentificationUnknownError):
        identity.identifications.reveal_code(by(), identification_id=key)
