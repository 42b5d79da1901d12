"""What a shell is told when somebody presses the tabulator key."""

from __future__ import annotations

import functools
import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

from .running_system import here

SCRIPTS = sysconfig.get_path("scripts")
CHARGEKEY = str(Path(SCRIPTS) / "chargekey")
# What bash does: the words so far, the last one unfinished, and the command's function.
PRESS = """\
eval "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_chargekey_completion chargekey
printf '%s\\n' "${COMPREPLY[@]}"
"""


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PATH": os.pathsep.join([SCRIPTS, os.environ["PATH"]])} | more


@functools.cache
def sourced() -> str:
    """Return what bash reads when it starts."""
    return subprocess.run(
        [CHARGEKEY],
        capture_output=True,
        text=True,
        check=True,
        env=environment(_CHARGEKEY_COMPLETE="source_bash"),
        timeout=60,
    ).stdout


def offered(*words: str) -> list[str]:
    said = subprocess.run(
        ["bash", "-c", PRESS, "bash", sourced(), "chargekey", *words],  # noqa: S607 - the person's own
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
        timeout=60,
    )
    assert said.stderr == ""
    return said.stdout.split()


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        (["inst"], ["installation"]),
        (["permission", "grant", "--roles", "owner,u"], ["owner,user"]),
        (
            ["charger", "types", "CP", "--enable", "pin,"],
            ["pin,rfid", "pin,app", "pin,vehicle-id", "pin,sms", "pin,credit-card"],
        ),
    ],
)
def test_bash_is_offered_what_can_stand_there(words: list[str], completions: list[str]) -> None:
    assert offered(*words) == completions


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        (["permission", ""], ["grant", "change", "revoke", "list"]),
        (["authorize", "--ch"], ["--charger"]),
        (["authorize", "--charger", "CP", "--code", "#2468", "--ex"], ["--explain"]),
        (["permission", "grant", "--roles", "ow"], ["owner"]),
        (["charger", "set", "CP", "--authorisation", "re"], ["required"]),
        (["identification", "add", "--type", "p"], ["pin"]),
        (["identification", "change", "x", "--status", "b"], ["blocked"]),
        (["events", "--stream", "sess"], ["sessions"]),
        (["restored", "a"], ["access"]),
    ],
)
def test_what_can_stand_there_is_known_of_every_word(
    words: list[str], completions: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As bash asks, and without a process for each."""
    monkeypatch.setenv("_CHARGEKEY_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join(["chargekey", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    assert here(data=tmp_path) == (0, "".join(f"{each}\n" for each in completions), "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_answered_in_their_own_way(shell: str) -> None:
    def ask(instruction: str) -> str:
        return subprocess.run(
            [CHARGEKEY],
            capture_output=True,
            text=True,
            check=True,
            env=environment(
                _CHARGEKEY_COMPLETE=f"{instruction}_{shell}",
                _TYPER_COMPLETE_ARGS="chargekey permission grant --roles ow",
                _TYPER_COMPLETE_FISH_ACTION="get-args",
            ),
            timeout=60,
        ).stdout

    assert "owner" in ask("complete")
    assert f"complete_{shell}" in ask("source")


def test_completion_is_installed_where_the_shell_reads_it(tmp_path: Path) -> None:
    subprocess.run(
        ["bash", "-c", "chargekey --install-completion; exit"],  # noqa: S607 - as above
        check=True,
        capture_output=True,
        env=environment(HOME=str(tmp_path)),
        timeout=60,
    )
    assert "chargekey" in (tmp_path / ".bashrc").read_text()
