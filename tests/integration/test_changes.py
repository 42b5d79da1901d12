"""Who gave, changed and took what, as its owner is told, and what somebody may know of himself."""

from __future__ import annotations

import grpc
import pytest
from grpc import aio

from chargekey.access.v1 import permissions_pb2
from chargekey.audit.v1 import audit_pb2
from chargekey.history.v1 import history_pb2
from chargekey.identity.v1 import identifications_pb2, invitations_pb2, users_pb2
from chargekey_stack.client import Client, connected
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.simulator import simulated_charger
from chargekey_stack.system import System

from .garage import authorize, create_garage, eventually
from .post import mailed

CHARGER = "CP-CHANGES"
ADMINISTRATOR = "administrator:local"


async def changes(client: Client, service: str, obj: str) -> list[tuple[str, str]]:
    """Return what was done, and by whom, the newest first."""
    request = audit_pb2.ListChangesRequest(object=obj)
    answer = await client.audits[service].ListChanges(request)
    return [(each.event, each.actor) for each in answer.changes]


async def denied(client: Client, service: str, obj: str) -> bool:
    with pytest.raises(aio.AioRpcError) as refused:
        await changes(client, service, obj)
    return refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_owners_are_told_who_did_what_and_people_what_was_done_to_them(
    system: System, data: DataDirectory, client: Client
) -> None:
    """Permission history: who gave it, when, what changed; for owners of the object only."""
    garage = await create_garage(client, "#1234", CHARGER)
    home = garage.installation_id
    roles = {
        "owner@changes.example": permissions_pb2.ROLE_OWNER,
        "driver@changes.example": permissions_pb2.ROLE_USER,
    }
    given = {
        address: await client.permissions.GrantPermission(
            permissions_pb2.GrantPermissionRequest(
                installation_id=home, email=address, roles=[role]
            )
        )
        for address, role in roles.items()
    }
    held = {
        each.id: each.user_id
        for each in (
            await client.permissions.ListPermissions(
                permissions_pb2.ListPermissionsRequest(installation_id=home)
            )
        ).permissions
    }
    owner, driver = (held[given[address].permission_id] for address in roles)
    permission = given["driver@changes.example"].permission_id
    for address in roles:
        token = await mailed(data, address)
        await client.invitations.AcceptInvitation(
            invitations_pb2.AcceptInvitationRequest(
                token=token, first_name="Some", last_name="Body"
            )
        )
    async with connected(data, as_=owner) as hers, connected(data, as_=driver) as his:
        changed = await hers.permissions.ChangePermission(
            permissions_pb2.ChangePermissionRequest(
                permission_id=permission, valid_until="2199-01-01"
            )
        )
        assert await changes(hers, "access", f"permission:{permission}") == [
            ("PermissionChanged", f"user:{owner}"),
            ("PermissionGranted", ADMINISTRATOR),
        ]
        added = await hers.identifications.AddIdentification(
            identifications_pb2.AddIdentificationRequest(
                user_id=driver,
                installation_id=home,
                type=identifications_pb2.IDENTIFICATION_TYPE_PIN,
                code="#5678",
            )
        )
        await hers.identifications.RevealCode(
            identifications_pb2.RevealCodeRequest(identification_id=added.identification_id)
        )
        await hers.users.BlockUser(users_pb2.BlockUserRequest(user_id=garage.user_id))
        # Of her site all, of him what he has there, and of neither what is his alone.
        seen = await changes(hers, "identity", f"installation:{home}")
        assert seen[:2] == [
            ("UserBlocked", f"user:{owner}"),
            ("CodeRevealed", f"user:{owner}"),
        ]
        assert ("LocalUserAdded", ADMINISTRATOR) in seen
        assert ("PendingUserAdded", "service:access") not in seen
        at_home = f"user:{driver}/installation:{home}"
        assert (await changes(hers, "identity", at_home))[0][0] == "CodeRevealed"
        assert await denied(hers, "identity", f"user:{driver}")
        assert await denied(his, "access", f"installation:{home}")
        assert await denied(his, "identity", f"user:{owner}")
        own = [event for event, _ in await changes(his, "identity", f"user:{driver}")]
        assert {"PendingUserAdded", "SignedInAs", "CodeRevealed"} <= set(own)
        # His own past, wherever it was, and nobody else's.
        at = [*garage.positions, *(each.position for each in given.values())]
        at += [changed.position, added.position]
        await authorize(client, "#5678", *at, identity=CHARGER)
        async with simulated_charger(system.ocpp, CHARGER, garage.password) as charger:
            await charger.boot()
            await charger.start("#5678")
            await charger.stop()

        async def past() -> list[str]:
            request = history_pb2.ListSessionsRequest(user_id=driver)
            return [each.user_id for each in (await his.history.ListSessions(request)).sessions]

        assert await eventually(past, bool) == [driver]
        with pytest.raises(aio.AioRpcError) as refused:
            await his.history.ListSessions(history_pb2.ListSessionsRequest(user_id=owner))
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
