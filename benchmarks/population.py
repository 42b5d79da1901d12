"""People, cards, chargers and permissions, as many as wanted and always the same."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import msgspec

from chargekey_common.keyed_ids import CodeClass, KeyedId, KeyedIds
from chargekey_common.published import access, identity
from chargekey_common.published.envelope import PublishedEvent

KEYED_IDS = KeyedIds(b"a secret for figures only")
# So that numbers come out in another order, and each once.
_ODD = 0x9E3779B97F4B


class Population(msgspec.Struct, frozen=True):
    """So many users hold the cards by turns; every user may charge at one installation.

    Every tenth of them at one charger there alone. Chargers stand at the installations by turns.
    """

    identifications: int
    users: int
    chargers: int
    installations: int

    @classmethod
    def of(cls, identifications: int, *, chargers: int = 1_000) -> Population:
        """Return one with two cards a user and ten chargers an installation."""
        return cls(identifications, max(1, identifications // 2), chargers, max(1, chargers // 10))

    def user_id(self, number: int) -> str:
        """Return the user's id."""
        return _id(1, number % self.users)

    def holder(self, identification: int) -> int:
        """Return the number of the user who holds it."""
        return identification % self.users

    def identification_id(self, number: int) -> str:
        """Return the identification's id."""
        return _id(2, number)

    def charger_id(self, number: int) -> str:
        """Return the charger's id."""
        return _id(3, number)

    def installation_id(self, number: int) -> str:
        """Return the installation's id."""
        return _id(4, number % self.installations)

    def ocpp_identity(self, charger: int) -> str:
        """Return the name under which the charger connects."""
        return f"CP-{charger:07}"

    def card(self, identification: int) -> str:
        """Return the card's number: 7 bytes, as chargers send it, of which the first few vary."""
        return f"04{identification * _ODD % 2**48:012X}"

    def keyed_id(self, identification: int) -> KeyedId:
        """Return what the identification is found by."""
        return KEYED_IDS.of(CodeClass.UID, self.card(identification), "")

    def charger_of(self, identification: int) -> int:
        """Return the number of a charger where its holder may charge."""
        user = self.holder(identification)
        stands = user % self.installations
        beside = self.chargers // self.installations
        return stands + self.installations * (user // self.installations % beside)

    def access_events(self) -> Iterator[PublishedEvent]:
        """Tell of installations, chargers and permissions."""
        for number in range(self.installations):
            yield access.InstallationCreated(
                installation_id=self.installation_id(number),
                name=f"Site {number}",
                time_zone="Europe/Oslo",
                authorisation_required=True,
            )
        for number in range(self.chargers):
            yield access.ChargerAdded(
                installation_id=self.installation_id(number),
                charger_id=self.charger_id(number),
                ocpp_identity=self.ocpp_identity(number),
                authorisation_override="INHERIT",
                identification_types=("RFID", "PIN"),
            )
        for number in range(self.users):
            on_charger = number % 10 == 0
            yield access.PermissionGranted(
                installation_id=self.installation_id(number),
                permission_id=_id(5, number),
                user_id=self.user_id(number),
                charger_id=self.charger_id(self.charger_of(number)) if on_charger else None,
                roles=("USER",),
            )

    def identity_events(self) -> Iterator[PublishedEvent]:
        """Tell of cards, each key before its identification."""
        for key, added in self.cards():
            yield key
            yield added

    def cards(self) -> Iterator[tuple[identity.IdentificationKey, identity.IdentificationAdded]]:
        """Tell of cards, each with its key."""
        for number in range(self.identifications):
            keyed_id = self.keyed_id(number)
            alias = KEYED_IDS.alias_of(CodeClass.UID, self.card(number))
            identification_id = self.identification_id(number)
            key = identity.IdentificationKey(
                identification_id=identification_id,
                keyed_id=keyed_id.hex(),
                alias="" if alias is None else alias.hex(),
            )
            added = identity.IdentificationAdded(
                identification_id=identification_id,
                user_id=self.user_id(self.holder(number)),
                type="RFID",
                status="ACTIVE",
            )
            yield key, added


def _id(kind: int, number: int) -> str:
    return str(uuid.UUID(int=kind << 120 | 4 << 76 | 2 << 62 | number))
