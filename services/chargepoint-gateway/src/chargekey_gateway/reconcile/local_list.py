"""A charger's local list: who belongs into it, what of that fits, and how it gets there.

Pure. Who is in it and with which status follows from the decision itself, so that the list
of a charger without a connection and the answer to one that has it are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from chargekey_common.keyed_ids import SHORTEST_UID, CodeClass, KeyedId, classify
from chargekey_gateway.decision import PIN, AskOperator, Status, decide
from chargekey_gateway.inputs import Presented, gather
from chargekey_gateway.reconcile.turns import Work
from chargekey_gateway.view.entries import (
    Charger,
    Identification,
    Quirks,
    User,
)
from chargekey_gateway.view.view import View

# What a charger reads by itself. Apps and telephone numbers never reach it.
CARDS = frozenset({"RFID", "VEHICLE_ID", "CREDIT_CARD"})

# Of an entry's share in a digest, how many are worked out in one go.
BIT = 1_000

_REFUSED_FIRST = {Status.BLOCKED: 0, Status.EXPIRED: 1, Status.INVALID: 2}
_ACCEPTED_LAST = 3

# From a group, a user and a site to what chargers know their cards' common right to stop by.
GroupToken = Callable[[str | None, str | None, str], str | None]
# Whether the site of a charger has seen an identification, as far as that one tells it.
HasSeen = Callable[[Charger, Identification], bool]


class Wish(msgspec.Struct, frozen=True, gc=False):
    """Somebody who belongs into a list. `status` in OCPP 1.6's words.

    `expires` is exclusive, in nanoseconds since the epoch; `group` as chargers are told. `key`
    is another one where the code is, `mark` where anything is.
    """

    identification_id: str
    user_id: str
    type: str
    status: Status
    expires: int | None
    group: str | None
    key: str
    mark: str

    @property
    def refused(self) -> bool:
        """Whether the charger shall say no."""
        return self.status is not Status.ACCEPTED


class Update(msgspec.Struct, frozen=True):
    """How a charger gets from the list it has to the one it should have.

    `full` where what it has is to be forgotten, else `removed` are taken from it.
    """

    full: bool
    put: Sequence[Wish]
    removed: Sequence[str] = ()


def key_of(keyed_id: KeyedId, quirks: Quirks | None) -> str:
    """Return what is another one where a charger's reader makes something else of a code."""
    reader = "" if quirks is None else f"{quirks.reversed} {quirks.truncated} {quirks.prefix}"
    return hashlib.blake2b(keyed_id + reader.encode(), digest_size=6).hexdigest()


def has_list(charger: Charger) -> bool:
    """Whether anybody belongs into the charger's list: where our permissions decide."""
    return (
        charger.registered and charger.authorisation_required and not charger.installation.external
    )


def listed_types(charger: Charger) -> frozenset[str]:
    """Return the types of identifications that belong into the list there."""
    pins = frozenset({PIN}) if charger.installation.offline_pins else frozenset()
    return charger.identification_types & (CARDS | pins)


def wishes(
    charger: Charger,
    users: Iterable[User],
    view: View,
    has_seen: HasSeen,
    group_token: GroupToken,
    at: int,
) -> Iterable[Wish]:
    """Yield what these users have in the charger's list at `at`, each by the decision there.

    Of what its site `has_seen`, and nothing else. Cards are told their group by `group_token`.
    """
    types = listed_types(charger)
    for user in users:
        for known in view.identifications_of(user.id):
            if known.type in types and has_seen(charger, known):
                wish = _wish(charger, known, view, group_token, at)
                if wish is not None:
                    yield wish


def _wish(
    charger: Charger, known: Identification, view: View, group_token: GroupToken, at: int
) -> Wish | None:
    keyed_id = view.keyed_id(known.id)
    if keyed_id is None:  # its user was erased, or its key is on its way
        return None
    presented = Presented("", CodeClass.UID, known)
    decision = decide(gather(charger, presented, at=at, positions=()))
    if isinstance(decision, AskOperator):
        return None
    # Who is refused may stop nothing, with whatever card of his group.
    site = charger.installation.id
    group = group_token(known.terms.group_id, known.user.id, site) if decision.accepted else None
    key = key_of(keyed_id, charger.quirks)
    said = f"{decision.status} {decision.valid_until} {group}"
    return Wish(
        identification_id=known.id,
        user_id=known.user.id,
        type=known.type,
        status=decision.status,
        expires=decision.valid_until,
        group=group,
        key=key,
        mark=key + hashlib.blake2b(said.encode(), digest_size=6).hexdigest(),
    )


def ranked(wishes: Iterable[Wish]) -> Sequence[Wish]:
    """Return those first that matter most where not all fit.

    Who must be refused comes first, since a list beats the cache and what is not in either
    may be somebody's guess (§3.5.1 of OCPP 1.6).
    """
    return sorted(wishes, key=rank)


def digest(wanted: Mapping[str, Wish], others: int) -> Work[str]:
    """Work out what is another one where the list would be; `others` as `confusable` tells."""
    state = hashlib.blake2b(str(others).encode(), digest_size=16)
    for number, identification_id in enumerate(sorted(wanted)):
        if number % BIT == 0:
            yield
        state.update(f"\n{identification_id} {wanted[identification_id].mark}".encode())
    return state.hexdigest()


def truncates(charger: Charger) -> bool:
    """Whether the charger's reader makes of several cards the same."""
    return charger.quirks is not None and charger.quirks.truncated


def confusable(charger: Charger, view: View) -> int:
    """Return what is another one where other cards than its own may bear on a charger's list."""
    return view.short_cards if truncates(charger) else 0


def update(
    wanted: Mapping[str, Wish],
    known: Mapping[str, str] | None,
    is_readable: Callable[[str], bool],
) -> Update:
    """Return how a charger that has `known`, marks by identification, gets what is `wanted`.

    `wanted` is `ranked`, and so is what is sent. `known` None: nobody knows what it has. All of
    it anew also where an entry must go whose code `is_readable` no longer, or was another one,
    and where that is shorter.
    """
    everything = list(wanted.values())
    if not known:
        return Update(full=known is None or bool(everything), put=everything)
    removed = tuple(each for each in known if each not in wanted)
    changed = [each for each in everything if known.get(each.identification_id) != each.mark]
    recoded = any(
        not known.get(each.identification_id, each.mark).startswith(each.key) for each in changed
    )
    unreadable = not all(map(is_readable, removed))
    if recoded or unreadable or len(changed) + len(removed) > len(everything):
        return Update(full=True, put=everything)
    return Update(full=False, put=changed, removed=removed)


def takes(update: Update, known: Mapping[str, str] | None) -> bool:
    """Whether an update takes something from somebody: then it does not wait for more."""
    replaces = update.full and known != {}
    return bool(replaces or update.removed or any(wish.refused for wish in update.put))


def as_read(quirks: Quirks | None, code: str) -> str:
    """Return what a charger's reader makes of a code: the inverse of `lookup.undone` (R15).

    Only of a card's number; what is typed and what comes from a vehicle is sent as it is.
    """
    code_class, canonical = classify(code)
    if quirks is None or code_class is not CodeClass.UID:
        return code.upper() if code.isascii() else code
    number = canonical[:SHORTEST_UID] if quirks.truncated else canonical
    if quirks.reversed:
        number = bytes.fromhex(number)[::-1].hex()
    return f"{quirks.prefix}{number}".upper()


def rank(wish: Wish) -> tuple[int, str]:
    """Return the less, the more it matters."""
    return _REFUSED_FIRST.get(wish.status, _ACCEPTED_LAST), wish.identification_id
