"""What a mail says: a template's words with names put in, as text and as HTML.

A letter is `templates/<language>/<name>.txt`, which begins with its subject, and the
same with `.html`. Names come from people: no character of one ends a line, a header or
a tag.
"""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Template

import msgspec

from chargekey_common import local_days

ENGLISH = "en"
LANGUAGES = (ENGLISH, "nb")
_TEMPLATES = files("chargekey_notifier.mails") / "templates"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Letter(msgspec.Struct, frozen=True):
    """A mail without its addresses."""

    subject: str
    text: str
    html: str


def letter(name: str, words: Mapping[str, str], language: str = ENGLISH) -> Letter:
    """Return the letter `name` with `words` in it; every word the template asks for is there.

    In English where letters are not written in the language.
    """
    place = _TEMPLATES / (language if language in LANGUAGES else ENGLISH)
    plain = {key: one_line(word) for key, word in words.items()}
    escaped = {key: html.escape(word) for key, word in plain.items()}
    head, _, text = _template(place / f"{name}.txt").substitute(plain).partition("\n\n")
    return Letter(
        subject=head.removeprefix("Subject: "),
        text=text,
        html=_template(place / f"{name}.html").substitute(escaped),
    )


def one_line(text: str) -> str:
    """Return `text` with a single space for every run of what does not print."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def local_time(at: int, time_zone: str) -> str:
    """Return `at` (ns) as people of the zone say it; in UTC where the zone is unknown here."""
    moment = _EPOCH + dt.timedelta(microseconds=at // 1000)
    try:
        zone = local_days.time_zone(time_zone)
    except local_days.TimeZoneUnknownError:
        return f"{moment:%Y-%m-%d at %H:%M} (UTC)"
    return f"{moment.astimezone(zone):%Y-%m-%d at %H:%M} ({zone.key})"


def _template(file: Traversable) -> Template:
    return Template(file.read_text(encoding="utf-8"))
