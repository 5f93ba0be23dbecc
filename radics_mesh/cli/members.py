"""`members` and `revoke`: who is in the mesh, and who is not any more."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from radics_mesh import cells
from radics_mesh.cli.amounts import TIME
from radics_mesh.cli.asking import ask, call, json_option, state_option, wants_json
from radics_mesh.cli.rotate import tell_of_rotation
from radics_mesh.cli.tables import print_json, print_rows

_COLUMNS = ["NAME", "ID", "OWNER", "ROLES", "INVITED BY", "UNTIL", "KEY", "REVOKED"]
_ALL = 5


@click.command()
@json_option
@state_option
def members(state: Path) -> None:
    """List who was let into the mesh, by whom, and who was revoked."""
    rows = ask(state, "members")["members"]
    print_rows(_COLUMNS, rows, _row, nothing="no member is known")


@click.command()
@click.argument("node")
@click.option("--reason", default="", help="For people: it is shown on every node.")
@click.option("--rotate", "rotates", is_flag=True, help="And change the mesh key, as `rotate`.")
@click.option("--overlap", type=TIME, default=300, show_default="5m", help="As of `rotate`.")
@json_option
@state_option
def revoke(node: str, reason: str, rotates: bool, overlap: float, state: Path) -> None:
    """Put NODE out of the mesh, with all whom it invited. This cannot be taken back.

    Only nodes that stand above it in its chain of invitations with the role operate can do this,
    and itself. Its datagrams are opened until the mesh key is changed.
    """
    answer = call(state, "revoke", node=node, reason=reason)
    if rotates:
        answer["rotated"] = call(state, "rotate", overlap_s=overlap)
    if wants_json():
        print_json(answer)
        return
    name = cells.printable(answer["member"]["name"])
    if answer["news"]:
        click.echo(f"{name} is no member any more; other nodes hear of it as they are reached")
    else:
        click.echo(f"{name} had been revoked before")
    if rotates:
        tell_of_rotation(answer["rotated"])


def _row(row: dict[str, Any]) -> cells.Row:
    return [
        cells.printable(row["name"]) + (" (this node)" if row["self"] else ""),
        row["id"][:8],
        cells.printable(row["owner"]),
        "all" if len(row["roles"]) == _ALL else ",".join(row["roles"]),
        cells.printable(row["invited_by"]),
        _until(row),
        _key(row),
        _revoked(row),
    ]


def _key(row: dict[str, Any]) -> str:
    """The epoch of its mesh key, in brackets while it has not confirmed this node's."""
    if row["revoked"]:
        return "may have it" if row["has_key"] else "no"
    epoch = "?" if row["key_epoch"] is None else str(row["key_epoch"])
    return epoch if row["has_key"] else f"({epoch})"


def _revoked(row: dict[str, Any]) -> str:
    if not row["revoked"]:
        return ""
    through = f"{row['through']}, " if row["through"] else ""
    why = f": {row['reason']}" if row["reason"] else ""
    return cells.printable(f"{through}by {', '.join(row['revoked_by'])}{why}")


def _until(row: dict[str, Any]) -> str:
    if row["until"] is None:
        return ""
    stale = f" (stale, refused from {_day(row['grace_until'])})" if row["stale"] else ""
    return _day(row["until"]) + stale


def _day(moment: float) -> str:
    try:
        return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"
    except (ValueError, OverflowError):
        return "never"


COMMANDS = [members, revoke]
