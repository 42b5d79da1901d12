"""Giving roles and taking them away, as parts of a save: nothing asks here who may (R5).

A permission on an installation keeps its owners in step, in the same save (R6). Whoever
holds the role OPERATOR manages the site: that part of the save is `operators`'.
"""

from __future__ import annotations

from collections.abc import Collection

from chargekey_access.domain import owners, permission
from chargekey_access.domain.events import Role
from chargekey_access.domain.permission import Permission, Subject, SubjectKind, Target
from chargekey_common.eventstore.store import Loaded, Work


def held(work: Work, subject: Subject, target: Target) -> Loaded[Permission]:
    """Return the one permission of the subject on the target."""
    return work.load(permission.evolve, permission.permission_id(subject, target))


def give(
    work: Work,
    *,
    target: Target,
    subject: Subject,
    kind: SubjectKind,
    roles: Collection[Role],
    valid_until: int | None = None,
    invited: bool = False,
    awaited: bool = False,
) -> str:
    """Let the subject hold exactly these roles there; return the permission's id.

    `invited` where it is given to an address, `awaited` where the subject is known by nothing
    else: as an owner, he counts when he accepts. Raises what `permission.grant` and
    `owners.change` raise. Once in a save for a subject and target, and once for the owners of
    an installation.
    """
    loaded = held(work, subject, target)
    anew = loaded.state is None or not loaded.state.holds
    events = permission.grant(
        loaded.state,
        target=target,
        subject=subject,
        kind=kind,
        roles=roles,
        valid_until=valid_until,
        invited=invited,
    )
    work.record(loaded, *events)
    # Only who is given something anew is invited by it, and so has anything to accept.
    unaccepted = awaited or (invited and anew)
    _keep_owners(work, target, subject, owns="OWNER" in roles, invited=unaccepted)
    return loaded.id


def take(work: Work, loaded: Loaded[Permission]) -> None:
    """Take a permission away; raises PermissionUnknownError or LastOwnerError."""
    events = permission.revoke(loaded.state)
    state = permission.existing(loaded.state)
    work.record(loaded, *events)
    _keep_owners(work, state.target, state.subject, owns=False)


def _keep_owners(
    work: Work, target: Target, subject: Subject, *, owns: bool, invited: bool = False
) -> None:
    if target.charger_id is not None or subject.user_id is None:
        return
    site = work.load(owners.evolve, owners.owners_id(target.installation_id))
    events = owners.change(
        site.state,
        installation_id=target.installation_id,
        user_id=subject.user_id,
        owns=owns,
        invited=invited,
    )
    work.record(site, *events)
