"""Commands about checkpoints: one now, or by the clock."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from radics_mesh import cells
from radics_mesh.cli.asking import ask, json_option, state_option

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


class Every(click.ParamType[float]):
    """Seconds, or with a unit: 0.5, 10s, 5min, 1h; `off` is 0."""

    name = "interval"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, float):
            return value
        if value == "off":
            return 0.0
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|)", str(value))
        if found is None or not float(found[1]):
            self.fail(f"{value!r} is no interval: 10s, 5min, 1h, or off", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


def checkpoint_options(command: Any) -> Any:
    """For `run`: what is kept of the VM while it goes on."""
    every = click.option(
        "--checkpoint-every",
        "checkpoint_every_s",
        type=Every(),
        default="off",
        metavar="INTERVAL",
        help="Write its state to disk so often.",
    )
    commit = click.option(
        "--commit",
        type=click.Choice(["output"]),
        help="Send what it says only once a checkpoint covers it: exactly once, but later.",
    )
    return every(commit(command))


@click.command()
@click.argument("name")
@click.option(
    "--every", type=Every(), metavar="INTERVAL", help="From now on so often: 10s, 5min; or off."
)
@json_option
@state_option
def checkpoint(name: str, every: float | None, state: Path) -> None:
    """Write a VM's state to disk while it goes on.

    Lost with its host, it goes on from there: mail that it took since comes again; what it said
    since may be said again, unless it runs with --commit output. --every goes along when it moves.
    """
    answer = ask(state, "checkpoint", name=name, every_s=every)
    row = answer["checkpoints"]
    if every is None:
        pause = f"{row['pause_s'] * 1000:.0f} ms"
        text = f"checkpoint of {cells.size(row['bytes'])}, stood still for {pause}"
    elif every:
        text = f"a checkpoint every {every:g} s"
    else:
        text = "no checkpoints by the clock"
    click.echo(cells.printable(f"{answer['name']}: {text}"))


COMMANDS = [checkpoint]
