"""Pages are in every language, whole, and in the one that somebody reads."""

from __future__ import annotations

import io
import re
import time
from http import HTTPStatus
from importlib.resources import files

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po

from chargekey_common.errors import ManagedByThirdPartyError
from chargekey_portal import words
from chargekey_portal.languages import LANGUAGES, language_of
from chargekey_portal.refusals import Refusal

from .outline import Outline
from .portal import Portal

PLACEHOLDER = re.compile(r"%\(\w+\)s|`[^`]+`")
OTHERS = [language for language in LANGUAGES if language != "en"]


def messages(language: str) -> list[Message]:
    """Return what the catalogue has; `make check` holds it against what pages say."""
    source = files("chargekey_portal") / "locales" / language / "LC_MESSAGES" / "portal.po"
    return [each for each in read_po(io.BytesIO(source.read_bytes())) if each.id]


@pytest.mark.parametrize("language", OTHERS)
def test_everything_is_translated_and_keeps_what_is_filled_in(language: str) -> None:
    found = messages(language)
    assert len(found) > 500
    for each in found:
        says = each.id if each.pluralizable else [each.id]
        told = each.string if each.pluralizable else [each.string]
        assert len(told) == len(says)
        for english, other in zip(says, told, strict=True):
            assert other, english
            assert set(PLACEHOLDER.findall(other)) == set(PLACEHOLDER.findall(english)), english


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("nb", "nb"),
        ("no", "nb"),
        ("nn-NO,nn;q=0.9", "nb"),
        ("nb-NO,nb;q=0.9,en;q=0.8", "nb"),
        ("en-GB,nb;q=0.9", "en"),
        ("nb;q=0.1,en;q=0.9", "en"),
        ("nb;q=0,en", "en"),
        ("de,fr;q=0.9,nb;q=0.2", "nb"),
        ("de", "en"),
        ("*", "en"),
        ("nb;q=much", "en"),
        (",;q=,;;", "en"),
    ],
)
def test_the_language_is_the_one_that_the_browser_likes_best(accepted: str, language: str) -> None:
    assert language_of(accepted) == language


def test_a_moment_of_today_is_told_by_its_time_alone() -> None:
    written = words.filters("en")
    now = time.time_ns()
    earlier = now - 3 * 24 * 3600 * 10**9
    assert re.fullmatch("[0-9]{2}:[0-9]{2}", written["clock"](now, "Europe/Oslo"))
    assert written["clock"](earlier, "Europe/Oslo") == written["moment"](earlier, "Europe/Oslo")


def test_a_refusal_is_translated_and_keeps_what_only_its_occasion_knows() -> None:
    """R3: whom to contact."""
    managed = f"{ManagedByThirdPartyError.sentence} Volt, help@volt.example"
    told = words.filters("nb")["sentence"](
        Refusal(HTTPStatus.CONFLICT, "managed_by_third_party", managed)
    )
    assert told.endswith(" Volt, help@volt.example")
    assert "operator manages" not in told
    strange = Refusal(HTTPStatus.CONFLICT, "no_such_code", "Whatever.")
    assert words.filters("nb")["sentence"](strange) == "Whatever."
    assert (
        words.filters("en")["sentence"](
            Refusal(HTTPStatus.CONFLICT, "managed_by_third_party", managed)
        )
        == managed
    )


async def test_a_page_is_in_the_language_of_the_browser_until_another_is_chosen(
    served: Portal,
) -> None:
    norwegian = {"Host": "localhost", "Accept-Language": "nb-NO,nb;q=0.9,en;q=0.8"}
    page = Outline((await served.ask("GET", "/sign-in", norwegian)).body)
    assert page.all("html") == [{"lang": "nb"}]
    assert "Logg inn" in page.text
    chosen = served.cookie(language="en") | {"Accept-Language": "nb"}
    page = Outline((await served.ask("GET", "/sign-in", chosen)).body)
    assert page.all("html") == [{"lang": "en"}]
    refused = Outline((await served.ask("GET", "/nowhere", norwegian)).body)
    assert "Kode: not_found" in refused.text
