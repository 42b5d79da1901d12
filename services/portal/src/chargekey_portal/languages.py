"""The languages of the pages: their catalogues, and which one somebody reads."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from babel import Locale, negotiate_locale
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

ENGLISH = "en"
# By their codes, each in its own words; the same that mails are written in.
LANGUAGES: Mapping[str, str] = {ENGLISH: "English", "nb": "Norsk bokmål"}
# What browsers send instead.
_ALIASES = {"no": "nb", "nn": "nb", "en": "en", "nb": "nb"}


def language_of(wanted: str) -> str:
    """Return the language for an `Accept-Language` header (RFC 9110 §12.5.4)."""
    ranked = sorted(map(_weighed, wanted.split(",")), key=lambda each: -each[0])
    asked = [tag for weight, tag in ranked if weight > 0]
    return negotiate_locale(asked, LANGUAGES, sep="-", aliases=_ALIASES) or ENGLISH


def _weighed(entry: str) -> tuple[float, str]:
    tag, _, weight = entry.partition(";q=")
    primary = tag.strip().lower().partition("-")[0]
    try:
        return float(weight or 1), _ALIASES.get(primary, primary)
    except ValueError:
        return 0, primary


@cache
def locale(language: str) -> Locale:
    """Return how numbers and dates are written in one of LANGUAGES."""
    return Locale.parse("en_GB" if language == ENGLISH else language)


@cache
def sentences(language: str) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Return what services say when they refuse, by its code: in English, and in the language.

    Several where services have a sentence of their own for one code; the longest first.
    """
    said: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for message in _read(language) if language != ENGLISH else ():
        if message.context and message.string:
            said[message.context].append((str(message.id), str(message.string)))
    return {code: sorted(each, key=lambda pair: -len(pair[0])) for code, each in said.items()}


@cache
def catalogue(language: str) -> NullTranslations:
    """Return what is said in one of LANGUAGES, compiled from `locales/` in memory."""
    if language == ENGLISH:
        return NullTranslations()
    compiled = io.BytesIO()
    write_mo(compiled, _read(language))
    compiled.seek(0)
    return Translations(compiled)


@cache
def _read(language: str) -> Catalog:
    source = files("chargekey_portal") / "locales" / language / "LC_MESSAGES" / "portal.po"
    return read_po(io.BytesIO(source.read_bytes()), locale=language)
