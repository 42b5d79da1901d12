"""What can be done to chargers."""

from __future__ import annotations

from collections.abc import Sequence

from chargekey_access.application import holding, operators
from chargekey_access.domain import charger, installation
from chargekey_access.domain.charger import ReaderQuirks
from chargekey_access.domain.errors import (
    ChargerPasswordReplacedError,
    PaymentOperatorConnectedError,
)
from chargekey_access.domain.events import IdentificationType, Override
from chargekey_access.domain.permission import Target
from chargekey_access.projections.directory import Directory
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.eventstore.store import EventStore, Work, command


class Chargers:
    """The commands about chargers."""

    def __init__(
        self, store: EventStore, passwords: ChargerPasswords, directory: Directory
    ) -> None:
        self.store = store
        self._passwords = passwords
        self._directory = directory

    @command
    def add_charger(self, work: Work, *, installation_id: str, ocpp_identity: str) -> str:
        """Register a charger and return its id, which follows from its OCPP identity."""
        installation.existing(work.load(installation.evolve, installation_id).state)
        identity = charger.ocpp_identity(ocpp_identity)
        loaded = work.load(charger.evolve, charger.charger_id(identity))
        password = self._passwords.derive(loaded.id, work.cause)
        events = charger.add(
            loaded.state,
            installation_id=installation_id,
            ocpp_identity=identity,
            password_hash=self._passwords.hash(loaded.id, password),
        )
        work.record(loaded, *events)
        return loaded.id

    @command
    def replace_charger_password(self, work: Work, *, charger_id: str) -> None:
        """Give a charger another password, whoever may know the one before."""
        loaded = work.load(charger.evolve, charger_id)
        password = self._passwords.derive(loaded.id, work.cause)
        password_hash = self._passwords.hash(loaded.id, password)
        work.record(loaded, *charger.replace_password(loaded.state, password_hash))

    def password(self, charger_id: str, command_id: str) -> str:
        """Return the charger's password, which this command gave it.

        Raises ChargerPasswordReplacedError where it is not its password, or no longer.
        """
        state = charger.existing(self.store.load(charger.evolve, charger_id).state)
        password = self._passwords.derive(charger_id, command_id)
        if not self._passwords.matches(charger_id, password, state.password_hash):
            raise ChargerPasswordReplacedError
        return password

    @command
    def move_charger(self, work: Work, *, charger_id: str, installation_id: str) -> None:
        """Put an idle charger at another site; what was given on it alone is taken away (R11)."""
        installation.existing(work.load(installation.evolve, installation_id).state)
        loaded = work.load(charger.evolve, charger_id)
        moved = charger.move(loaded.state, installation_id)
        if not moved:
            return
        # Also on what is there in its name already, by who gave it while it was moved away.
        left = charger.existing(loaded.state).installation_id
        for target in (Target(left, charger_id), Target(installation_id, charger_id)):
            for _, permission in self._directory.holdings.on(target):
                held = holding.held(work, permission.subject, target)
                if held.state is not None and held.state.holds:  # still, by now
                    holding.take(work, held)
        work.record(loaded, *moved)

    @command
    def set_authorisation_override(
        self,
        work: Work,
        *,
        charger_id: str,
        override: Override,
        instead_of: Override | None = None,
    ) -> None:
        """Let a charger deviate from its site.

        Raises PaymentOperatorConnectedError, which says whom to ask (R2).
        """
        loaded = work.load(charger.evolve, charger_id)
        state = charger.existing(loaded.state)
        site = installation.existing(work.load(installation.evolve, state.installation_id).state)
        if not site.overrides_count:
            raise PaymentOperatorConnectedError(operators.whom_to_ask(work, site))
        events = charger.set_authorisation_override(state, override, instead_of=instead_of)
        work.record(loaded, *events)

    @command
    def set_identification_types(
        self,
        work: Work,
        *,
        charger_id: str,
        types: Sequence[IdentificationType],
        instead_of: Sequence[IdentificationType] | None = None,
    ) -> None:
        """Say what a charger accepts."""
        loaded = work.load(charger.evolve, charger_id)
        events = charger.set_identification_types(loaded.state, types, instead_of=instead_of)
        work.record(loaded, *events)

    @command
    def set_reader_quirks(
        self,
        work: Work,
        *,
        charger_id: str,
        quirks: ReaderQuirks,
        instead_of: ReaderQuirks | None = None,
    ) -> None:
        """Say how a charger's reader deviates."""
        loaded = work.load(charger.evolve, charger_id)
        events = charger.set_reader_quirks(loaded.state, quirks, instead_of=instead_of)
        work.record(loaded, *events)
