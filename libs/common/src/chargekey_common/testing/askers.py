"""In whose name hosts are looked up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chargekey_common.host_names import IpAddress, Names


def noted_askers(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return who has had names looked up since, and goes on being noted."""
    noted: set[str] = set()
    addresses = Names.addresses

    async def noting(names: Names, host: str, asker: str) -> Sequence[IpAddress]:
        noted.add(asker)
        return await addresses(names, host, asker)

    monkeypatch.setattr(Names, "addresses", noting)
    return noted
