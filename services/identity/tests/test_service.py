"""The gRPC service on a real server: what people get, and what they are refused."""

from __future__ import annotations

import datetime as dt
from typing import Any

import grpc
import pytest
from grpc import aio

from chargekey.identity.v1 import identifications_pb2, users_pb2
from chargekey_common.grpc.client import remote_error

from .conftest import Served

PIN = identifications_pb2.IDENTIFICATION_TYPE_PIN
RFID = identifications_pb2.IDENTIFICATION_TYPE_RFID


async def refusal(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as refused:
        await call  # type: ignore[misc] # any call
    return refused.value.code(), remote_error(refused.value).code


async def a_user(stub: Any, site: str = "home") -> str:
    added = await stub.AddLocalUser(
        users_pb2.AddLocalUserRequest(installation_id=site, first_name="Kari", last_name="Nordmann")
    )
    return added.user_id


async def a_pin(stub: Any, user_id: str, code: str = "#1234") -> str:
    added = await stub.AddIdentification(
        identifications_pb2.AddIdentificationRequest(user_id=user_id, type=PIN, code=code)
    )
    return added.identification_id


async def only(stub: Any, user_id: str) -> identifications_pb2.Identification:
    listed = await stub.ListIdentifications(
        identifications_pb2.ListIdentificationsRequest(user_id=user_id)
    )
    [found] = listed.identifications
    return found


async def test_a_local_user_needs_a_first_and_a_last_name_and_nothing_more(
    running: Served,
) -> None:
    """S0-10, S0-11, S0-12, S0-13, S0-14, S0-15."""
    stub = running.administrator
    user_id = await a_user(stub)
    expected = users_pb2.User(
        id=user_id,
        installation_id="home",
        first_name="Kari",
        last_name="Nordmann",
        kind=users_pb2.USER_KIND_LOCAL,
    )
    assert (await stub.GetUser(users_pb2.GetUserRequest(user_id=user_id))).user == expected
    listed = await stub.ListUsers(users_pb2.ListUsersRequest(installation_id="home"))
    assert list(listed.users) == [expected]
    assert not (await stub.ListUsers(users_pb2.ListUsersRequest(installation_id="away"))).users
    for first, last in (("", "Nordmann"), ("Kari", " ")):
        request = users_pb2.AddLocalUserRequest(
            installation_id="home", first_name=first, last_name=last
        )
        assert await refusal(stub.AddLocalUser(request)) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "name_malformed",
        )


async def test_adding_a_user_answers_from_where_on_his_permission_counts(running: Served) -> None:
    added = await running.administrator.AddLocalUser(
        users_pb2.AddLocalUserRequest(
            installation_id="home", first_name="Kari", last_name="Nordmann"
        )
    )
    assert (added.access_position, added.pending) == (f"access:{'0' * 16}:7", False)
    assert running.access.awaited == [("access-on-local-user-added", added.position)]


