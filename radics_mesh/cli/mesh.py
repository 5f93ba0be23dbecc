"""Commands about the mesh: which nodes there are, and what happens."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import click

from radics_mesh import cells
from radics_mesh.cli.asking import ask, ask_each, json_option, state_option
from radics_mesh.cli.tables import print_json, print_rows
from radics_mesh.control_shapes.mesh import Status


@click.command()
@json_option
@state_option
def nodes(state: Path) -> None:
    """List the nodes of the mesh."""
    rows = ask(state, "nodes")["nodes"]
    print_rows(cells.NODE_COLUMNS, rows, cells.node_row, nothing="no node is known")


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with new ones.")
@json_option
@state_option
def events(follow: bool, state: Path) -> None:
    """Print what happened on this node, oldest first."""

    def show(item: dict[str, Any]) -> None:
        click.echo(cells.event_line(cast(Any, item)))

    ask_each(state, "events", show, follow=follow)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@state_option
def status(as_json: bool, state: Path) -> None:
    """Show nodes, VMs, bundles and events: full screen on a terminal, else as text."""
    if not as_json and sys.stdout.isatty() and sys.stdin.isatty():
        # Imported here only: it is slow to import, and no other command needs a screen.
        from radics_mesh.tui.app import run_screen

        run_screen(state)
        return
    answer = ask(state, "status")
    if as_json:
        print_json(answer)
    else:
        print_status(cast(Status, answer))


def print_status(state: Status) -> None:
    """All of a status as plain text."""
    click.echo(cells.node_line(state["node"]))
    sections: list[tuple[list[str], list[cells.Row]]] = [
        (cells.NODE_COLUMNS, [cells.node_row(row) for row in state["nodes"]]),
        (cells.VM_COLUMNS, [cells.vm_row(row) for row in state["vms"]]),
        (cells.SOURCE_COLUMNS, [cells.source_row(row) for row in state["sources"]]),
    ]
    for columns, rows in sections:
        click.echo()
        click.echo("\n".join(cells.plain_table(columns, rows)))
    click.echo("\nBUNDLES")
    click.echo("\n".join(cells.bundle_lines(state["bundles"])))
    click.echo("\nEVENTS")
    for event in state["events"][-20:]:
        click.echo(cells.event_line(event))


COMMANDS = [nodes, events, status]
