"""What letters say, and that settings cannot slip anything into their headers."""

from __future__ import annotations

from importlib.resources import files
from string import Template
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey.access.v1.permissions_pb2 import Role
from chargekey.identity.v1.identifications_pb2 import IdentificationType
from chargekey_common.settings import load
from chargekey_notifier.mails.kinds import Kind
from chargekey_notifier.mails.letters import LANGUAGES, last_day, letter, local_time, one_line
from chargekey_notifier.mails.phrases import PHRASES
from chargekey_notifier.settings import NotifierSettings

NOON = 1_772_539_200_000_000_000  # 2026-03-03T12:00Z
LINK = {"link": "https://charge.test/#t", "until": "2026-03-03"}
TEMPLATES = files("chargekey_notifier.mails") / "templates"
NAMES = sorted(
    each.name.removesuffix(".txt")
    for each in (TEMPLATES / "en").iterdir()
    if each.name != "unsubscribe.txt"
)
# Letters of another name than their kind of mail's.
OTHERS = {"user_blocked_lifted_since", "partner_invitation", "ownership_offer"}
# To people about sites that they may never have heard of.
OF_STRANGERS = {
    "invitation",
    "partner_invitation",
    "ownership_offer",
    "ownership_offered",
    "permission_given",
    "permission_changed",
    "permission_removed",
    "access_request_approved",
    "access_request_denied",
    "blocked_at_site",
}
EVIL = "<b>\r\nBcc: thief@evil.test</b>" + "x" * 1000


def _language() -> Any:
    return NotifierSettings.model_fields["administrator_language"].annotation


def asked(name: str, language: str) -> set[str]:
    """Return the words that a template asks for."""
    return set(
        Template((TEMPLATES / language / f"{name}.txt").read_text("utf-8")).get_identifiers()
    )


def test_there_is_a_letter_for_every_kind_of_mail_in_every_language() -> None:
    """M17: and the languages are those that people can choose."""
    assert set(NAMES) == {*get_args(Kind), *OTHERS}
    for language in LANGUAGES:
        found = {each.name for each in (TEMPLATES / language).iterdir()}
        assert found == {f"{name}.txt" for name in (*NAMES, "unsubscribe")}
    assert set(LANGUAGES) == set(PHRASES) == set(get_args(_language()))


@pytest.mark.parametrize("name", NAMES)
def test_every_letter_asks_for_the_same_words_in_every_language(name: str) -> None:
    """M17."""
    assert len({frozenset(asked(name, language)) for language in LANGUAGES}) == 1


def test_the_words_in_letters_are_the_same_in_every_language() -> None:
    """M17: every role, and everything that can be presented."""
    for each in PHRASES.values():
        assert set(each.roles) == set(Role.values()) - {0}
        assert set(each.identifications) == set(IdentificationType.values()) - {0}
        assert (each.charger_at.count("{}"), each.ends.count("{}")) == (2, 1)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_every_letter_says_the_same_in_text_and_in_html(name: str, language: str) -> None:
    """M17: and says why it comes, and by what link no more of them do."""
    words = {each: f"<{each}>" for each in asked(name, language)}
    written = letter(name, words, language, unsubscribe="https://partners.test/u?a&b")
    assert f'lang="{language}"' in written.html
    assert written.subject
    assert not written.subject.startswith("Subject")
    for word in words.values():
        assert word in written.text + written.subject
        assert word not in written.html
        assert word.replace("<", "&lt;").replace(">", "&gt;") in written.html
    link = "https://partners.test/u?a&amp;b"
    assert f'<a href="{link}">{link}</a>' in written.html
    assert written.text.endswith("\nhttps://partners.test/u?a&b\n")
    assert "$" not in written.subject + written.text + written.html
    assert len(written.subject) < 100


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_no_name_ends_a_line_a_header_or_a_tag(name: str, language: str) -> None:
    """M17."""
    words = dict.fromkeys(asked(name, language), EVIL)
    written = letter(name, words, language)
    assert "\n" not in written.subject
    assert "<b>" not in written.html
    assert "\nBcc" not in written.text
    if name in OF_STRANGERS:
        assert "evil" not in written.subject


@pytest.mark.parametrize(
    ("language", "subject"),
    [("en", "You are invited to charge"), ("nb", "Du er invitert til å lade")],
)
def test_strangers_write_nothing_into_the_subject_of_an_invitation(
    language: str, subject: str
) -> None:
    words = {**LINK, "site": "YOU WON evil.example"}
    written = letter("invitation", words, language)
    assert written.subject == subject
    assert "evil" not in written.html.partition("<body>")[0]


@given(st.text())
def test_a_name_is_one_printable_line(name: str) -> None:
    assert one_line(name).isprintable()
    assert one_line(one_line(name)) == one_line(name)


def test_times_are_told_in_the_sites_zone_and_in_utc_where_that_is_unknown() -> None:
    assert local_time(NOON, "Europe/Oslo") == "2026-03-03 at 13:00 (Europe/Oslo)"
    assert local_time(NOON, "Europe/Atlantis") == "2026-03-03 at 12:00 (UTC)"
    assert local_time(NOON, "Europe/Oslo", "nb") == "2026-03-03 kl. 13:00 (Europe/Oslo)"


def test_the_last_day_is_the_one_before_an_exclusive_end_in_the_zone() -> None:
    """R18, M8."""
    midnight_in_oslo = NOON + 11 * 3600 * 10**9
    assert last_day(midnight_in_oslo, "Europe/Oslo") == "2026-03-03"
    assert last_day(midnight_in_oslo + 1, "Europe/Oslo") == "2026-03-04"


@pytest.mark.parametrize(
    "address", ["", "admin", "a b@c", "a@b\nBcc: c@d", "a@b,c@d", "a,b@c", "<a@b>", "a@b\n"]
)
def test_an_address_that_is_none_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    for name, value in {
        "DATA": "var",
        "NATS_URL": "nats://localhost",
        "ACCOUNTS": "accounts",
        "ACCOUNT_KEY_FILE": "key",
        "IDENTITY_ADDRESS": "localhost:1",
        "ACCESS_ADDRESS": "localhost:2",
        "SMTP_ADDRESS": "localhost:3",
        "SENDER_ADDRESS": "chargekey@chargekey.test",
        "ADMINISTRATOR_ADDRESS": address,
        "PORTAL_URL": "https://charge.test",
        "GATEWAY_ADDRESS": "localhost:4",
        "HTTP_ADDRESS": "localhost:5",
        "PUBLIC_URL": "https://partners.test",
        "PARTNERS_NATS_URL": "nats://partners.test",
        "NATS_ISSUER_FILE": "issuer",
        "SECRET_FILE": "secret",
    }.items():
        monkeypatch.setenv(f"CHARGEKEY_NOTIFIER_{name}", value)
    with pytest.raises(SystemExit):
        load(NotifierSettings)
    assert capsys.readouterr().err.startswith("CHARGEKEY_NOTIFIER_ADMINISTRATOR_ADDRESS: ")
