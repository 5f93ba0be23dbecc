"""`rotate`: another mesh key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from radics_mesh import cells
from radics_mesh.cli.amounts import TIME
from radics_mesh.cli.asking import ask, json_option, state_option
from radics_mesh.rotations import OVERLAP_S

# Names in one line of text.
_NAMES_MAX = 8


@click.command()
@click.option(
    "--overlap",
    type=TIME,
    default=OVERLAP_S,
    show_default="1h",
    help="How long the old key counts at most, when some members do not confirm the new one.",
)
@json_option
@state_option
def rotate(overlap: float, state: Path) -> None:
    """Change the mesh key, without a stop. Revoked nodes do not get the new one.

    Members with the role operate can do this. Members that are away get the key when they are back.
    """
    tell_of_rotation(ask(state, "rotate", overlap_s=overlap))


def tell_of_rotation(answer: dict[str, Any]) -> None:
    click.echo(f"the mesh key is of epoch {answer['epoch']} now")
    waiting = answer["waiting"]
    if waiting:
        names = ", ".join(cells.printable(name) for name in waiting[:_NAMES_MAX])
        more = f" and {len(waiting) - _NAMES_MAX} more" if len(waiting) > _NAMES_MAX else ""
        click.echo(
            f"the old one ends once it is confirmed by {names}{more},"
            f" at the latest in {cells.duration(answer['overlap_s'])}; see `members`"
        )


COMMANDS = [rotate]
