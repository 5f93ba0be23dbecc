"""`mesh`: all about membership in one place. But for `init` each is the command of its own name."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import click

from radics_mesh.cli.asking import json_option, state_option, wants_json
from radics_mesh.cli.invitations import approve, invite, knocks
from radics_mesh.cli.join import parse_name
from radics_mesh.cli.members import members, revoke
from radics_mesh.cli.rotate import rotate


@click.command()
@click.option("--name", default=lambda: socket.gethostname(), show_default="the host's name")
@click.option("--owner", default="", metavar="NAME", help="Whom it works for.  [default: its name]")
@json_option
@state_option
def init(name: str, owner: str, state: Path) -> None:
    """Make a new mesh, with this node as its first member; `join` then runs it."""
    # Imported here only: the node is slow to import, and every other command is a client.
    from radics_mesh.node.founding import found_at

    made = found_at(state, parse_name(name), owner)
    if wants_json():
        click.echo(json.dumps(made))
        return
    click.echo(f"made a new mesh, {made['mesh'][:8]}; {made['name']} is node {made['id'][:8]}")
    click.echo(f"run it with: python -m radics_mesh join --state {state}", err=True)


@click.group(commands=[init, invite, knocks, approve, revoke, members, rotate], name="mesh")
def mesh_group() -> None:
    """Make a mesh, and say who is in it."""


COMMANDS = [mesh_group]
