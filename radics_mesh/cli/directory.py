"""Commands that ask the directory: what there is in the mesh, and what becomes of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from radics_mesh import cells
from radics_mesh.cli.asking import ask, ask_each, json_option, state_option
from radics_mesh.cli.tables import print_rows
from radics_mesh.records import Kind

_KINDS = click.Choice([kind.value for kind in Kind if kind is not Kind.INDEX])
_LIMIT = click.IntRange(1, 1000)


def _say_more(answer: dict[str, Any], pattern: str) -> None:
    """On stderr, since it is no data."""
    if answer["after"]:
        after = cells.printable(answer["after"])
        click.echo(f"there is more: the same for {pattern} with --after '{after}'", err=True)


@click.command()
@click.argument("pattern", default="")
@click.option("--after", default="", metavar="NAME", help="Go on behind this name.")
@click.option("--limit", type=_LIMIT, default=100, show_default=True, help="Names at a time.")
@json_option
@state_option
def sources(pattern: str, after: str, limit: int, state: Path) -> None:
    """List data sources: those that this node knows of, or all in the mesh that match PATTERN
    (NAME, 'NAME/*' or '*')."""
    answer = ask(state, "sources", pattern=pattern, after=after, limit=limit)
    print_rows(
        cells.SOURCE_COLUMNS, answer["sources"], cells.source_row, nothing="no source is known"
    )
    _say_more(answer, pattern)


@click.command()
@click.argument("pattern", default="")
@click.option("--after", default="", metavar="NAME", help="Go on behind this name.")
@click.option("--limit", type=_LIMIT, default=100, show_default=True, help="Names at a time.")
@json_option
@state_option
def services(pattern: str, after: str, limit: int, state: Path) -> None:
    """List services of VMs and nodes: those that this node knows of, or all in the mesh that match
    PATTERN (NAME, 'NAME/*' or '*')."""
    answer = ask(state, "services", pattern=pattern, after=after, limit=limit)
    print_rows(
        cells.SERVICE_COLUMNS, answer["services"], cells.service_row, nothing="no service is known"
    )
    _say_more(answer, pattern)


@click.command()
@click.argument("pattern")
@click.option("--kind", type=_KINDS, default=None, help="Only such facts.")
@json_option
@state_option
def find(pattern: str, kind: str | None, state: Path) -> None:
    """Look PATTERN up in the mesh, whatever it names: who states what, and how old that is."""
    rows = ask(state, "find", pattern=pattern, kind=kind or "")["facts"]
    print_rows(cells.FACT_COLUMNS, rows, cells.fact_row, nothing="nothing of that name is known")


@click.command()
@click.argument("pattern")
@click.option("--kind", type=_KINDS, default=Kind.SOURCE.value, show_default=True)
@json_option
@state_option
def watch(pattern: str, kind: str, state: Path) -> None:
    """Print what there is that matches PATTERN, and then each change, until interrupted.

    A line says when, what (added, changed, stale, withdrawn), which, and who states it.
    """

    def show(item: dict[str, Any]) -> None:
        click.echo(cells.change_line(time.time(), item["change"], item["fact"]))

    ask_each(state, "changes", show, pattern=pattern, kind=kind)


@click.command()
@click.argument("name")
@json_option
@state_option
def unpublish(name: str, state: Path) -> None:
    """Stop publishing the data source NAME on this node; its subscribers are forgotten."""
    ask(state, "unpublish", name=name)
    click.echo(cells.printable(f"{name} is not published here any more"))


COMMANDS = [sources, services, find, watch, unpublish]
