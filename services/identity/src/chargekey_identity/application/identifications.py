"""What can be done with identifications."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Concatenate, ParamSpec, TypeVar

import msgspec

from chargekey_common import local_days
from chargekey_common.accounts import Caller
from chargekey_common.attempts import Attempts
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import (
    Answer,
    CommandIdReusedError,
    Context,
    EventStore,
    Loaded,
    Work,
    command,
)
from chargekey_common.keyed_ids import KeyedIds, classify
from chargekey_identity.domain import codes, identification, reservation, user
from chargekey_identity.domain.codes import Code
from chargekey_identity.domain.errors import CodeChangedSinceError, CodeUnavailableError
from chargekey_identity.domain.events import IdentificationStatus, IdentificationType
from chargekey_identity.domain.identification import Group, Identification
from chargekey_identity.domain.user import User
from chargekey_identity.projections.directory import Directory
from chargekey_identity.tables.scans import ScanTables

# Attempts at a free PIN of each length.
GUESSES = 200
# How many taken PINs a user may name at an installation, and how often he may have free
# ones told, within how many seconds: more of either tells him those of the others (R14).
MOST_TAKEN = 5
MOST_OFFERS = 10
WITHIN = 600

P = ParamSpec("P")
Result = TypeVar("Result")


class Details(msgspec.Struct, frozen=True):
    """What else can be said of a new identification.

    `installation_id` is where it is to work, empty where that follows from the user; who
    adds it may be a host there, an owner or operator. A PIN has at least `pin_length`
    digits. `group` is a label, empty for none.
    """

    installation_id: str = ""
    pin_length: int = codes.SHORTEST_PIN
    group: str = ""
    group_card: bool = False
    by_host: bool = False

    def __repr__(self) -> str:
        return "Details()"


class Terms(msgspec.Struct, frozen=True):
    """What holds for a change: how long a PIN has to be, and whether a host makes it."""

    pin_length: int = codes.SHORTEST_PIN
    by_host: bool = False


class Regrouped(msgspec.Struct, frozen=True):
    """What becomes of an identification's group; None leaves it, an empty label takes it out."""

    label: str | None = None
    card: bool | None = None

    def __repr__(self) -> str:
        return "Regrouped()"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A new identification as it was asked for.

    `valid_until` is exclusive, in nanoseconds since the epoch; a code was typed in, or
    `scanned` at a charger; `earlier` is what the same command gives him before, at the
    same installation. The rest is as in `Details`.
    """

    type: IdentificationType
    code: str
    status: IdentificationStatus = "ACTIVE"
    valid_until: int | None = None
    installation_id: str = ""
    pin_length: int = codes.SHORTEST_PIN
    group: Group = Group()
    scanned: bool = False
    earlier: Sequence[IdentificationType] = ()
    by_host: bool = False

    def __repr__(self) -> str:
        return "Wanted()"


class Revelation(msgspec.Struct, frozen=True):
    """What a reveal was recorded for: which of an identification's codes."""

    identification_id: str
    code_number: int


def _making_known(
    method: Callable[Concatenate[Identifications, Context, P], Answer[Result]],
) -> Callable[Concatenate[Identifications, Context, P], Answer[Result]]:
    """Let a command's `code` be kept no longer among those that are nobody's, once it is done."""

    @functools.wraps(method)
    def run(
        self: Identifications, context: Context, /, *args: P.args, **kwargs: P.kwargs
    ) -> Answer[Result]:
        answer = method(self, context, *args, **kwargs)
        code = kwargs["code"]
        if isinstance(code, str):
            self.made_known(code)
        return answer

    return run


