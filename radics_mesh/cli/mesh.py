"""Commands about the mesh: who is in it, who may enter, what happens."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import click

from radics_mesh import cells
from radics_mesh.cli.asking import Finite, ask, ask_each, json_option, state_option
from radics_mesh.cli.tables import print_json, print_rows
from radics_mesh.control_shapes.mesh import Status


@click.command()
@click.argument("code")
@json_option
@state_option
def approve(code: str, state: Path) -> None:
    """Let a node in that knocks with CODE."""
    answer = ask(state, "approve", code=code)
    click.echo(f"{cells.printable(answer['name'])} is a member now ({answer['id'][:8]})")


@click.command()
@json_option
@state_option
def knocks(state: Path) -> None:
    """List nodes that wait to be let in."""
    rows = ask(state, "knocks")["knocks"]
    print_rows(cells.KNOCK_COLUMNS, rows, cells.knock_row, nothing="nobody knocks")


@click.command()
@click.option("--uses", type=click.IntRange(1, 1000), default=1, show_default=True)
@click.option("--hours", type=Finite(0, 8760, min_open=True), default=24.0, show_default=True)
@json_option
@state_option
def invite(uses: int, hours: float, state: Path) -> None:
    """Print a token with which others join at once. Keep it secret: who has it gets in."""
    answer = ask(state, "invite", uses=uses, hours=hours)
    click.echo(answer["token"])
    where = answer["addresses"][0] if answer["addresses"] else "HOST"
    times = "once" if uses == 1 else f"{uses} times"
    click.echo(
        f"good {times} within {hours:g} h: "
        f"python -m radics_mesh join --bootstrap {where} --invite TOKEN",
        err=True,
    )


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


COMMANDS = [approve, knocks, invite, nodes, events, status]
