"""Publishing data sources."""

from __future__ import annotations

from pathlib import Path

import click

from radics_mesh import cells
from radics_mesh.cli.asking import Finite, ask, json_option, state_option

_FILE = click.Path(exists=True, dir_okay=False, readable=True, resolve_path=True, path_type=Path)


@click.command()
@click.argument("name")
@click.option("--file", required=True, type=_FILE, help="Its lines become the messages.")
@click.option("--rate", type=Finite(1e-3, 1e6), metavar="LINES/S")
@json_option
@state_option
def publish(name: str, file: Path, rate: float | None, state: Path) -> None:
    """Publish a file's lines as the data source NAME, from the first line on.

    Each subscriber gets all of them, once and in order, as fast as it takes them, at most --rate.
    """
    source = ask(state, "publish", name=name, file=str(file), rate=rate)["source"]
    click.echo(cells.printable(f"{source['name']} is published by {source['publisher']}"))


COMMANDS = [publish]
