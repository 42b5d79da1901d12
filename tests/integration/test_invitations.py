"""Permission given to an address: invited, signed up, charging, with no further owner's step."""

from __future__ import annotations

from chargekey.access.v1 import permissions_pb2
from chargekey.gateway.v1 import gateway_pb2
from chargekey.identity.v1 import identifications_pb2, invitations_pb2, users_pb2
from chargekey_stack.client import Client

from .garage import Garage, authorize, create_garage, eventually

CHARGER = "CP-INVITED"
CARD = "04A1B2C3D4E5F8"
ADDRESS = "grace.hopper@invitations.example"
ANOTHER = "mary.jackson@invitations.example"


async def granted(
    client: Client, garage: Garage, email: str
) -> permissions_pb2.GrantPermissionResponse:
    request = permissions_pb2.GrantPermissionRequest(
        installation_id=garage.installation_id, email=email, roles=[permissions_pb2.ROLE_USER]
    )
    return await client.permissions.GrantPermission(request)


async def invited(client: Client, garage: Garage) -> list[invitations_pb2.Invitation]:
    request = invitations_pb2.ListInvitationsRequest(installation_id=garage.installation_id)
    return list((await client.invitations.ListInvitations(request)).invitations)


async def test_the_invited_sign_up_by_the_link_and_charge(client: Client) -> None:
    """R7, S3-14, S3-15, S3-16, S3-19, S3-20: no right to charge before; then the grant works."""
    garage = await create_garage(client, "#2468", CHARGER)
    grant = await granted(client, garage, ADDRESS)
    [invitation] = await eventually(lambda: invited(client, garage), bool)
    assert (invitation.email, invitation.permission_id) == (ADDRESS, grant.permission_id)
    card = identifications_pb2.AddIdentificationRequest(
        user_id=invitation.user_id,
        type=identifications_pb2.IDENTIFICATION_TYPE_RFID,
        code=CARD,
        installation_id=garage.installation_id,
    )
    added = await client.identifications.AddIdentification(card)
    early = await authorize(client, CARD, grant.position, added.position, identity=CHARGER)
    assert (early.status, early.reason) == (
        gateway_pb2.AUTHORIZATION_STATUS_INVALID,
        "no_permission",
    )

    link = await client.invitations.IssueInvitationLink(
        invitations_pb2.IssueInvitationLinkRequest(invitation_id=invitation.id)
    )
    accepted = await client.invitations.AcceptInvitation(
        invitations_pb2.AcceptInvitationRequest(
            token=link.token, first_name="Grace", last_name="Hopper"
        )
    )
    assert accepted.user_id == invitation.user_id
    now = await authorize(client, CARD, accepted.position, identity=CHARGER)
    assert (now.status, now.reason) == (
        gateway_pb2.AUTHORIZATION_STATUS_ACCEPTED,
        "installation_permission",
    )
    names = await client.users.ListNames(
        users_pb2.ListNamesRequest(
            user_ids=[accepted.user_id], installation_id=garage.installation_id
        )
    )
    assert [each.name for each in names.users] == ["Grace Hopper"]


async def test_a_permission_revoked_before_the_link_is_followed_takes_it_along(
    client: Client,
) -> None:
    """R7."""
    garage = await create_garage(client, "#2468", "CP-REVOKED")
    grant = await granted(client, garage, ANOTHER)
    await eventually(lambda: invited(client, garage), bool)
    revoke = permissions_pb2.RevokePermissionRequest(permission_id=grant.permission_id)
    await client.permissions.RevokePermission(revoke)
    [taken_back] = await eventually(
        lambda: invited(client, garage),
        lambda found: found[0].state == invitations_pb2.INVITATION_STATE_REVOKED,
    )
    assert taken_back.times_sent == 1
