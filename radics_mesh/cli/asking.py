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

from radics_mesh.control import ControlClient

_Command = TypeVar("_Command", bound=Callable[..., Any])
DEFAULT_STATE = Path("~/.radics")


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


def ask(state: Path, request: str, **params: object) -> dict[str, Any]:
    """The node's answer; MeshError as the node raised it."""
    return trio.run(partial(ControlClient(state).call, request, **params))


def ask_each(
    state: Path, request: str, show: Callable[[dict[str, Any]], None], **params: object
) -> None:
    """Call `show` with each item of a stream. An item that was shown is done for the node."""
    trio.run(partial(each, state, request, show, **params))


async def each(
    state: Path, request: str, show: Callable[[dict[str, Any]], None], **params: object
) -> None:
    async with aclosing(ControlClient(state).stream(request, **params)) as items:
        async for item in items:
            show(item)
