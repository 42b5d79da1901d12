"""Whose it is: from what a charger sends to the identification that it is the code of."""

from __future__ import annotations

from typing import Protocol

from chargekey_common.keyed_ids import CodeClass, KeyedId, KeyedIds, classify
from chargekey_gateway.inputs import Presented
from chargekey_gateway.view.entries import Charger, Identification, Installation, Quirks
from chargekey_gateway.view.past import Then

# A member of an enumeration costs a search where it is named.
_UID = CodeClass.UID


class Known(Protocol):
    """What finds identifications: the view, as it is or as it was."""

    def identification(self, keyed_id: KeyedId) -> Identification | None:
        """Return what is presented by the code of this keyed id."""

    def identifications_by_alias(self, alias: KeyedId) -> tuple[Identification, ...]:
        """Return every card whose number a truncating reader makes the same four bytes of."""


class Lookup:
    """Finds identifications in `view` by what is presented."""

    def __init__(self, view: Known, keyed_ids: KeyedIds) -> None:
        self._view = view
        self._keyed_ids = keyed_ids
        # Bound once: what everybody who taps pays for.
        self._of_card = keyed_ids.of_card
        self._identification = view.identification

    def __call__(self, charger: Charger, token: str) -> Presented:
        """Tell what `token` is at this charger."""
        if charger.quirks is not None:
            return self._by_strange_reader(charger, charger.quirks, token)
        known = self._identification(self._of_card(token))
        if known is not None:  # a card, whose reader sends its number as it is
            return Presented(token, _UID, _at(charger.installation, known))
        code_class, keyed_id = self._keyed_ids.of_token(token, charger.installation.id)
        known = self._identification(keyed_id)
        return Presented(token, code_class, _at(charger.installation, known))

    def then(self, then: Then, token: str) -> Presented:
        """Tell what `token` was at the charger that `then` is about."""
        return Lookup(then, self._keyed_ids)(then.charger, token)

    def _by_strange_reader(self, charger: Charger, quirks: Quirks, sent: str) -> Presented:
        token = undone(quirks, sent)
        code_class, keyed_id = self._keyed_ids.of_token(token, charger.installation.id)
        exact = self._view.identification(keyed_id)
        found: tuple[Identification, ...] = () if exact is None else (exact,)
        alias = self._keyed_ids.alias_of_token(token) if quirks.truncated else None
        if alias is not None:
            # A card of just this number may be there beside those that are cut to it.
            found = (*found, *self._view.identifications_by_alias(alias))
        if len(found) > 1:
            return Presented(token, code_class, None, ambiguous=True)
        known = _at(charger.installation, found[0] if found else None)
        shortened = known is not None and exact is None
        return Presented(token, code_class, known, shortened=shortened)


def _at(installation: Installation, known: Identification | None) -> Identification | None:
    """Return it, or None where it works at another site only: there it is unknown."""
    if known is None:
        return None
    site = known.terms.site
    return known if site is None or site is installation else None


def undone(quirks: Quirks, sent: str) -> str:
    """Return the card's own number where its reader made another of it.

    All the rest is as it was sent: what is typed, and what comes from a vehicle or an app.
    """
    number = sent
    if sent[: len(quirks.prefix)].upper() == quirks.prefix.upper():
        number = sent[len(quirks.prefix) :]
    code_class, canonical = classify(number)
    if code_class is not CodeClass.UID:
        return sent
    return bytes.fromhex(canonical)[::-1].hex().upper() if quirks.reversed else canonical
