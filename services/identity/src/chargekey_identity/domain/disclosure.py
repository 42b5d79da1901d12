"""What those may know of somebody with an address to whom they gave something (R7).

Whoever typed an address knows it already. That it has an account, and whose it is, its
person tells by accepting the invitation.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from chargekey_identity.domain.invitation import Invitation
from chargekey_identity.domain.user import Kind, User


class Known(msgspec.Struct, frozen=True):
    """What may be told; empty, or None, where it may not."""

    kind: Kind | None = None
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    waiting: bool = False
    blocked: bool = False
    blocked_everywhere: bool = False
    erased: bool = False

    def __repr__(self) -> str:
        return f"Known(kind={self.kind!r})"

    @property
    def name(self) -> str:
        """What to call the person: by name, else by address."""
        return " ".join(filter(None, (self.first_name, self.last_name))) or self.email


def everything(person: User) -> Known:
    """Return what the person himself, and whoever runs the platform, may know."""
    return Known(
        person.kind,
        person.first_name,
        person.last_name,
        person.email,
        waiting=person.kind == "PENDING" and not person.erased,
        blocked=person.blocked,
        blocked_everywhere=person.blocked_everywhere,
        erased=person.erased,
    )


def at_site(person: User, installation_id: str, invitations: Iterable[Invitation]) -> Known:
    """Return what whoever manages a site may know, by the person's invitations to it."""
    if person.installation_id == installation_id:
        return everything(person)
    return to_inviter(person, invitations)


def to_inviter(person: User, invitations: Iterable[Invitation]) -> Known:
    """Return what those may know at whose sites, or into whose partners, these invitations are."""
    states = {each.state for each in invitations}
    if "ACCEPTED" in states:
        # A block of the whole platform is between him and whoever runs that.
        return msgspec.structs.replace(everything(person), blocked_everywhere=False)
    return Known(email=person.email, waiting=True) if "WAITING" in states else Known()
