"""What a process does without when it starts."""

from __future__ import annotations

import subprocess
import sys

import pytest

FROZEN = """\
import atexit, gc, sys
from chargekey_stack.__main__ import main
atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count() > 0))
sys.argv = ["chargekey", "--version"]
main()
"""
LOADED = "import sys, {0}; print(*{{'psycopg', 'sqlalchemy', 'pydantic'}} & {{*sys.modules}})"


@pytest.mark.parametrize(
    ("program", "needs"),
    [("chargekey_gateway.main", ["pydantic"]), ("chargekey_stack.mail_sink.sink", [])],
)
def test_who_has_no_database_and_no_settings_loads_nothing_for_them(
    program: str, needs: list[str]
) -> None:
    """It would be a third of its start."""
    assert said(LOADED.format(program)).split() == needs


def test_a_command_looks_for_no_garbage_in_what_it_has_imported() -> None:
    """It would be a third of most commands: as they begin, and once more as they end."""
    assert said(FROZEN).splitlines()[-1] == "True True"


def said(text: str) -> str:
    """Return what a process with this program says."""
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=60
    ).stdout
