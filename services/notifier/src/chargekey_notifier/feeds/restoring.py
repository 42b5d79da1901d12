"""A service that was restored from a backup tells another story: how it differs from the first.

What was told cannot be taken back. So each partner is told what it needs to come from what it
knows to what is so now: in the words in which it would have been told at the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from chargekey_common.published import feed
from chargekey_common.published.feed import FeedEvent
from chargekey_notifier.feeds.memory import Memory
from chargekey_notifier.feeds.scopes import Scopes, derived_id
from chargekey_notifier.feeds.sight import Sight
from chargekey_notifier.feeds.store import Telling
from chargekey_notifier.feeds.translating import told

_ENDS: Mapping[type[FeedEvent], str] = {
    feed.IdentificationAdded: "IdentificationRemoved",
    feed.UserBlocked: "UserUnblocked",
    feed.UserBlockedAtInstallation: "UserUnblockedAtInstallation",
}


def restored(before: Memory, after: Memory, *, cause: str, at: int) -> Sequence[Telling]:
    """Return what is told where `after` is so at `at`, and not `before`; changes both.

    Access that began and ended in the meantime of both is not told of.
    """
    return [*_accesses(before, after, cause, at), *_things(before, after, cause, at)]


def _accesses(before: Memory, after: Memory, cause: str, at: int) -> Iterator[Telling]:
    for scope in after.scopes:
        if scope.ended_by is not None or (scope.ends is not None and scope.ends <= at):
            after.scopes.drop(scope.id)
    ids = sorted({scope.id for memory in (before, after) for scope in memory.scopes})
    scopes = Scopes(after)
    for scope_id in ids:
        was, now = before.scopes.get(scope_id), after.scopes.get(scope_id)
        key = derived_id(cause, f"access {scope_id}")
        if was is not None and was.ended_by is not None:
            if now is None:
                after.scopes.put(was)
                continue
            before.scopes.drop(scope_id)
            yield Telling(was.partner_id, was.ended_by, at, told(was, "AccessEnded"))
            was = None
        if was is None and now is not None:
            after.scopes.put(msgspec.structs.replace(now, since=at))
            yield Telling(now.partner_id, key, at, told(now, "AccessStarted"))
        elif was is not None and now is None:
            after.scopes.put(was)
            yield from scopes.take(scope_id, key, at)
        elif was is not None and now is not None:
            after.scopes.put(msgspec.structs.replace(now, since=was.since, awaits=was.awaits))
            if set(was.roles) != set(now.roles):
                yield Telling(now.partner_id, key, at, told(now, "AccessChanged"))


def _things(before: Memory, after: Memory, cause: str, at: int) -> Iterator[Telling]:
    places = sorted(
        {
            (scope.partner_id, scope.installation_id)
            for scope in after.scopes
            if scope.ended_by is None
        }
    )
    sight = Sight(after)
    for partner_id, installation_id in places:
        old = Sight(before).site(partner_id, installation_id)
        new = sight.site(partner_id, installation_id)
        for thing, event in old.items():
            if thing not in new and (gone := _gone(event, sight, partner_id)) is not None:
                yield Telling(partner_id, derived_id(cause, f"no {thing}"), at, gone)
        for thing, event in new.items():
            if old.get(thing) != event:
                yield Telling(partner_id, derived_id(cause, thing), at, event)


def _gone(event: FeedEvent, sight: Sight, partner_id: str) -> FeedEvent | None:
    """Return what tells that this is so no longer; None where something else has told it."""
    match event:
        case feed.ChargerAdded():
            return feed.ChargerMoved(
                charger_id=event.charger_id, from_installation_id=event.installation_id
            )
        case feed.PermissionGranted():
            return told(event, "PermissionRevoked")
        case feed.OperatorConnected():
            return told(event, "OperatorDisconnected")
        case feed.OverridesAllowedSet():
            return told(event, overrides_allowed=True)
        case feed.IdentificationAdded() | feed.UserBlocked() | feed.UserBlockedAtInstallation() if (
            sight.known_at(partner_id, event.user_id)
        ):
            return told(event, _ENDS[type(event)])
        case _:
            return None
