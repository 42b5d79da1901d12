"""How a command is made: a function of the running system that returns an answer.

The decorator adds `--json`, `--data` and `--as`, calls the system, shows the answer.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from chargekey_stack import data_directory
from chargekey_stack.answers import Answer, show
from chargekey_stack.client import ADMINISTRATOR_WORD, connected
from chargekey_stack.data_directory import DataDirectory

Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON document.")]
Data = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar=data_directory.ENVIRONMENT,
        help="The data directory of the system.",
        metavar="DIR",
        # Whoever opens it says what is wrong.
        readable=False,
    ),
]
As = Annotated[
    str | None,
    typer.Option(
        "--as",
        envvar="CHARGEKEY_AS",
        help="A user's id, to try the command as him, or `administrator`; or `administrator:me`,"
        " who has signed in as the administrator he is."
        " Without it: who has signed in, or else the administrator.",
        metavar="USER",
    ),
]
DEFAULT_DATA = Path(data_directory.DEFAULT)

Body = TypeVar("Body", bound=Callable[..., Awaitable[Answer | None]])


def group(name: str, explanation: str) -> typer.Typer:
    """Return a group of commands about one noun."""
    return typer.Typer(name=name, help=explanation, no_args_is_help=True)


def example(line: str) -> str:
    """Return an example as it stands below a command's help."""
    return f"Example: {line}"


def command(
    app: typer.Typer, name: str, line: str, *, whoever_calls: bool = False
) -> Callable[[Body], Body]:
    """Add a function of the system, and of options of its own, to `app`; `line` is an example.

    It returns what is to be shown, or None where it has shown everything itself.
    `whoever_calls` is for what asks nobody who he is: also for whom a login has ended.
    """

    def add(body: Body) -> Body:
        signature = inspect.signature(body, eval_str=True)
        own = list(signature.parameters.values())[1:]
        caller = inspect.Parameter(
            "as_", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=As
        )
        common = [
            inspect.Parameter(
                "json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json
            ),
            inspect.Parameter(
                "data", inspect.Parameter.KEYWORD_ONLY, default=DEFAULT_DATA, annotation=Data
            ),
            *([] if whoever_calls else [caller]),
        ]

        def run(
            *,
            json: bool,
            data: Path,
            as_: str | None = ADMINISTRATOR_WORD,
            **given: Any,  # noqa: ANN401 - as the body says
        ) -> None:
            calling = _call(body, DataDirectory(data), given, for_people=not json, as_=as_)
            answer = asyncio.run(calling)
            if answer is not None:
                show(answer, as_json=json)

        parameters = [*own, *common]
        run.__signature__ = signature.replace(parameters=parameters, return_annotation=None)  # type: ignore[attr-defined] # a function may have one
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        app.command(name, help=body.__doc__, epilog=example(line))(run)
        return body

    return add


async def _call(
    body: Callable[..., Awaitable[Answer | None]],
    data: DataDirectory,
    given: dict[str, Any],
    *,
    for_people: bool,
    as_: str | None,
) -> Answer | None:
    async with connected(data, for_people=for_people, as_=as_) as client:
        return await body(client, **given)
