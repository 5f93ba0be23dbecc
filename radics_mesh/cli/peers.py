"""`peers`: whom this node watches, and whom it cannot reach since when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from radics_mesh import cells
from radics_mesh.cli.asking import ask, json_option, state_option
from radics_mesh.cli.tables import print_rows

_COLUMNS = ["PEER", "ID", "STATE", "FOR", "HEARD", "ADDRESS", "ACCUSED BY"]


@click.command()
@json_option
@state_option
def peers(state: Path) -> None:
    """List the nodes that this one watches: alive, suspect, unreachable or left, and since when.

    Of a large mesh it watches some; `nodes` lists all whose records are known.
    """
    answer = ask(state, "peers")
    print_rows(_COLUMNS, answer["peers"], _row, nothing="no other node was met yet")
    if answer["health"]:
        click.echo(
            f"this node's own links or processor are slow: it probes {answer['health'] + 1} times"
            " more rarely",
            err=True,
        )


def _row(peer: dict[str, Any]) -> cells.Row:
    heard = peer["heard_s"]
    return [
        cells.printable(peer["name"]),
        cells.printable(peer["id"][:8]),
        cells.printable(peer["state"]),
        cells.duration(peer["for_s"]),
        "-" if heard is None else f"{cells.duration(heard)} ago",
        cells.printable(peer["address"] or "-"),
        f"{peer['accusers']}" if peer["accusers"] else "-",
    ]


COMMANDS = [peers]
