"""What a command answers, and how people and scripts get to see it.

Scripts (`--json`) get one document on standard output; people get a line or a
table. Errors go to standard error: a line for people, `{"error": ...}` for scripts.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import os
import select
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from chargekey_stack.errors import OutputFailedError

if TYPE_CHECKING:
    from rich.table import Table

# Where no terminal tells its width, tables are for `grep`: one line a row.
UNBOUND_WIDTH = 1000

Document = Mapping[str, Any]
Tell = Callable[[str], None]


class Answer(msgspec.Struct, frozen=True):
    """One document; people read the sentence, and the rows below it where there are some.

    `more` is told them last, and on standard error: it is about the answer.
    """

    document: Document
    sentence: str = ""
    rows: Sequence[Document] = ()
    more: str = ""


def done(sentence: str, **document: object) -> Answer:
    """Answer that something was done."""
    return Answer(document, sentence)


def table(
    name: str, rows: Sequence[Document], columns: Sequence[str] = (), cursor: str = ""
) -> Answer:
    """Answer a list: a document of one entry, called `name`.

    People see `columns` only, where any are named: a terminal is no wider. A `cursor`
    says that the list was cut, and goes on with it.
    """
    shown = [{each: row[each] for each in columns or row} for row in rows]
    document = {name: rows, "next": cursor} if cursor else {name: rows}
    more = f"There are more: --before {cursor} goes on, --limit shows up to 1000." if cursor else ""
    return Answer(document, "" if rows else f"No {name}.", shown, more)


def fields(document: Document) -> Answer:
    """Answer one thing with all its fields."""
    return Answer(document, rows=[{"field": key, "": value} for key, value in document.items()])


def show(answer: Answer, *, as_json: bool) -> None:
    """Write an answer to standard output, at once: `up` goes on after it.

    Raises OutputFailedError, and BrokenPipeError where nobody reads any more.
    """
    if as_json:
        show_json(answer.document)
        return
    if answer.sentence:
        say(answer.sentence)
    if answer.rows:
        with _written():
            _show_table(answer.rows)
    if answer.more:
        tell(answer.more)


def show_json(document: Document) -> None:
    """Write one document to standard output, whole, at once."""
    with _written():
        sys.stdout.write(msgspec.json.encode(document).decode() + "\n")


def show_file(text: str) -> None:
    """Write what is to be kept in a file to standard output: UTF-8, whatever a terminal shows."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    say(text)


def say(line: str) -> None:
    """Write a line to standard output, at once."""
    with _written():
        sys.stdout.write(line + "\n")


def nobody_reads() -> bool:
    """Whether whoever read standard output has gone; told without writing to it."""
    try:
        output = sys.stdout.fileno()
    except OSError:  # not a file at all
        return False
    looking = select.poll()
    looking.register(output, 0)
    return any(what & select.POLLERR for _, what in looking.poll(0))


def show_error(code: str, message: str, *, as_json: bool) -> None:
    """Write an error to standard error, on one line."""
    message = " ".join(message.split())
    error = {"error": {"code": code, "message": message}}
    line = msgspec.json.encode(error).decode() if as_json else f"{message} ({code})"
    try:
        tell(line)
    except OSError:
        # Nobody can be told; the exit status still says it, where nothing is left to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def unheard(_: str) -> None:
    """Say nothing: to a script, which reads standard error for its error alone."""


def tell(line: str) -> None:
    """Say on standard error what goes on, while it goes on."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def instant(nanoseconds: int) -> str:
    """Write an instant as RFC 3339, in UTC and whole seconds unless there are fractions."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    text = dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction // 10**6:03d}Z" if fraction else f"{text}Z"


def cell(value: object) -> str:
    """Write a value for people, on one line and harmless to a terminal: chargers name things."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(cell, value))
        case dict():
            return " ".join(f"{cell(key)}={cell(value[key])}" for key in sorted(value))
        case _:
            return "".join(
                each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(value)
            )


@contextlib.contextmanager
def _written() -> Iterator[None]:
    """Flush behind the block; what cannot be written is not tried again at the end."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputFailedError(error.strerror or "") from None


def drawn(rows: Sequence[Document]) -> Table:
    """Return rows, of which there are some, as a table for a terminal."""
    from rich.table import Table  # noqa: PLC0415 - as below

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in rows[0]:
        shown.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        shown.add_row(*map(cell, row.values()))
    return shown


def _show_table(rows: Sequence[Document]) -> None:
    # Scripts, which want no tables, should not wait for what draws them.
    from rich.console import Console  # noqa: PLC0415

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = UNBOUND_WIDTH
    console.print(drawn(rows))
