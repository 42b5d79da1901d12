"""A table of people goes in, and they charge; it comes out again as it was (S3-20)."""

from __future__ import annotations

import csv
import io
import uuid

from chargekey.access.v1 import permissions_pb2
from chargekey.identity.v1 import invitations_pb2, people_pb2
from chargekey_stack.client import Client
from chargekey_stack.data_directory import DataDirectory

from .garage import authorize, create_garage, eventually
from .post import mailed

CHARGER = "CP-TABLE"
TABLE = """\
first_name,last_name,email,roles,valid_until,pin,rfid,blocked
Grace,Hopper,,,2199-01-01,#8352,,
Mary,Jackson,,,,#6197,,yes
,,katherine@nasa.example,user; service,,,04A1B2C3,
"""


async def test_whoever_is_in_the_table_charges_and_whoever_is_blocked_does_not(
    data: DataDirectory, client: Client
) -> None:
    """All of them in one save; permissions follow before the answer; invitations go out (R7)."""
    garage = await create_garage(client, "#1234", CHARGER)
    home = garage.installation_id
    # The same command asked again waits again for the permissions that follow.
    request = people_pb2.ImportPeopleRequest(
        command_id=str(uuid.uuid4()), installation_id=home, csv=TABLE.encode()
    )
    done = await eventually(
        lambda: client.people.ImportPeople(request), lambda answer: not answer.pending
    )
    assert (done.imported, done.pending) == (True, False)
    assert not any(line.refusal_code for line in done.lines)
    at = (*garage.positions, done.position, done.access_position)
    assert (
        await authorize(client, "#8352", *at, identity=CHARGER)
    ).reason == "installation_permission"
    assert (await authorize(client, "#6197", identity=CHARGER)).reason == "user_blocked"
    # Until she has verified her address.
    assert (await authorize(client, "04A1B2C3", identity=CHARGER)).reason == "no_permission"
    arrived = await client.invitations.AcceptInvitation(
        invitations_pb2.AcceptInvitationRequest(
            token=await mailed(data, "katherine@nasa.example"),
            first_name="Katherine",
            last_name="Johnson",
        )
    )
    card = await authorize(client, "04A1B2C3", arrived.position, identity=CHARGER)
    assert card.reason == "installation_permission"
    held = {
        each.user_id: set(each.roles)
        for each in (
            await client.permissions.ListPermissions(
                permissions_pb2.ListPermissionsRequest(installation_id=home)
            )
        ).permissions
    }
    assert held[arrived.user_id] == {permissions_pb2.ROLE_USER, permissions_pb2.ROLE_SERVICE}
    exported = await client.people.ExportPeople(
        people_pb2.ExportPeopleRequest(installation_id=home, with_codes=True)
    )
    people = {
        each["first_name"]: [each[name] for name in ("roles", "valid_until", "pin", "rfid")]
        for each in csv.DictReader(io.StringIO(exported.csv.decode(), newline=""))
    }
    assert people == {
        "Ada": ["user", "", "#1234", ""],
        "Grace": ["user", "2199-01-01", "#8352", ""],
        "Mary": ["user", "", "#6197", ""],
        "Katherine": ["user; service", "", "", "04A1B2C3"],
    }