async def test_adding_a_user_says_pending_within_the_callers_deadline(
    running: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing but the deadline ends the waiting, and what it leaves is for a busy machine.
    monkeypatch.setattr("chargekey_identity.api.users.LONGEST_WAIT", 60.0)
    monkeypatch.setattr("chargekey_identity.api.users.MARGIN", 29.5)
    running.access.reacting.clear()
    request = users_pb2.AddLocalUserRequest(
        command_id="c1", installation_id="home", first_name="Kari", last_name="Nordmann"
    )
    added = await running.administrator.AddLocalUser(request, timeout=30)
    assert (added.access_position, added.pending) == ("", True)
    running.access.reacting.set()
    again = await running.administrator.AddLocalUser(request, timeout=60)
    assert (again.user_id, again.position, again.pending) == (added.user_id, added.position, False)


async def test_a_user_of_an_installation_that_does_not_exist_is_refused(running: Served) -> None:
    request = users_pb2.AddLocalUserRequest(
        installation_id="nowhere", first_name="Kari", last_name="Nordmann"
    )
    assert await refusal(running.administrator.AddLocalUser(request)) == (
        grpc.StatusCode.NOT_FOUND,
        "installation_unknown",
    )


async def test_a_user_can_be_added_blocked_renamed_unblocked_and_blocked(running: Served) -> None:
    """R12, S0-15, S0-25."""
    stub = running.administrator
    added = await stub.AddLocalUser(
        users_pb2.AddLocalUserRequest(
            installation_id="home", first_name="Kari", last_name="Nordmann", blocked=True
        )
    )

    async def user() -> users_pb2.User:
        return (await stub.GetUser(users_pb2.GetUserRequest(user_id=added.user_id))).user

    assert (await user()).blocked
    await stub.UnblockUser(users_pb2.UnblockUserRequest(user_id=added.user_id))
    assert not (await user()).blocked
    await stub.RenameUser(
        users_pb2.RenameUserRequest(user_id=added.user_id, first_name="Ola", last_name="Hansen")
    )
    first = await stub.BlockUser(users_pb2.BlockUserRequest(user_id=added.user_id))
    again = await stub.BlockUser(users_pb2.BlockUserRequest(user_id=added.user_id))
    assert first.position == again.position
    found = await user()
    assert (found.first_name, found.last_name, found.blocked) == ("Ola", "Hansen", True)


async def test_a_pin_is_added_changed_revealed_and_removed(running: Served) -> None:
    """S0-16, S0-17, S0-18, S0-19, S0-20, S0-23, S0-26, R17."""
    stub = running.administrator
    user_id = await a_user(stub)
    key = await a_pin(stub, user_id)
    active = identifications_pb2.IDENTIFICATION_STATUS_ACTIVE
    assert await only(stub, user_id) == identifications_pb2.Identification(
        id=key, user_id=user_id, installation_id="home", type=PIN, status=active
    )

    await stub.ChangeIdentification(
        identifications_pb2.ChangeIdentificationRequest(
            identification_id=key,
            code="#5678",
            status=identifications_pb2.IDENTIFICATION_STATUS_INACTIVE,
        )
    )
    assert (await only(stub, user_id)).status == identifications_pb2.IDENTIFICATION_STATUS_INACTIVE
    shown = await stub.RevealCode(identifications_pb2.RevealCodeRequest(identification_id=key))
    assert shown.code == "#5678"

    remove = identifications_pb2.RemoveIdentificationRequest(command_id="c1", identification_id=key)
    removed = await stub.RemoveIdentification(remove)
    assert await stub.RemoveIdentification(remove) == removed
    listed = await stub.ListIdentifications(
        identifications_pb2.ListIdentificationsRequest(user_id=user_id)
    )
    assert not listed.identifications
    assert await refusal(
        stub.RevealCode(identifications_pb2.RevealCodeRequest(identification_id=key))
    ) == (
        grpc.StatusCode.NOT_FOUND,
        "identification_unknown",
    )


async def test_an_end_holds_through_that_day_in_the_installations_zone(running: Served) -> None:
    """R18, S0-22."""
    stub = running.administrator
    for site, end in (
        ("home", dt.datetime(2099, 1, 1, 23, tzinfo=dt.UTC)),
        ("away", dt.datetime(2099, 1, 2, 5, tzinfo=dt.UTC)),
    ):
        user_id = await a_user(stub, site)
        added = await stub.AddIdentification(
            identifications_pb2.AddIdentificationRequest(
                user_id=user_id, type=PIN, code="#1234", valid_until="2099-01-01"
            )
        )
        assert (await only(stub, user_id)).valid_until == int(end.timestamp()) * 10**9

        status = identifications_pb2.IDENTIFICATION_STATUS_BLOCKED
        change = identifications_pb2.ChangeIdentificationRequest(
            identification_id=added.identification_id, status=status
        )
        await stub.ChangeIdentification(change)
        assert (await only(stub, user_id)).HasField("valid_until")
        change = identifications_pb2.ChangeIdentificationRequest(
            identification_id=added.identification_id, valid_until=""
        )
        await stub.ChangeIdentification(change)
        assert not (await only(stub, user_id)).HasField("valid_until")


@pytest.mark.parametrize(
    ("kind", "code", "valid_until", "status", "refused"),
    [
        (PIN, "1234", "", 0, "pin_malformed"),
        (RFID, "1234", "", 0, "rfid_malformed"),
        (RFID, "08A2B3C4", "", 0, "rfid_random"),
        (PIN, "#1234", "tomorrow", 0, "date_malformed"),
        (PIN, "#1234", "2001-01-01", 0, "date_in_past"),
        (0, "#1234", "", 0, "identification_type_unknown"),
        (99, "#1234", "", 0, "identification_type_unknown"),
        (PIN, "#1234", "", 99, "status_unknown"),
    ],
)
async def test_an_impossible_identification_is_refused_by_name_without_an_echo(
    running: Served, kind: int, code: str, valid_until: str, status: int, refused: str
) -> None:
    """R13, R15, R17, R18, S0-21."""
    stub = running.administrator
    user_id = await a_user(stub)
    request = identifications_pb2.AddIdentificationRequest(
        user_id=user_id,
        type=kind,  # type: ignore[arg-type] # any number can be sent
        code=code,
        valid_until=valid_until,
        status=status,  # type: ignore[arg-type] # any number can be sent
    )
    with pytest.raises(aio.AioRpcError) as refusal_:
        await stub.AddIdentification(request)
    assert refusal_.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert remote_error(refusal_.value).code == refused
    assert code not in repr(refusal_.value)
    listed = await stub.ListIdentifications(
        identifications_pb2.ListIdentificationsRequest(user_id=user_id)
    )
    assert not listed.identifications


async def test_a_taken_code_is_refused_and_never_whose_it_is(running: Served) -> None:
    """R13, R15."""
    stub = running.administrator
    holder = await a_user(stub)
    held = await a_pin(stub, holder)
    other = await a_user(stub)
    with pytest.raises(aio.AioRpcError) as refused:
        await a_pin(stub, other)
    assert refused.value.code() == grpc.StatusCode.ALREADY_EXISTS
    assert remote_error(refused.value).code == "code_unavailable"
    for secret in (holder, held, "Kari", "Nordmann", "1234"):
        assert secret not in repr(refused.value)
    card = identifications_pb2.AddIdentificationRequest(
        user_id=holder, type=RFID, code="04 A2 B3 C4"
    )
    await stub.AddIdentification(card)
    assert await refusal(stub.AddIdentification(card)) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "rfid_in_use",
    )


