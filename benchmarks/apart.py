"""Work in a process of its own: what another one left in memory counts for nobody."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

from benchmarks.figures import Figure

Asked = ParamSpec("Asked")
Told = TypeVar("Told")


def apart(work: Callable[Asked, Told], *asked: Asked.args, **named: Asked.kwargs) -> Told:
    """Do it in a process that has done nothing else; what it raises is raised here."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, *asked, **named).result()


def figures_of(benchmark: str) -> Sequence[Figure]:
    """Return what the module of this name measures."""
    figures: Iterable[Figure] = importlib.import_module(f"benchmarks.{benchmark}").figures()
    return list(figures)
