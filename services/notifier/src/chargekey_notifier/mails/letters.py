"""What a mail says: a template's words with names put in, as text and as HTML.

A letter is `templates/<language>/<name>.txt`, which begins with its subject. The HTML is
made of the same words: a paragraph for each, an address that stands alone as a link. Names
come from people: no character of one ends a line, a header or a tag.
"""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Mapping
from importlib.resources import files
from string import Template

import msgspec

from chargekey_common import local_days
from chargekey_notifier.mails.phrases import PHRASES, Phrases

ENGLISH = "en"
LANGUAGES = tuple(PHRASES)
_TEMPLATES = files("chargekey_notifier.mails") / "templates"
_UNSUBSCRIBE = "unsubscribe"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Letter(msgspec.Struct, frozen=True):
    """A mail without its addresses."""

    subject: str
    text: str
    html: str


def known(language: str) -> str:
    """Return the language letters are written in for who wants this one: English, if none."""
    return language if language in LANGUAGES else ENGLISH


def phrases(language: str) -> Phrases:
    """Return the words inside letters in the language."""
    return PHRASES[known(language)]


def letter(
    name: str, words: Mapping[str, str], language: str = ENGLISH, *, unsubscribe: str | None = None
) -> Letter:
    """Return the letter `name` with `words` in it; every word the template asks for is there.

    With the address by which no more of its kind come, where there is one.
    """
    head, _, body = _template(language, name).partition("\n\n")
    paragraphs = body.strip().split("\n\n")
    plain = {key: one_line(word) for key, word in words.items()}
    if unsubscribe is not None:
        paragraphs += _template(language, _UNSUBSCRIBE).strip().split("\n\n")
        plain["unsubscribe"] = unsubscribe
    subject = Template(head.removeprefix("Subject: ")).substitute(plain)
    return Letter(
        subject=subject,
        text="\n\n".join(Template(each).substitute(plain) for each in paragraphs) + "\n",
        html=_page(known(language), subject, [_paragraph(each, plain) for each in paragraphs]),
    )


def one_line(text: str) -> str:
    """Return `text` with a single space for every run of what does not print."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def local_time(at: int, time_zone: str, language: str = ENGLISH) -> str:
    """Return `at` (ns) as people of the zone say it; in UTC where the zone is unknown here."""
    moment, zone = _local(at, time_zone)
    return f"{moment.strftime(phrases(language).time)} ({zone})"


def last_day(until: int, time_zone: str) -> str:
    """Return the last local day before the exclusive end `until` (ns)."""
    return f"{_local(until - 1, time_zone)[0]:%Y-%m-%d}"


def _local(at: int, time_zone: str) -> tuple[dt.datetime, str]:
    moment = _EPOCH + dt.timedelta(microseconds=at // 1000)
    try:
        zone = local_days.time_zone(time_zone)
    except local_days.TimeZoneUnknownError:
        return moment, "UTC"
    return moment.astimezone(zone), zone.key


def _template(language: str, name: str) -> str:
    return (_TEMPLATES / known(language) / f"{name}.txt").read_text(encoding="utf-8")


def _paragraph(paragraph: str, words: Mapping[str, str]) -> str:
    said = html.escape(Template(paragraph).substitute(words))
    alone = paragraph in ("$link", "$unsubscribe")
    return f'<p><a href="{said}">{said}</a></p>' if alone else f"<p>{said}</p>"


def _page(language: str, subject: str, paragraphs: list[str]) -> str:
    return "\n".join(
        (
            "<!DOCTYPE html>",
            f'<html lang="{language}">',
            f'<head><meta charset="utf-8"><title>{html.escape(subject)}</title></head>',
            "<body>",
            *paragraphs,
            "</body>",
            "</html>",
            "",
        )
    )
