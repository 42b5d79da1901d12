"""Caught mails as they are shown: in order, whole, and only those that are there."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest

from chargekey_common.caught_mails import MailUnknownError, caught, caught_mail

LINK = "https://charge.example/sign-in#" + "a" * 100


def put(directory: Path, mail_id: int, subject: str) -> None:
    mail = EmailMessage()
    mail["To"], mail["Subject"] = "kari@people.example", subject
    mail.set_content(f"Ærlig talt:\n\n{LINK}\n")
    mail.add_alternative("<p>Ærlig talt</p>", subtype="html")
    (directory / f"{mail_id}.eml").write_bytes(bytes(mail))


def test_mails_are_listed_by_when_they_came_and_shown_with_whole_links(tmp_path: Path) -> None:
    """M18."""
    for mail_id, subject in ((1000, "second"), (999, "første")):
        put(tmp_path, mail_id, subject)
    (tmp_path / "1.part").write_text("half of one")
    assert [each.subject for each in caught(tmp_path)] == ["første", "second"]
    shown = caught_mail(tmp_path, "999")
    assert (shown.to, shown.text) == ("kari@people.example", f"Ærlig talt:\n\n{LINK}")


@pytest.mark.parametrize("mail_id", ["", "1", "x", "../mail/999", "999.eml", "-999", "٩٩٩"])
def test_what_is_no_mail_is_not_read(tmp_path: Path, mail_id: str) -> None:
    """M18."""
    directory = tmp_path / "mail"
    directory.mkdir()
    put(directory, 999, "one")
    with pytest.raises(MailUnknownError):
        caught_mail(directory, mail_id)
