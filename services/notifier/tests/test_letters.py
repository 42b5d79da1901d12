"""What letters say, and that settings cannot slip anything into their headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_common.settings import load
from chargekey_notifier.mails.letters import LANGUAGES, letter, local_time, one_line
from chargekey_notifier.settings import NotifierSettings

NOON = 1_772_539_200_000_000_000  # 2026-03-03T12:00Z
BLOCKED = {"name": "Anna Berg", "site": "Home", "time": "2026-03-03"}
LINK = {"link": "https://charge.test/#t", "until": "2026-03-03"}
LETTERS = [
    ("user_blocked", "en", BLOCKED),
    ("user_blocked_lifted_since", "en", BLOCKED),
    *(
        (name, language, {**LINK, "site": "Home"})
        for name in ("invitation", "partner_invitation", "ownership_offer")
        for language in LANGUAGES
    ),
    *(("sign_in_link", language, LINK) for language in LANGUAGES),
]


@pytest.mark.parametrize(("name", "language", "words"), LETTERS)
def test_every_letter_says_the_same_in_text_and_in_html(
    name: str, language: str, words: dict[str, str]
) -> None:
    written = letter(name, words, language)
    assert f'lang="{language}"' in written.html
    assert not written.subject.startswith("Subject")
    for word in words.values():
        assert word in written.text
        assert word in written.html
    assert "$" not in written.subject + written.text + written.html


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
        "SECRET_FILE": "secret",
    }.items():
        monkeypatch.setenv(f"CHARGEKEY_NOTIFIER_{name}", value)
    with pytest.raises(SystemExit):
        load(NotifierSettings)
    assert capsys.readouterr().err.startswith("CHARGEKEY_NOTIFIER_ADMINISTRATOR_ADDRESS: ")
