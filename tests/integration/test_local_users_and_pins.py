"""What a site's owner changes on people and PINs, and what chargers answer from then on."""

from __future__ import annotations

from collections.abc import Sequence

from chargekey.access.v1 import chargers_pb2
from chargekey.gateway.v1 import gateway_pb2
from chargekey.identity.v1 import identifications_pb2, users_pb2
from chargekey_stack.client import Client
from chargekey_stack.simulator import simulated_charger
from chargekey_stack.system import System
from chargekey_stack.words import VERDICTS

from .garage import Garage, authorize, create_garage

PIN, NEW_PIN, HER_PIN = "#2468", "#8642", "#1357"
CARD, OTHER_CARD = "04 A1 B2 C3 D4 E5 F6", "04 A1 B2 C3 D4 E5 F7"
RFID_ONLY = [identifications_pb2.IDENTIFICATION_TYPE_RFID]
RFID_AND_PIN = [
    identifications_pb2.IDENTIFICATION_TYPE_PIN,
    identifications_pb2.IDENTIFICATION_TYPE_RFID,
]


def verdict(decision: gateway_pb2.AuthorizeResponse) -> tuple[str, str]:
    return VERDICTS.word(decision.status), decision.reason


async def add(
    client: Client, user_id: str, code: str
) -> identifications_pb2.AddIdentificationResponse:
    kind = (
        identifications_pb2.IDENTIFICATION_TYPE_PIN
        if code.startswith("#")
        else identifications_pb2.IDENTIFICATION_TYPE_RFID
    )
    return await client.identifications.AddIdentification(
        identifications_pb2.AddIdentificationRequest(user_id=user_id, type=kind, code=code)
    )


async def identifications(
    client: Client, user_id: str
) -> Sequence[identifications_pb2.Identification]:
    request = identifications_pb2.ListIdentificationsRequest(user_id=user_id)
    return (await client.identifications.ListIdentifications(request)).identifications


async def change(
    client: Client,
    garage: Garage,
    *,
    code: str | None = None,
    status: identifications_pb2.IdentificationStatus.ValueType | None = None,
) -> str:
    """Change Ada's PIN; return the position."""
    request = identifications_pb2.ChangeIdentificationRequest(
        identification_id=garage.identification_id, code=code, status=status
    )
    return (await client.identifications.ChangeIdentification(request)).position


async def reveal(client: Client, garage: Garage) -> str:
    request = identifications_pb2.RevealCodeRequest(identification_id=garage.identification_id)
    return (await client.identifications.RevealCode(request)).code


async def accept(
    client: Client,
    garage: Garage,
    types: Sequence[identifications_pb2.IdentificationType.ValueType],
) -> str:
    """Let the charger accept these types; return the position."""
    request = chargers_pb2.SetIdentificationTypesRequest(
        charger_id=garage.charger_id, identification_types=types
    )
    return (await client.chargers.SetIdentificationTypes(request)).position


async def test_a_user_added_blocked_is_refused_until_allowed_and_can_be_renamed(
    system: System, client: Client
) -> None:
    """S0-10, S0-11, S0-12, S0-13, S0-14, S0-15, S0-25, R12."""
    garage = await create_garage(client, PIN, "CP-ADDED")
    grace = await client.add_local_user(
        users_pb2.AddLocalUserRequest(
            installation_id=garage.installation_id,
            first_name="Grace",
            last_name="Hopper",
            blocked=True,
        )
    )
    assert not (await identifications(client, grace.user_id))
    pin = await add(client, grace.user_id, HER_PIN)
    card = await add(client, grace.user_id, CARD)
    since = (*garage.positions, grace.access_position, card.position)
    for code in (HER_PIN, CARD):
        assert verdict(await authorize(client, code, *since, identity="CP-ADDED")) == (
            "Blocked",
            "user_blocked",
        )

    await client.users.RenameUser(
        users_pb2.RenameUserRequest(user_id=grace.user_id, first_name="Grace", last_name="Murray")
    )
    request = users_pb2.ListUsersRequest(installation_id=garage.installation_id)
    users = (await client.users.ListUsers(request)).users
    assert [(each.first_name, each.last_name, each.blocked) for each in users] == [
        ("Ada", "Lovelace", False),
        ("Grace", "Murray", True),
    ]

    allowed = await client.users.UnblockUser(users_pb2.UnblockUserRequest(user_id=grace.user_id))
    for code in (HER_PIN, CARD):
        accepted = await authorize(client, code, allowed.position, identity="CP-ADDED")
        assert verdict(accepted) == ("Accepted", "installation_permission")
    assert (
        await authorize(client, HER_PIN, identity="CP-ADDED")
    ).identification_id == pin.identification_id
    async with simulated_charger(system.ocpp, "CP-ADDED", garage.password) as charger:
        await charger.boot()
        assert (await charger.start(HER_PIN)).status == "Accepted"
        assert await charger.stop() == "Local"


