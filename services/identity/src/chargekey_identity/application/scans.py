"""What can be done with what is presented at a charger and is nobody's (R16)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import msgspec
import structlog

from chargekey_common.errors import ChargekeyError, UnavailableError
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import (
    Answer,
    Context,
    EventStore,
    StoreUnavailableError,
    Work,
    command,
)
from chargekey_identity.application.identifications import Identifications, Wanted
from chargekey_identity.domain import codes, identification, ids, scan, user
from chargekey_identity.domain.errors import (
    ScanOverError,
    ScanRunningError,
    ScanUnknownError,
    UnknownCodeGoneError,
)
from chargekey_identity.domain.events import IdentificationType
from chargekey_identity.domain.scan import Scan
from chargekey_identity.tables.scans import KEPT, ScanTables, UnknownCode, Window

# Seconds between deletions of what is a day old.
SWEEP = 600.0

log = structlog.get_logger()


class Started(msgspec.Struct, frozen=True):
    """A scan that waits for a card until `expires_at`, in nanoseconds since the epoch."""

    scan_id: str
    expires_at: int


class Scans:
    """Scans, and unknown codes; `run` must be running for the latter to be deleted in time.

    Who ends a scan holds its charger's window, on whatever replica. What it adds has an
    id that follows from the scan's, and whether that was added decides: not what was
    written down about it.
    """

    def __init__(
        self,
        store: EventStore,
        tables: ScanTables,
        identifications: Identifications,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """`clock` tells nanoseconds since the epoch."""
        self.store = store
        self._tables = tables
        self._identifications = identifications
        self._clock = clock

    async def run(self) -> None:
        """Delete what is a day old, until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self._tables.forget_old, self._clock())
            except StoreUnavailableError:
                log.warning("old_codes_kept", again_in=SWEEP)
            await asyncio.sleep(SWEEP)

    @command
    def start_scan(
        self,
        work: Work,
        *,
        user_id: str,
        charger_id: str,
        installation_id: str,
        identification_type: IdentificationType,
    ) -> Started:
        """Bind the next unknown card at a charger to a user; his own he presents twice.

        Who starts again for the same user begins anew; ScanRunningError for others.
        """
        scan.require_scannable(identification_type)
        holder = user.existing(work.load(user.evolve, user_id).state)
        within = identification.scope(holder, identification_type, installation_id)
        now = self._clock()
        started = Scan(
            id=ids.derived(f"scan {work.cause} {charger_id}"),
            charger_id=charger_id,
            user_id=user_id,
            installation_id=within or "",
            type=identification_type,
            started_by=work.actor,
            twice=work.actor == f"user:{user_id}",
            started_at=now,
            expires_at=now + scan.WINDOW,
        )
        with self._tables.window(charger_id) as window:
            before = window.scan(started.id)
            if before is not None:
                return Started(before.id, before.expires_at)
            last = self._last(window)
            if last is not None and scan.is_open(last, now):
                if (last.started_by, last.user_id) != (work.actor, user_id):
                    raise ScanRunningError
                window.keep(msgspec.structs.replace(last, state="CANCELLED"))
            window.open(started)
        return Started(started.id, started.expires_at)

    def scan(self, scan_id: str) -> Scan:
        """Return a scan with its state right now; raises ScanUnknownError."""
        found = self._settled(_existing(self._tables.scan(scan_id)))
        return msgspec.structs.replace(found, state=scan.state_at(found, self._clock()))

    @command
    def cancel_scan(self, work: Work, *, scan_id: str) -> None:  # noqa: ARG002 - of every command
        """Let no card be bound any more; raises ScanOverError where one was."""
        charger_id = _existing(self._tables.scan(scan_id)).charger_id
        with self._tables.window(charger_id) as window:
            found = self._settled(_existing(window.scan(scan_id)))
            if found.state == "ADDED":
                raise ScanOverError
            if scan.is_open(found, self._clock()):
                window.keep(msgspec.structs.replace(found, state="CANCELLED"))

    def report(self, *, charger_id: str, installation_id: str, code: str, at: int) -> None:
        """Bind what nobody knows to whoever scans there, or keep it for a day.

        What may be known by heart is neither. The same report again changes nothing.
        """
        if codes.is_secret(code):
            return
        now = self._clock()
        presented = None
        with self._tables.window(charger_id) as window:
            waiting = self._last(window)
            if waiting is not None and scan.concerns(waiting, at, now):
                presented = self._present(waiting, code, at)
                window.keep(presented)
        if presented is not None:
            if presented.state == "ADDED":
                self._identifications.made_known(code)
            return
        kind, at = codes.type_of(code), min(at, now)
        if kind is None or at <= now - KEPT:
            return
        reservation_id = self._identifications.reservation_of(code)
        # A report may be older than what has made it somebody's.
        if not self._identifications.is_reserved(reservation_id):
            self._tables.remember(
                UnknownCode(
                    number=0,
                    id=new_id(),
                    charger_id=charger_id,
                    installation_id=installation_id,
                    type=kind,
                    reservation_id=reservation_id,
                    code=code,
                    at=at,
                    times=1,
                )
            )

    def unknown_codes(
        self, installation_id: str, *, before: int | None, limit: int
    ) -> Sequence[UnknownCode]:
        """Return those that are nobody's still, last found first, behind the number `before`."""
        known = self._identifications.is_reserved
        found: list[UnknownCode] = []
        while len(found) < limit:
            rows = self._tables.unknown_codes(
                installation_id, before=before, limit=limit, now=self._clock()
            )
            if not rows:
                break
            found += [row for row in rows if not known(row.reservation_id)]
            before = rows[-1].number
        return found[:limit]

    def unknown_code(self, unknown_code_id: str) -> UnknownCode:
        """Return one that was presented within a day; raises UnknownCodeGoneError."""
        found = self._tables.unknown_code(unknown_code_id, now=self._clock())
        if found is None:
            raise UnknownCodeGoneError
        return found

    def add_from_unknown_code(
        self, context: Context, *, unknown_code_id: str, user_id: str
    ) -> Answer[str]:
        """Give a user what was presented, at the installation where it was; return its id.

        The same command answers the same, also once the code is not kept any more.
        """
        answer = self.add_presented(context, unknown_code_id=unknown_code_id, user_id=user_id)
        found = self._tables.unknown_code(unknown_code_id, now=self._clock())
        if found is not None:
            self._tables.forget_codes([found.reservation_id])
        return answer

    @command
    def add_presented(self, work: Work, *, unknown_code_id: str, user_id: str) -> str:
        """Record that; the code goes into sealed events alone."""
        found = self.unknown_code(unknown_code_id)
        holder = user.existing(work.load(user.evolve, user_id).state)
        wanted = Wanted(
            type=found.type, code=found.code, installation_id=found.installation_id, scanned=True
        )
        wanted_id = scan.presented_id(unknown_code_id, work.cause)
        return self._identifications.add(work, user_id, holder, wanted, identification_id=wanted_id)

    @command
    def add_scanned(self, work: Work, *, waiting: Scan, code: str) -> str:
        """Record what a scan has found."""
        holder = user.existing(work.load(user.evolve, waiting.user_id).state)
        wanted = Wanted(
            type=waiting.type, code=code, installation_id=waiting.installation_id, scanned=True
        )
        wanted_id = scan.identification_id(waiting.id)
        return self._identifications.add(
            work, waiting.user_id, holder, wanted, identification_id=wanted_id
        )

    def _present(self, waiting: Scan, code: str, at: int) -> Scan:
        """Return what becomes of a scan; raises UnavailableError, and then nothing has."""
        fingerprint = self._tables.fingerprint(code)
        context = Context(waiting.started_by, f"scan-{waiting.id}")
        try:
            codes.canonical(waiting.type, code, scanned=True)
            if not scan.is_confirmed(waiting, fingerprint, at):
                return scan.presented(waiting, fingerprint, at)
            added = self.add_scanned(context, waiting=waiting, code=code)
        except UnavailableError:
            raise
        except ChargekeyError as refused:
            return scan.refused(waiting, refused.code, str(refused))
        return scan.added(waiting, added.result, str(added.position))

    def _last(self, window: Window) -> Scan | None:
        last = window.last()
        return None if last is None else self._settled(last)

    def _settled(self, found: Scan) -> Scan:
        """Return it as added where it was, and only writing that down has failed."""
        if found.state not in ("WAITING", "PRESENT_AGAIN"):
            return found
        added = self.store.load(identification.evolve, scan.identification_id(found.id))
        if added.state is None:
            return found
        return scan.added(found, added.id, str(self.store.position()))


def _existing(found: Scan | None) -> Scan:
    if found is None:
        raise ScanUnknownError
    return found
