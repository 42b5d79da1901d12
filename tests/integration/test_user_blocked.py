"""The main story, whole: a PIN given in the system opens a session, a block stops it.

Every process runs as `chargekey up` runs it, and the charger is an OCPP 1.6 peer
that knows nothing of the system.
"""

from __future__ import annotations

import asyncio
from email import message_from_bytes
from email.message import Message

from chargekey.gateway.v1 import gateway_pb2
from chargekey.identity.v1 import users_pb2 as pb
from chargekey_stack.client import Client
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.programs import ADMINISTRATOR_ADDRESS
from chargekey_stack.simulator import simulated_charger
from chargekey_stack.system import System

from .garage import authorize, create_garage, eventually, refusals, sessions
from .outages import PATIENCE

CHARGER = "CP-BLOCKED"
PIN = "#2468"


def mails(data: DataDirectory, user_id: str) -> list[Message]:
    """Return what was sent about somebody."""
    sent = [message_from_bytes(mail.read_bytes()) for mail in sorted(data.mail.glob("*.eml"))]
    return [mail for mail in sent if mail["Chargekey-About"] == user_id]


async def test_a_blocked_user_is_stopped_and_refused_with_the_reason(
    system: System, data: DataDirectory, client: Client
) -> None:
    """S0-10, S0-13, S0-15, S0-16, S0-20, S0-23, S0-24, R12."""
    garage = await create_garage(client, PIN, CHARGER)
    home = garage.installation_id
    accepted = await authorize(client, PIN, *garage.positions, identity=CHARGER)
    assert (accepted.status, accepted.reason) == (
        gateway_pb2.AUTHORIZATION_STATUS_ACCEPTED,
        "installation_permission",
    )
    assert accepted.identification_id == garage.identification_id

    async with simulated_charger(
        system.ocpp, CHARGER, garage.password, meter_interval=0.5
    ) as charger:
        await charger.boot()
        assert await charger.authorize(PIN) == "Accepted"
        started = await charger.start(PIN)
        assert started.status == "Accepted"
        [session] = await eventually(lambda: sessions(client, home), bool)
        assert session.transaction_id == started.transaction_id
        assert session.installation_id == garage.installation_id
        assert session.charger_id == garage.charger_id
        assert session.user_id == garage.user_id
        assert session.identification_id == garage.identification_id
        assert not session.HasField("ended_at")
        assert not await refusals(client, home)
        assert not mails(data, garage.user_id)

        blocked = await client.users.BlockUser(pb.BlockUserRequest(user_id=garage.user_id))
        async with asyncio.timeout(PATIENCE):
            assert await charger.stopped() == "Remote"
        [session] = await eventually(
            lambda: sessions(client, home), lambda found: found[0].HasField("ended_at")
        )
        assert session.end_reason == "Remote"
        assert session.energy_wh == charger.meter
        assert session.started_at < session.ended_at

        assert await charger.authorize(PIN) == "Blocked"
        refused_start = await charger.start(PIN)
        assert refused_start.status == "Blocked"
        assert refused_start.transaction_id > started.transaction_id
        assert await charger.stopped() == "DeAuthorized"
        refused = await authorize(client, PIN, blocked.position, identity=CHARGER)
        assert (refused.status, refused.reason) == (
            gateway_pb2.AUTHORIZATION_STATUS_BLOCKED,
            "user_blocked",
        )
        assert refused.explanation[-1].endswith("user_blocked")
        # Asking why leaves no trace; a tap and a start do.
        on_record = await eventually(lambda: refusals(client, home), lambda found: len(found) > 1)
        assert [each.stage for each in on_record] == ["start", "authorize"]
        assert {(each.status, each.reason) for each in on_record} == {("Blocked", "user_blocked")}
        assert {each.user_id for each in on_record} == {garage.user_id}
        [mail] = await eventually(lambda: asyncio.to_thread(mails, data, garage.user_id), bool)
        assert mail["To"] == ADMINISTRATOR_ADDRESS

        unblocked = await client.users.UnblockUser(pb.UnblockUserRequest(user_id=garage.user_id))
        again = await authorize(client, PIN, unblocked.position, identity=CHARGER)
        assert again.status == gateway_pb2.AUTHORIZATION_STATUS_ACCEPTED
        assert (await charger.start(PIN)).status == "Accepted"
        assert await charger.stop() == "Local"
