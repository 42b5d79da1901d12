"""Whose permissions are a caller's, and what they let him do."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from chargekey_access.domain.errors import UserUnknownError
from chargekey_access.domain.events import Role
from chargekey_access.domain.permission import Subject, Target
from chargekey_access.projections.directory import Directory
from chargekey_common.accounts import Caller


def user_of(caller: str) -> str | None:
    """Return the id of the person who calls; None for everybody else."""
    kind, _, name = caller.partition(":")
    return name if kind == "user" else None


def subjects(directory: Directory, caller: Caller) -> Iterator[Subject]:
    """Tell whose permissions are the caller's: his own, and those of partners he is in (R8)."""
    kind, _, name = caller.partition(":")
    if kind == "partner":
        yield Subject(partner_id=name)
    if kind == "user":
        yield Subject(name)
        for partner_id in directory.partners.of_user(name):
            yield Subject(partner_id=partner_id)


def roles(directory: Directory, caller: Caller, target: Target, *, now: int) -> AbstractSet[Role]:
    """Return what the caller holds on the target and above it; nothing where he is blocked (R12).

    Otherwise an owner who is blocked could lift that himself.
    """
    with directory.caught_up():
        if user_of(caller) in directory.holdings.owners(target.installation_id).blocked:
            return frozenset()
        return frozenset().union(
            *(
                directory.holdings.roles(subject, target, now=now)
                for subject in subjects(directory, caller)
            )
        )


def is_guest(directory: Directory, caller: Caller, installation_id: str, *, now: int) -> bool:
    """Return whether the caller holds something at a charger there, and is not blocked."""
    with directory.caught_up():
        if user_of(caller) in directory.holdings.owners(installation_id).blocked:
            return False
        return any(
            held.target.installation_id == installation_id
            and held.target.charger_id is not None
            and held.counts(now=now)
            for subject in subjects(directory, caller)
            for _, held in directory.holdings.of(subject)
        )


def is_offered(directory: Directory, caller: Caller, installation_id: str) -> bool:
    """Return whether the site's ownership is offered to the caller."""
    offer = directory.holdings.owners(installation_id).offer
    return offer is not None and offer.to_user_id == user_of(caller)


def is_own(directory: Directory, caller: Caller, subject: Subject) -> bool:
    """Return whether the subject is the caller itself, or a partner that he manages."""
    kind, _, name = caller.partition(":")
    match kind:
        case "partner":
            return subject.partner_id == name
        case "user":
            managed = directory.partners.of_user(name)
            return subject.user_id == name or managed.get(subject.partner_id or "", False)
        case _:
            return False


def require_known(directory: Directory, user_id: str) -> None:
    """Return where access has heard of the user and did not forget him (R20).

    Raises UserUnknownError.
    """
    with directory.caught_up():
        if directory.holdings.is_forgotten(user_id):
            raise UserUnknownError
        if not directory.partners.of_user(user_id):
            directory.holdings.require_user(user_id)
