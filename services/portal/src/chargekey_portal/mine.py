"""What a visitor has: his account, and the sites and chargers that he may use, by their ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chargekey.access.v1 import chargers_pb2, installations_pb2
from chargekey.identity.v1 import users_pb2
from chargekey_portal.visitors import Visitor

# Of more than a service lists at once, nobody chooses on a page.
MOST = 1000


async def me(visitor: Visitor) -> users_pb2.User:
    """Return the visitor's account."""
    asked = users_pb2.GetUserRequest(user_id=visitor.user_id)
    return (await visitor.services.users.GetUser(asked)).user


async def my_installations(visitor: Visitor) -> Mapping[str, installations_pb2.Installation]:
    """Return the installations at which he holds anything, or that he is offered, MOST of them."""
    asked = installations_pb2.ListInstallationsRequest(page_size=MOST)
    found = await visitor.services.installations.ListInstallations(asked)
    return {each.id: each for each in found.installations}


async def my_chargers(
    visitor: Visitor, charger_ids: Iterable[str] = ()
) -> Mapping[str, chargers_pb2.UsableCharger]:
    """Return the chargers that the visitor can use, MOST of them; of these where any are named."""
    asked = chargers_pb2.ListUsableChargersRequest(page_size=MOST, charger_ids=charger_ids)
    found = await visitor.services.chargers.ListUsableChargers(asked)
    return {each.charger.id: each for each in found.chargers}