async def test_a_pin_is_seen_changed_and_switched_off_while_the_charger_stays_connected(
    system: System, client: Client
) -> None:
    """S0-19, S0-20, S0-26: the old PIN stops working, and only an active one authorises."""
    garage = await create_garage(client, PIN, "CP-CHANGED")
    await authorize(client, PIN, *garage.positions, identity="CP-CHANGED")
    async with simulated_charger(system.ocpp, "CP-CHANGED", garage.password) as charger:
        await charger.boot()
        assert await charger.authorize(PIN) == "Accepted"
        assert await reveal(client, garage) == PIN

        changed = await change(client, garage, code=NEW_PIN)
        old = await authorize(client, PIN, changed, identity="CP-CHANGED")
        assert verdict(old) == ("Invalid", "identification_unknown")
        assert await charger.authorize(PIN) == "Invalid"
        assert await charger.authorize(NEW_PIN) == "Accepted"
        assert await reveal(client, garage) == NEW_PIN

        for status, answer in (
            (
                identifications_pb2.IDENTIFICATION_STATUS_INACTIVE,
                ("Invalid", "identification_invalid"),
            ),
            (
                identifications_pb2.IDENTIFICATION_STATUS_BLOCKED,
                ("Blocked", "identification_blocked"),
            ),
            (
                identifications_pb2.IDENTIFICATION_STATUS_ACTIVE,
                ("Accepted", "installation_permission"),
            ),
        ):
            changed = await change(client, garage, status=status)
            [shown] = await identifications(client, garage.user_id)
            assert shown.status == status
            assert (
                verdict(await authorize(client, NEW_PIN, changed, identity="CP-CHANGED")) == answer
            )
            assert await charger.authorize(NEW_PIN) == answer[0]


async def test_a_type_switched_off_is_denied_and_its_identifications_stay(
    system: System, client: Client
) -> None:
    """R19, S0-7, S0-8."""
    garage = await create_garage(client, PIN, "CP-SWITCHED")
    card = await add(client, garage.user_id, OTHER_CARD)
    before = await identifications(client, garage.user_id)
    await authorize(client, PIN, *garage.positions, card.position, identity="CP-SWITCHED")
    async with simulated_charger(system.ocpp, "CP-SWITCHED", garage.password) as charger:
        await charger.boot()
        off = await accept(client, garage, RFID_ONLY)
        assert verdict(await authorize(client, PIN, off, identity="CP-SWITCHED")) == (
            "Invalid",
            "type_disabled",
        )
        assert await charger.authorize(PIN) == "Invalid"
        assert await charger.authorize(OTHER_CARD.replace(" ", "")) == "Accepted"
        assert await identifications(client, garage.user_id) == before

        on = await accept(client, garage, RFID_AND_PIN)
        accepted = await authorize(client, PIN, on, identity="CP-SWITCHED")
        assert verdict(accepted) == ("Accepted", "installation_permission")
        assert accepted.identification_id == garage.identification_id
        assert await charger.authorize(PIN) == "Accepted"
