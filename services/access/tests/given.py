"""What tests of access begin with: sites, people, partners, and who does something."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from pathlib import Path

from chargekey_access.domain import partner
from chargekey_access.domain.events import (
    EVENTS,
    PartnerCreated,
    PartnerKind,
    PartnerMemberAdded,
    PartnerMemberRemoved,
    Role,
)
from chargekey_access.domain.permission import Subject, Target, permission_id
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.eventstore.postgres import PostgresRecorder
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.store import Context, EventStore, Reaction, Work
from chargekey_common.positions import Position
from chargekey_common.postgres import Postgres
from chargekey_common.published.identity import InvitationAccepted, LocalUserAdded

from .conftest import Access

_numbers = itertools.count(1)


def by(caller: str) -> Context:
    """Return a new command of a user, by his id, or of any other caller."""
    who = caller if ":" in caller else f"user:{caller}"
    return Context(Caller(who), f"command-{next(_numbers)}")


def now() -> Context:
    """Return a new command of the administrator."""
    return by(ADMINISTRATOR)


def opened(place: Path | Postgres) -> EventStore:
    """Open access's store at a place, as one process; make what is missing there."""
    if isinstance(place, Postgres):
        PostgresRecorder.migrate(place)
    return EventStore("access", place, EVENTS)


def a_site(access: Access, *owners: str) -> str:
    """Return a new installation of these people, who have all accepted to own it."""
    site = access.installations.create_installation(
        now(), name="Home", time_zone="Europe/Oslo", owner_id=owners[0] if owners else None
    ).result
    for each in owners[1:]:
        grant(access, now(), Target(site), Subject(each), "OWNER", "USER", invited=True)
        accepts(access, each)
    return site


def accepts(access: Access, user_id: str) -> None:
    """Let access hear that somebody followed his invitation, or signed in."""
    number = next(_numbers)
    handled = Handled("access-on-invitation-accepted", Position("identity", "0" * 16, number))
    access.owners.react_to_invitation_accepted(
        InvitationAccepted(user_id=user_id, invitation_id=f"invitation-{number}"),
        Reaction(handled, f"event-{number}", 0, f"user:{user_id}"),
    )


def a_charger(access: Access, installation_id: str, identity: str = "CP-1") -> str:
    """Return a new charger there."""
    return access.chargers.add_charger(
        now(), installation_id=installation_id, ocpp_identity=identity
    ).result


def a_local_user(access: Access, installation_id: str, user_id: str) -> None:
    """Let access hear of a new local user."""
    number = next(_numbers)
    handled = Handled("access-on-local-user-added", Position("identity", "0" * 16, number))
    access.permissions.react_to_local_user_added(
        LocalUserAdded(user_id=user_id, installation_id=installation_id),
        Reaction(handled, f"event-{number}", 0, ADMINISTRATOR),
    )


def a_partner(
    access: Access,
    kind: PartnerKind = "SERVICE_PARTNER",
    *,
    partner_id: str = "",
    key: str = "K7Q2",
    members: Mapping[str, bool] | None = None,
) -> str:
    """Return a new partner; `members` tell who is in it, and whether he manages it."""
    partner_id = partner_id or f"partner-{next(_numbers)}"
    created = PartnerCreated(
        name="Volt AS", kind=kind, lookup_key=key, contact="help@volt.example", logo_url=""
    )
    joined = [PartnerMemberAdded(user_id=u, manages=m) for u, m in (members or {}).items()]
    _record(access, partner_id, created, *joined)
    return partner_id


def joins(access: Access, partner_id: str, user_id: str) -> None:
    """Let a user be a member."""
    _record(access, partner_id, PartnerMemberAdded(user_id=user_id, manages=False))


def leaves(access: Access, partner_id: str, user_id: str) -> None:
    """Let a user be a member no longer."""
    _record(access, partner_id, PartnerMemberRemoved(user_id=user_id))


def _record(access: Access, partner_id: str, *events: object) -> None:
    def decide(work: Work) -> None:
        work.record(work.load(partner.evolve, partner_id), *events)  # type: ignore[arg-type] # a partner's

    access.store.execute("given", type(None), now(), decide)


def grant(
    access: Access,
    context: Context,
    target: Target,
    subject: Subject,
    *roles: Role,
    valid_until: str = "",
    invited: bool = False,
) -> str:
    """Grant, and return the permission's id."""
    return access.permissions.grant_permission(
        context,
        target=target,
        subject=subject,
        roles=roles,
        valid_until=valid_until,
        invited=invited,
    ).result


def revoke(access: Access, context: Context, target: Target, subject: Subject) -> None:
    """Revoke what the subject holds on the target."""
    access.permissions.revoke_permission(context, permission_id=permission_id(subject, target))


def change(
    access: Access,
    context: Context,
    target: Target,
    subject: Subject,
    *roles: Role,
    valid_until: str | None = None,
) -> None:
    """Change what the subject holds on the target."""
    access.permissions.change_permission(
        context,
        permission_id=permission_id(subject, target),
        roles=roles,
        valid_until=valid_until,
    )


def refused(access: Access, caller: Caller, action: str, obj: str) -> str | None:
    """Return the code of the refusal, or None where the caller may."""
    refusal = access.check.refusal(caller, action, obj)
    return None if refusal is None else refusal.code


def holders(access: Access, target: Target) -> Mapping[str, Collection[Role]]:
    """Return what each subject holds on exactly this target, by the id of either kind."""
    return {
        str(held.subject.user_id or held.subject.partner_id): set(held.roles)
        for _, held in access.directory.holdings.on(target)
    }
