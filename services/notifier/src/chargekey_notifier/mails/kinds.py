"""Which mails there are, to whom, and which of them a person may decline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

Kind = Literal[
    "user_blocked",
    "invitation",
    "sign_in_link",
    "permission_given",
    "permission_changed",
    "permission_removed",
    "permission_ends",
    "identification_ends",
    "pins_locked_out",
    "access_requested",
    "access_request_approved",
    "access_request_denied",
    "ownership_offered",
    "ownership_received",
    "ownership_handed_over",
    "owner_added",
    "blocked_at_site",
]
# What may be declined. Nobody can decline what lets him in (links), what was taken from him,
# and who else owns what he owns: who would steal a site would begin by declining that.
Choice = Literal["permissions", "reminders", "lockouts", "access_requests"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
OPTIONAL: Mapping[Kind, Choice] = {
    "permission_given": "permissions",
    "permission_changed": "permissions",
    "permission_ends": "reminders",
    "identification_ends": "reminders",
    "pins_locked_out": "lockouts",
    "access_requested": "access_requests",
    "access_request_approved": "access_requests",
    "access_request_denied": "access_requests",
}
# What is of use however late it comes: links say themselves how long they are good for.
AT_ANY_TIME: frozenset[Kind] = frozenset({"user_blocked", "invitation", "sign_in_link"})

# Who is written to: the administrator, a user at his address, or a group of users, who are
# found out when it is sent.
ADMINISTRATOR = "administrator"
_USER = "user:"
_OWNERS = "owners:"
_ASKER = "asker:"


def to_user(user_id: str) -> str:
    """Return this user as a recipient."""
    return _USER + user_id


def to_owners(installation_id: str) -> str:
    """Return everybody who owns the site as a recipient."""
    return _OWNERS + installation_id


def to_asker(access_request_id: str) -> str:
    """Return who asked for access as a recipient: a user, or those who manage a partner."""
    return _ASKER + access_request_id


def user_of(recipient: str) -> str | None:
    """Return the id of the one user it is to."""
    return recipient.removeprefix(_USER) if recipient.startswith(_USER) else None


def is_group(recipient: str) -> bool:
    """Whether it is several mails, one for each of its people."""
    return recipient.startswith((_OWNERS, _ASKER))


class Mail(msgspec.Struct, frozen=True):
    """What to tell whom: which event of `kind`, when (ns), about which user and where.

    A block without an installation is one of the whole platform. `object_id` is what is
    asked for when it is written: an invitation, a permission, an identification, a request
    for access. `until` is the end it reminds of, or a lockout's. It is sent from `due_at`
    on, which is at once where none is given. A recipient hears of one `topic` once an hour
    by mails of one kind; what was held back is told at the hour's end as it is then.
    """

    event_id: str
    recipient: str
    kind: Kind
    user_id: str | None
    at: int
    installation_id: str | None = None
    charger_id: str | None = None
    object_id: str | None = None
    until: int | None = None
    topic: str | None = None
    due_at: int | None = None

    @property
    def due(self) -> int:
        """From when on it may be sent."""
        return self.at if self.due_at is None else self.due_at
