"""Who may charge by what the charger itself knows: its list, its cache, its settings."""

from __future__ import annotations

from chargekey_stack.simulator.authorization_cache import AuthorizationCache
from chargekey_stack.simulator.local_list import LocalList
from chargekey_stack.simulator.settings import Meaning, Settings
from chargekey_stack.simulator.values import ACCEPTED, INVALID, Token, Verdict


def known(
    token: Token, at: int, settings: Settings, local_list: LocalList, cache: AuthorizationCache
) -> Verdict | None:
    """Return what is known here of a token at `at`: the list beats the cache (1.6 §3.5.3)."""
    verdict = local_list.verdict(token) if settings.on(Meaning.LIST) else None
    if verdict is None and settings.on(Meaning.CACHE):
        verdict = cache.verdict(token)
    return None if verdict is None else verdict.at(at)


def online(settings: Settings, verdict: Verdict | None) -> Verdict | None:
    """Return what need not be asked while connected, by what is known.

    Only who is accepted here starts at once (LocalPreAuthorize); of everybody else the
    gateway may know better (1.6 §3.5.1).
    """
    if settings.on(Meaning.PRE_AUTHORIZE) and verdict is not None and verdict.status == ACCEPTED:
        return verdict
    return None


def offline(settings: Settings, verdict: Verdict | None) -> Verdict:
    """Return who may charge while nobody can be asked, by what is known (1.6 §3.5.2).

    Whoever is known and not accepted may not, whatever is allowed to the unknown.
    """
    if verdict is not None:
        return verdict if settings.on(Meaning.AUTHORIZE_OFFLINE) else Verdict(INVALID)
    return Verdict(ACCEPTED if settings.on(Meaning.UNKNOWN_OFFLINE) else INVALID)
