"""Showing people that something goes on: on a terminal only, on standard error, gone afterwards."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

from chargekey_stack.answers import Document, drawn

Advance = Callable[[str, int, int], None]
Change = Callable[[Sequence[Document]], None]


@contextlib.contextmanager
def working(sentence: str, *, shown: bool = True) -> Iterator[None]:
    """Show that the block works at what the sentence says."""
    if not (shown and sys.stderr.isatty()):
        yield
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and few commands take long

    with Console(stderr=True).status(sentence):
        yield


@contextlib.contextmanager
def bars(*, shown: bool = True) -> Iterator[Advance]:
    """Show bars; the block says of each by its name how much of how much is done."""
    if not (shown and sys.stderr.isatty()):
        yield lambda _, __, ___: None
        return
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.progress import Progress, TaskID  # noqa: PLC0415

    tasks: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:

        def advance(name: str, done: int, whole: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name)
            # Of nothing, all is done.
            progress.update(tasks[name], completed=done or not whole, total=whole or 1)

        yield advance


@contextlib.contextmanager
def changing(*, shown: bool = True) -> Iterator[Change | None]:
    """Show a table that changes; the block says how it is now, or gets None for no terminal."""
    if not (shown and sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.live import Live  # noqa: PLC0415

    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda rows: live.update(drawn(rows), refresh=True)
