"""Somebody at an installation: who he is there, as far as its visitor may know."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import Depends

from chargekey.identity.v1 import users_pb2
from chargekey_portal.names import said
from chargekey_portal.refusals import NOT_FOUND, RefusedError
from chargekey_portal.sites import AtSite, Site
from chargekey_portal.visitors import SignedIn
from chargekey_portal.words import SOMEBODY


class Person(msgspec.Struct, frozen=True):
    """A user and an installation: his own, where he is a local one."""

    user: users_pb2.User
    site: Site
    # What to call him.
    name: str

    @property
    def path(self) -> str:
        """The address of his pages there."""
        return f"{self.site.path}/local-users/{self.user.id}"

    @property
    def is_local(self) -> bool:
        """Whether he belongs to the installation, and signs in nowhere."""
        return self.user.kind == users_pb2.USER_KIND_LOCAL


async def person(user_id: str, visitor: SignedIn, site: AtSite) -> Person:
    """Return whom the address names; raises RefusedError for another installation's local user."""
    asked = users_pb2.GetUserRequest(user_id=user_id)
    user = (await visitor.services.users.GetUser(asked)).user
    name = f"{user.first_name} {user.last_name}".strip() or user.email
    found = Person(user, site, name or said(visitor, SOMEBODY))
    if found.is_local and found.user.installation_id != site.installation.id:
        raise RefusedError(NOT_FOUND)
    return found


AtPerson = Annotated[Person, Depends(person)]
