"""`plan`: the contacts that are expected, and another plan of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from radics_mesh import cells
from radics_mesh.cli.asking import Finite, ask, json_option, state_option
from radics_mesh.cli.tables import print_rows

_FILE = click.Path(exists=True, dir_okay=False, readable=True, resolve_path=True, path_type=Path)
_COLUMNS = ["FROM", "TO", "BEGINS", "ENDS", "RATE", "DELAY", ""]


@click.group()
def plan() -> None:
    """Contacts that are known in advance: a ferry, a bus, a satellite.

    A node goes by a plan for what a route says: join --route '*=plan:FILE'.
    """


@plan.command()
@click.option("--hours", type=Finite(0), default=24.0, show_default=True, help="As far ahead.")
@json_option
@state_option
def show(hours: float, state: Path) -> None:
    """List contacts that go on now or are to come."""
    for row in ask(state, "plan", hours=hours)["plans"]:
        _show(row)


@plan.command()
@click.argument("file", type=_FILE)
@json_option
@state_option
def load(file: Path, state: Path) -> None:
    """Go by the plan in FILE from now on, and after a restart.

    It takes the place of the file that `join --route` names.
    """
    row = ask(state, "plan_load", file=str(file))
    _tell_unknown(row)
    coming = len(row["contacts"])
    click.echo(f"{cells.printable(row['file'])}: {row['all']} contacts, {coming} of them to come")


def _show(row: dict[str, Any]) -> None:
    patterns = " ".join(row["patterns"])
    click.echo(cells.printable(f"{row['file']}, for {patterns}: {row['all']} contacts in all"))
    _tell_unknown(row)
    print_rows(_COLUMNS, row["contacts"], _row, nothing="none of them is to come")


def _tell_unknown(row: dict[str, Any]) -> None:
    if row["unknown"]:
        names = cells.printable(", ".join(row["unknown"]))
        click.echo(f"not known here, and so not gone by: {names}", err=True)


def _row(contact: dict[str, Any]) -> cells.Row:
    return [
        cells.printable(contact["from"]),
        cells.printable(contact["to"]),
        _when(contact["start"]),
        _when(contact["end"]),
        f"{cells.size(contact['rate'])}/s",
        cells.duration(contact["delay_s"]),
        "now" if contact["now"] else "",
    ]


def _when(moment: float) -> str:
    """As in the file."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


COMMANDS = [plan]
