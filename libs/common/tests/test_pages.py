"""Lists in pages, read key by key or by portions of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import pytest

from chargekey_common.pages import (
    PORTION,
    PageTokenMalformedError,
    page,
    page_of_portions,
    token_of,
)

KEYS = [str(number) for number in range(3 * PORTION)]


class Asked(msgspec.Struct):
    page_size: int = 0
    page_token: str = ""


@pytest.mark.parametrize("every", [1, 7, PORTION + 1, 4 * PORTION])
@pytest.mark.parametrize("size", [1, 100, 1000])
def test_pages_of_portions_are_those_of_single_keys(size: int, every: int) -> None:
    def entry(key: str) -> str | None:
        return None if int(key) % every else f"entry {key}"

    def entries(keys: Sequence[str]) -> Mapping[str, str]:
        return {key: told for key in keys if (told := entry(key)) is not None}

    asked, found = Asked(size), []
    while True:
        told = page_of_portions(asked, KEYS, entries)
        assert told == page(asked, KEYS, entry)
        found += told.entries
        asked.page_token = told.next_token
        if not told.next_token:
            break
    assert found == [f"entry {key}" for key in KEYS if not int(key) % every]


def test_no_more_is_asked_for_than_a_page_needs_nor_than_a_portion_at_once() -> None:
    asked_of: list[int] = []

    def nobody(keys: Sequence[str]) -> Mapping[str, str]:
        asked_of.append(len(keys))
        return {}

    def everybody(keys: Sequence[str]) -> Mapping[str, str]:
        asked_of.append(len(keys))
        return dict.fromkeys(keys, "")

    page_of_portions(Asked(50), KEYS, everybody)
    assert asked_of == [51]
    page_of_portions(Asked(50), KEYS, nobody)
    assert max(asked_of) == PORTION
    assert sum(asked_of) == 51 + len(KEYS)


def test_a_token_of_another_list_is_refused() -> None:
    asked = Asked(50, token_of("nowhere"))
    with pytest.raises(PageTokenMalformedError):
        page_of_portions(asked, KEYS, lambda keys: dict.fromkeys(keys, ""))
