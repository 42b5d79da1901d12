"""Print which tests show which promise of docs/requirements.md, and which promises none shows.

Exits with 1 where no test shows a promise, a test names one there is not, or two have one number.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROMISES = ROOT / "docs" / "requirements.md"
TESTS = ("libs", "services", "tests")

_KIND = "R|O|F|P|M|S0-|S3-"
_ROW = re.compile(rf"^\| ((?:{_KIND})\d+) \| (.*) \|$", re.MULTILINE)
# `R13`, `S0-21`, and the ranges `S0-16...23`, `R1..R4`.
_NUMBER = re.compile(rf"\b({_KIND})(\d+)(?:\.{{2,3}}(?:{_KIND})?(\d+))?\b")


def promises() -> list[tuple[str, str]]:
    """Return every number with its sentence."""
    return _ROW.findall(PROMISES.read_text(encoding="utf-8"))


def named(text: str) -> Iterator[str]:
    """Yield the numbers that a docstring names."""
    for kind, first, last in _NUMBER.findall(text):
        for number in range(int(first), int(last or first) + 1):
            yield f"{kind}{number}"


def tests() -> Iterator[tuple[str, str]]:
    """Yield every number a test names, with the test; a module's docstring is all its tests'."""
    for directory in TESTS:
        for path in sorted((ROOT / directory).rglob("test_*.py")):
            module = ast.parse(path.read_text(encoding="utf-8"))
            place = str(path.relative_to(ROOT))
            for number in named(ast.get_docstring(module) or ""):
                yield number, place
            for node in ast.walk(module):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    for number in named(ast.get_docstring(node) or ""):
                        yield number, f"{place}::{node.name}"


def main() -> None:
    """Print the table."""
    shown = defaultdict(list)
    for number, test in tests():
        shown[number].append(test)
    rows = promises()
    known = dict(rows)
    for number, sentence in known.items():
        print(f"{number}  {sentence}")
        for test in dict.fromkeys(shown[number]):
            print(f"    {test}")
    missing = [number for number in known if not shown[number]]
    strange = sorted(set(shown) - set(known))
    if missing:
        print(f"without a test: {', '.join(missing)}")
    if strange:
        print(f"named by a test and promised nowhere: {', '.join(strange)}")
    twice = [number for number, times in Counter(number for number, _ in rows).items() if times > 1]
    if twice:
        print(f"promised twice: {', '.join(twice)}")
    sys.exit(bool(missing or strange or twice))


if __name__ == "__main__":
    main()
