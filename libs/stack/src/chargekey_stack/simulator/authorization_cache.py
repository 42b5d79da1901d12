"""The authorization cache of a charger: what the gateway last said of whom."""

from __future__ import annotations

from collections.abc import Mapping

from chargekey_stack.simulator.values import NO_AUTHORIZATION, Token, Verdict

# 2.0.1 C02.FR.03, C05.FR.02: what nobody presented is nobody's.
NEVER_CACHED = frozenset({NO_AUTHORIZATION, "Central"})


class AuthorizationCache:
    """The newest verdicts, the oldest of which make room."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._verdicts: dict[tuple[str, str], Verdict] = {}

    @property
    def verdicts(self) -> Mapping[tuple[str, str], Verdict]:
        """What is held, by the keys of tokens, the oldest first."""
        return self._verdicts

    def verdict(self, token: Token) -> Verdict | None:
        """Return what was last said of a token, if it is still known."""
        return self._verdicts.get(token.key)

    def learn(self, token: Token, verdict: Verdict) -> None:
        """Remember what was said just now."""
        if token.type in NEVER_CACHED:
            return
        self._verdicts.pop(token.key, None)
        self._verdicts[token.key] = verdict
        if len(self._verdicts) > self._capacity:
            del self._verdicts[next(iter(self._verdicts))]

    def clear(self) -> None:
        """Forget all (1.6 §5.4, 2.0.1 C11)."""
        self._verdicts.clear()