class Identifications:
    """Every command on an identification.

    What is somebody's is dropped from `unknown` when it becomes his, and once again
    before it is nobody's: a crash may have come in between.
    """

    def __init__(
        self,
        store: EventStore,
        keyed_ids: KeyedIds,
        directory: Directory,
        unknown: ScanTables,
        attempts: Attempts,
    ) -> None:
        self.store = store
        self._keyed_ids = keyed_ids
        self._directory = directory
        self._unknown = unknown
        self._attempts = attempts

    @_making_known
    @command
    def add_identification(
        self,
        work: Work,
        *,
        user_id: str,
        identification_type: IdentificationType,
        code: str,
        status: IdentificationStatus,
        valid_until: str,
        time_zone: str,
        details: Details = Details(),  # noqa: B008 - it is immutable
    ) -> str:
        """Give a user something to present, and return its id.

        `valid_until` is a local day in `time_zone`, empty for no end.
        """
        holder = user.existing(work.load(user.evolve, user_id).state)
        wanted = Wanted(
            type=identification_type,
            code=code,
            status=status,
            valid_until=local_days.end_of(valid_until, time_zone, now=work.at),
            installation_id=details.installation_id,
            pin_length=details.pin_length,
            group=identification.group(holder, user_id, details.group, card=details.group_card),
            by_host=details.by_host,
        )
        return self.add(work, user_id, holder, wanted)

    def add(
        self,
        work: Work,
        user_id: str,
        holder: User,
        wanted: Wanted,
        *,
        identification_id: str | None = None,
    ) -> str:
        """Do the same within another command, for a user who may be new in it.

        What the same command reserved before is not seen here: the caller sees to it
        that no code comes twice.
        """
        within = identification.scope(holder, wanted.type, wanted.installation_id)
        code_class, canonical = codes.canonical(wanted.type, wanted.code, scanned=wanted.scanned)
        if wanted.type == "PIN":
            codes.require_pin_length(canonical, wanted.pin_length)
        code = codes.keyed(self._keyed_ids, code_class, canonical, within)
        held = self._directory.held(user_id)
        identification.require_room(held, wanted.type, within, earlier=wanted.earlier)
        loaded = work.load(identification.evolve, identification_id or new_id())
        self._reserve(work, code, wanted.type, user_id, loaded.id, within)
        events = identification.add(
            user_id=user_id,
            identification_type=wanted.type,
            installation_id=within,
            status=wanted.status,
            valid_until=wanted.valid_until,
            code=code,
            group=wanted.group,
            bound=identification.is_bound(user_id, within, work.actor, is_host=wanted.by_host),
        )
        work.record(loaded, *events)
        return loaded.id

    def has(self, work: Work, user_id: str, holder: User, wanted: Wanted) -> bool:
        """Return whether the user presents this very code there already; raises as `add` does."""
        within = identification.scope(holder, wanted.type, wanted.installation_id)
        code_class, canonical = codes.canonical(wanted.type, wanted.code, scanned=wanted.scanned)
        code = codes.keyed(self._keyed_ids, code_class, canonical, within)
        reserved = work.load(reservation.evolve, reservation.reservation_id(code)).state
        if reserved is None or reserved.identification_id is None:
            return False
        held = work.load(identification.evolve, reserved.identification_id).state
        return held is not None and (held.user_id, held.installation_id) == (user_id, within)

    def give_app(self, work: Work, user_id: str) -> str:
        """Give a user, within another command, what the portal starts sessions with."""
        code = codes.keyed(self._keyed_ids, *classify(codes.new_app_code()), None)
        loaded = work.load(identification.evolve, new_id())
        self._reserve(work, code, "APP", user_id, loaded.id, None)
        events = identification.add(
            user_id=user_id,
            identification_type="APP",
            installation_id=None,
            status="ACTIVE",
            valid_until=None,
            code=code,
        )
        work.record(loaded, *events)
        return loaded.id

    @_making_known
    @command
    def change_identification(
        self,
        work: Work,
        *,
        identification_id: str,
        code: str | None,
        status: IdentificationStatus | None,
        valid_until: str | None,
        time_zone: str,
        terms: Terms = Terms(),  # noqa: B008 - it is immutable
        regrouped: Regrouped = Regrouped(),  # noqa: B008 - it is immutable
    ) -> None:
        """Change what is given; None leaves a thing as it is, an empty day takes the end away.

        Where it works at one installation, its user makes it stricter alone, if he does not
        own or operate that: who does is a host.
        """
        loaded = work.load(identification.evolve, identification_id)
        held = identification.existing(loaded.state)
        bound = identification.is_bound(
            held.user_id, held.installation_id, work.actor, is_host=terms.by_host
        )
        if code is not None:
            self._change_code(work, loaded, code, terms.pin_length)
        if status is not None:
            work.record(loaded, *identification.change_status(held, status, bound=bound))
        if valid_until is not None:
            end = local_days.end_of(valid_until, time_zone, now=work.at)
            work.record(loaded, *identification.change_expiry(held, end, bound=bound))
        if regrouped != Regrouped():
            holder = user.existing(work.load(user.evolve, held.user_id).state)
            label = held.group.label if regrouped.label is None else regrouped.label
            card = held.group.card if regrouped.card is None else regrouped.card
            group = identification.group(holder, held.user_id, label, card=card)
            work.record(loaded, *identification.change_group(held, group, bound=bound))

    @command
    def remove_identification(self, work: Work, *, identification_id: str) -> None:
        """Take an identification away; its code is free again."""
        loaded = work.load(identification.evolve, identification_id)
        identification.by_hand(loaded.state)
        events = identification.remove(loaded.state)
        held = identification.readable(loaded.state)
        self._release(work, held.code, held.user_id, loaded.id)
        work.record(loaded, *events)

    def count_offer(self, caller: Caller, installation_id: str) -> None:
        """Count that somebody has free PINs told who is no host there.

        Raises TooManyAttemptsError.
        """
        key = f"offered pins {caller} {installation_id}"
        self._attempts.spend(key, most=MOST_OFFERS, within=WITHIN)

    def free_pins(self, installation_id: str, *, count: int, pin_length: int) -> Sequence[str]:
        """Return random PINs that nobody has there right now; none is kept for anybody (R13).

        They are longer than `pin_length` where those of that many digits are nearly all
        taken. Some may be missing; it blocks for a bounded number of look-ups.
        """
        found: list[str] = []
        for digits in range(max(pin_length, codes.SHORTEST_PIN), codes.LONGEST_PIN + 1):
            for _ in range(GUESSES):
                if len(found) == count:
                    return found
                pin = codes.new_pin(digits)
                if pin not in found and not self.is_registered(pin, installation_id):
                    found.append(pin)
        return found

    def is_registered(self, token: str, installation_id: str = "") -> bool:
        """Return whether this, in any spelling, is somebody's; a PIN, at this installation."""
        return self.is_reserved(self.reservation_of(token, installation_id))

    def reservation_of(self, token: str, installation_id: str = "") -> str:
        """Return the id of the reservation this has or would have; a PIN, at the installation."""
        code = codes.keyed(self._keyed_ids, *classify(token), installation_id)
        return reservation.reservation_id(code)

    def is_reserved(self, reservation_id: str) -> bool:
        """Return whether a reservation is held right now."""
        return reservation.is_held(self.store.load(reservation.evolve, reservation_id).state)

    def made_known(self, *tokens: str) -> None:
        """Keep these no longer among what was presented and is nobody's."""
        self._unknown.forget_codes(map(self.reservation_of, tokens))

    def reveal_code(self, context: Context, *, identification_id: str) -> Answer[Code]:
        """Record that the caller is shown the code, then answer it in plain (R17).

        The recorded command holds for this identification and this code alone: sent
        again for anything else it is refused, or one audited command would open
        everything after it. Raises CommandIdReusedError or CodeChangedSinceError.
        """
        recorded = self.record_reveal(context, identification_id=identification_id)
        shown = recorded.result
        if shown.identification_id != identification_id:
            raise CommandIdReusedError
        held = identification.readable(
            self.store.load(identification.evolve, identification_id).state
        )
        if held.code_number != shown.code_number:
            raise CodeChangedSinceError
        return Answer(held.code, recorded.position)

    @command
    def record_reveal(self, work: Work, *, identification_id: str) -> Revelation:
        """Record a reveal; the receipt says of what, never the code."""
        loaded = work.load(identification.evolve, identification_id)
        work.record(loaded, *identification.reveal(loaded.state))
        number = identification.readable(loaded.state).code_number
        return Revelation(identification_id, number)

    def _change_code(
        self, work: Work, loaded: Loaded[Identification], text: str, pin_length: int
    ) -> None:
        identification.by_hand(loaded.state)
        held = identification.readable(loaded.state)
        code_class, canonical = codes.canonical(held.type, text)
        code = codes.keyed(self._keyed_ids, code_class, canonical, held.installation_id)
        events = identification.change_code(held, code)
        if events:
            if held.type == "PIN":
                codes.require_pin_length(canonical, pin_length)
            self._release(work, held.code, held.user_id, loaded.id)
            self._reserve(work, code, held.type, held.user_id, loaded.id, held.installation_id)
            work.record(loaded, *events)

    def _reserve(
        self,
        work: Work,
        code: Code,
        identification_type: IdentificationType,
        user_id: str,
        identification_id: str,
        installation_id: str | None,
    ) -> None:
        own = identification_type == "PIN" and work.actor == f"user:{user_id}"
        counted = self._counted(work.actor, installation_id) if own else contextlib.nullcontext()
        with counted:
            loaded = work.load(reservation.evolve, reservation.reservation_id(code))
            events = reservation.reserve(
                loaded.state,
                identification_type,
                user_id=user_id,
                identification_id=identification_id,
            )
        work.record(loaded, *events)

    @contextlib.contextmanager
    def _counted(self, actor: str, installation_id: str | None) -> Iterator[None]:
        """Count what is done here if it meets a PIN that is taken.

        Raises TooManyAttemptsError before it is done; of many at once no more are counted
        as free than of those that come one by one.
        """
        key = f"taken pins {actor} {installation_id}"
        self._attempts.spend(key, most=MOST_TAKEN, within=WITHIN)
        taken = False
        try:
            yield
        except CodeUnavailableError:
            taken = True
            raise
        finally:
            if not taken:
                self._attempts.give_back(key)

    def _release(self, work: Work, code: Code, user_id: str, identification_id: str) -> None:
        # First, so that it is not told as nobody's in between.
        self._unknown.forget_codes([reservation.reservation_id(code)])
        loaded = work.load(reservation.evolve, reservation.reservation_id(code))
        events = reservation.release(
            loaded.state, user_id=user_id, identification_id=identification_id
        )
        work.record(loaded, *events)
