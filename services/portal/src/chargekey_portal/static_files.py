"""Stylesheets, scripts and images: under addresses that change with what stands in them.

So browsers keep them for as long as they like, and never one of before.
"""

from __future__ import annotations

import hashlib
from functools import cache
from os import PathLike, stat_result
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from chargekey_common.errors import CannotRunError

DIRECTORY = Path(__file__).parent / "assets"
ADDRESS = "/assets"
_FOR_EVER = "public, max-age=31536000, immutable"


def require_vendored() -> None:
    """Return where what others made is there; raises CannotRunError."""
    if not (DIRECTORY / "vendor").is_dir():
        message = f"What pages load is not in {DIRECTORY / 'vendor'}; `make setup` puts it there."
        raise CannotRunError(message)


@cache
def asset(name: str) -> str:
    """Return the address of a file below `assets/`."""
    return f"{ADDRESS}/{name}?{_mark(DIRECTORY / name)}"


@cache
def _mark(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=6).hexdigest()


class Assets(StaticFiles):
    """Serves them; what is asked for with its mark of content is kept."""

    def __init__(self) -> None:
        super().__init__(directory=DIRECTORY)

    def file_response(
        self,
        full_path: str | PathLike[str],
        stat_result: stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Return the file."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        if scope["query_string"].decode("latin-1") == _mark(Path(full_path)):
            response.headers["Cache-Control"] = _FOR_EVER
        return response