async def test_unknown_things_are_not_found(running: Served) -> None:
    stub = running.administrator
    for call, code in (
        (stub.GetUser(users_pb2.GetUserRequest(user_id="x")), "user_unknown"),
        (stub.BlockUser(users_pb2.BlockUserRequest(user_id="x")), "user_unknown"),
        (stub.ListUsers(users_pb2.ListUsersRequest(installation_id="x")), "installation_unknown"),
        (
            stub.AddIdentification(
                identifications_pb2.AddIdentificationRequest(user_id="x", type=PIN)
            ),
            "user_unknown",
        ),
        (
            stub.ChangeIdentification(
                identifications_pb2.ChangeIdentificationRequest(identification_id="x")
            ),
            "identification_unknown",
        ),
        (
            stub.RevealCode(identifications_pb2.RevealCodeRequest(identification_id="x")),
            "identification_unknown",
        ),
    ):
        assert await refusal(call) == (grpc.StatusCode.NOT_FOUND, code)


async def test_every_call_is_checked_against_the_users_installation(running: Served) -> None:
    """The default answer is no, and a role at one installation opens no other."""
    user_id = await a_user(running.administrator)
    key = await a_pin(running.administrator, user_id)
    running.access.owners["user:somebody"] = "away"
    running.access.asked.clear()
    stub = running.driver
    calls = {
        "AddLocalUser": stub.AddLocalUser(users_pb2.AddLocalUserRequest(installation_id="home")),
        "RenameUser": stub.RenameUser(users_pb2.RenameUserRequest(user_id=user_id)),
        "BlockUser": stub.BlockUser(users_pb2.BlockUserRequest(user_id=user_id)),
        "UnblockUser": stub.UnblockUser(users_pb2.UnblockUserRequest(user_id=user_id)),
        "GetUser": stub.GetUser(users_pb2.GetUserRequest(user_id=user_id)),
        "ListUsers": stub.ListUsers(users_pb2.ListUsersRequest(installation_id="home")),
        "AddIdentification": stub.AddIdentification(
            identifications_pb2.AddIdentificationRequest(user_id=user_id)
        ),
        "ChangeIdentification": stub.ChangeIdentification(
            identifications_pb2.ChangeIdentificationRequest(identification_id=key)
        ),
        "RemoveIdentification": stub.RemoveIdentification(
            identifications_pb2.RemoveIdentificationRequest(identification_id=key)
        ),
        "RevealCode": stub.RevealCode(identifications_pb2.RevealCodeRequest(identification_id=key)),
        "ListIdentifications": stub.ListIdentifications(
            identifications_pb2.ListIdentificationsRequest(user_id=user_id)
        ),
    }
    for call in calls.values():
        assert await refusal(call) == (grpc.StatusCode.PERMISSION_DENIED, "permission_denied")
    assert sorted(running.access.asked) == sorted(
        ("user:somebody", f"identity.{method}", "installation:home") for method in calls
    )
    running.access.owners["user:somebody"] = "home"
    assert (
        await stub.RevealCode(identifications_pb2.RevealCodeRequest(identification_id=key))
    ).code == "#1234"
