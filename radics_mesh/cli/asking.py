"""How a command reaches the node: the --state option and the two kinds of requests."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import trio

from radics_mesh.cli.tables import print_json, print_json_line
from radics_mesh.control import ControlClient

_Command = TypeVar("_Command", bound=Callable[..., Any])
DEFAULT_STATE = Path("~/.radics")
_JSON = "radics_mesh.json"


class Finite(click.FloatRange):
    """A number in a range, and a number indeed: "nan" is in every range otherwise."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number", param, ctx)
        return number


class StatePath(click.Path):
    """A directory name with ~ expanded, made absolute. It need not exist yet."""

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        if not str(value):
            # As a path it would be the current directory, which is hardly meant.
            self.fail("an empty name; give a directory", param, ctx)
        try:
            path = Path(value).expanduser()
        except RuntimeError:
            self.fail(f"{value}: no such user", param, ctx)
        return Path(str(super().convert(path, param, ctx))).absolute()


def state_option(command: _Command) -> _Command:
    """--state, the same for every command."""
    return click.option(
        "--state",
        type=StatePath(),
        envvar="RADICS_STATE",
        default=DEFAULT_STATE,
        show_default=True,
        show_envvar=True,
        help="The node's state directory.",
    )(command)


def json_option(command: _Command) -> _Command:
    """--json: `ask` prints the answer as control_api describes it, and the command ends."""

    def note(context: click.Context, _: click.Parameter, given: bool) -> None:
        if given:
            context.meta[_JSON] = True

    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=note,
        help="For programs: the answer as JSON.",
    )(command)


def wants_json() -> bool:
    """Whether the command that runs was given --json."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_JSON))


def call(state: Path, request: str, /, **params: object) -> dict[str, Any]:
    """The node's answer; MeshError as the node raised it."""
    return trio.run(partial(ControlClient(state).call, request, **params))


def ask(state: Path, request: str, /, **params: object) -> dict[str, Any]:
    """As `call`. With --json the answer is printed and the command ends."""
    return judged(state, request, lambda answer: False, **params)


def judged(
    state: Path, request: str, is_bad: Callable[[dict[str, Any]], bool], /, **params: object
) -> dict[str, Any]:
    """As `ask`; with --json the command's status is 1 if the answer is bad."""
    answer = call(state, request, **params)
    if wants_json():
        print_json(answer)
        raise click.exceptions.Exit(1 if is_bad(answer) else 0)
    return answer


def ask_each(
    state: Path, request: str, show: Callable[[dict[str, Any]], None], **params: object
) -> None:
    """Call `show` with each item of a stream. An item that was shown is done for the node.

    With --json each is printed instead, one a line.
    """
    if wants_json():
        show = print_json_line
    trio.run(partial(each, state, request, show, **params))


async def each(
    state: Path, request: str, show: Callable[[dict[str, Any]], None], **params: object
) -> None:
    async with aclosing(ControlClient(state).stream(request, **params)) as items:
        async for item in items:
            show(item)
