"""Which charger of an installation a form is about: chosen, or typed where there are many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from fastapi import Depends

from chargekey.access.v1 import chargers_pb2
from chargekey_common.pages import every
from chargekey_portal.forms import Text
from chargekey_portal.names import MOST, chargers
from chargekey_portal.refusals import CHARGER_UNKNOWN, RefusedError
from chargekey_portal.visitors import Visitor


class Offered(msgspec.Struct, frozen=True):
    """The OCPP identities of the chargers that a form offers, by their ids."""

    names: Mapping[str, str]
    # There are others, so that it is typed.
    more: bool = False


class Chosen(msgspec.Struct, frozen=True):
    """What the form says: an id, or what was typed in its place; neither, of no charger."""

    charger_id: str = ""
    ocpp_identity: str = ""

    async def at(self, visitor: Visitor, installation_id: str) -> str:
        """Return the id; raises RefusedError where none there connects as was typed."""
        typed = self.ocpp_identity.strip()
        if not typed:
            return self.charger_id
        asked = chargers_pb2.ListChargersRequest(
            installation_id=installation_id, search=typed, page_size=MOST
        )
        found = await every(visitor.services.chargers.ListChargers, asked, "chargers")
        for each in found:
            if each.ocpp_identity == typed:
                return str(each.id)
        raise RefusedError(CHARGER_UNKNOWN)


def chosen(charger: Text = "", ocpp_identity: Text = "") -> Chosen:
    """Return what the form says."""
    return Chosen(charger, ocpp_identity)


IsChosen = Annotated[Chosen, Depends(chosen)]


async def offered(visitor: Visitor, installation_id: str, *charger_ids: str) -> Offered:
    """Return the installation's first MOST chargers, and these."""
    asked = chargers_pb2.ListChargersRequest(installation_id=installation_id, page_size=MOST)
    answer = await visitor.services.chargers.ListChargers(asked)
    first = {each.id: each.ocpp_identity for each in answer.chargers}
    rest = [each for each in charger_ids if each not in first]
    names = {**first, **await chargers(visitor, installation_id, rest)}
    return Offered(names, more=bool(answer.next_page_token))
