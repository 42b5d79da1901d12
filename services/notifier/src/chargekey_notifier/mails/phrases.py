"""Words inside letters that depend on what they tell of, by language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from chargekey.access.v1 import permissions_pb2
from chargekey.identity.v1 import identifications_pb2


class Phrases(msgspec.Struct, frozen=True):
    """One language's; `{}` is what goes in."""

    time: str
    charger_at: str
    everywhere: str
    no_end: str
    ends: str
    roles: Mapping[int, str]
    identifications: Mapping[int, str]


PHRASES: Mapping[str, Phrases] = {
    "en": Phrases(
        time="%Y-%m-%d at %H:%M",
        charger_at="the charger {} at {}",
        everywhere="all sites",
        no_end="It has no end.",
        ends="It ends after {}.",
        roles={
            permissions_pb2.ROLE_OWNER: "manage it as an owner",
            permissions_pb2.ROLE_USER: "charge",
            permissions_pb2.ROLE_SERVICE: "look after it as a service partner",
            permissions_pb2.ROLE_OPERATOR: "operate it",
        },
        identifications={
            identifications_pb2.IDENTIFICATION_TYPE_RFID: "charge card",
            identifications_pb2.IDENTIFICATION_TYPE_PIN: "PIN",
            identifications_pb2.IDENTIFICATION_TYPE_APP: "access by the app",
            identifications_pb2.IDENTIFICATION_TYPE_VEHICLE_ID: "vehicle's identification",
            identifications_pb2.IDENTIFICATION_TYPE_SMS: "telephone number",
            identifications_pb2.IDENTIFICATION_TYPE_CREDIT_CARD: "bank card",
        },
    ),
    "nb": Phrases(
        time="%Y-%m-%d kl. %H:%M",
        charger_at="laderen {} ved {}",
        everywhere="alle anlegg",
        no_end="Den har ingen sluttdato.",
        ends="Den varer til og med {}.",
        roles={
            permissions_pb2.ROLE_OWNER: "styre det som eier",
            permissions_pb2.ROLE_USER: "lade",
            permissions_pb2.ROLE_SERVICE: "ta hånd om det som servicepartner",
            permissions_pb2.ROLE_OPERATOR: "drifte det",
        },
        identifications={
            identifications_pb2.IDENTIFICATION_TYPE_RFID: "ladebrikken",
            identifications_pb2.IDENTIFICATION_TYPE_PIN: "PIN-koden",
            identifications_pb2.IDENTIFICATION_TYPE_APP: "tilgangen gjennom appen",
            identifications_pb2.IDENTIFICATION_TYPE_VEHICLE_ID: "bilens identifikasjon",
            identifications_pb2.IDENTIFICATION_TYPE_SMS: "telefonnummeret",
            identifications_pb2.IDENTIFICATION_TYPE_CREDIT_CARD: "bankkortet",
        },
    ),
}


def listed(known: Mapping[int, str], numbers: Sequence[int]) -> str:
    """Return the words of these, in the table's order."""
    return ", ".join(word for number, word in known.items() if number in numbers)
