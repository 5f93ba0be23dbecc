"""Commands about snapshots: what is here, whether it is good, out to a file and in from one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from radics_mesh import cells
from radics_mesh.cli.asking import ask, json_option, judged, state_option
from radics_mesh.cli.tables import print_rows
from radics_mesh.control_shapes.kept import SnapshotRow
from radics_mesh.errors import GuestError

_FILE = click.Path(exists=True, dir_okay=False, readable=True, resolve_path=True, path_type=Path)
_OUT = click.Path(dir_okay=False, writable=True, resolve_path=True, path_type=Path)
_COLUMNS = ["VM", "EPOCH", "DIGEST", "USE", "PAGES", "ALONE", "SHARED", "AGE"]
# Of a damaged snapshot, so many pages are named.
_NAMED_MAX = 10


@click.group()
def snapshots() -> None:
    """States of VMs on this node: list, check, remove, export to one file, import.

    SNAPSHOT is its digest or the first digits, at least four, or its VM's name.
    """


def _row(row: SnapshotRow) -> cells.Row:
    return [
        cells.printable(row["vm"]),
        str(row["epoch"] or "-"),
        row["digest"][:12],
        row["use"],
        str(row["pages"]),
        cells.size(row["alone"]),
        cells.size(row["shared"]),
        cells.duration(row["age_s"]),
    ]


def _said(row: SnapshotRow) -> str:
    return f"{cells.printable(row['vm'])} {row['digest'][:12]}"


@snapshots.command("ls")
@json_option
@state_option
def list_snapshots(state: Path) -> None:
    """List them, with the disk that each takes for itself and together with others."""
    answer = ask(state, "snapshots")
    print_rows(_COLUMNS, answer["snapshots"], _row, nothing="no snapshots here")
    used, quota = cells.size(answer["used"]), cells.size(answer["quota"])
    click.echo(f"{used} of {quota} used", err=True)


@snapshots.command("rm")
@click.argument("snapshot")
@json_option
@state_option
def remove(snapshot: str, state: Path) -> None:
    """Remove a SNAPSHOT that no VM goes on from."""
    answer = ask(state, "snapshot_rm", snapshot=snapshot)
    click.echo(f"{_said(answer['snapshot'])} removed, {cells.size(answer['freed'])} freed")


def _is_bad(answer: dict[str, Any]) -> bool:
    return any(verdict["damage"] for verdict in answer["verdicts"])


@snapshots.command()
@click.argument("snapshot", default="")
@json_option
@state_option
def verify(snapshot: str, state: Path) -> None:
    """Read every page of a SNAPSHOT, or of all; name what is damaged, and fail then."""
    answer = judged(state, "snapshot_verify", _is_bad, snapshot=snapshot)
    verdicts = answer["verdicts"]
    bad = 0
    for verdict in verdicts:
        said, damage = _said(verdict["snapshot"]), verdict["damage"]
        bad += bool(damage)
        if not damage:
            click.echo(f"{said}: {verdict['snapshot']['pages']} pages, all good")
        for line in damage[:_NAMED_MAX]:
            click.echo(f"{said}: {cells.printable(line)}")
        if len(damage) > _NAMED_MAX:
            click.echo(f"{said}: and {len(damage) - _NAMED_MAX} more")
    if bad:
        raise GuestError(f"{bad} of {len(verdicts)} snapshots are damaged")


@snapshots.command()
@click.argument("snapshot")
@click.argument("file", type=_OUT)
@json_option
@state_option
def export(snapshot: str, file: Path, state: Path) -> None:
    """Write a SNAPSHOT to one FILE, with the proof of whose it is; it is not encrypted."""
    answer = ask(state, "snapshot_export", snapshot=snapshot, file=str(file))
    click.echo(f"{_said(answer['snapshot'])}: {cells.size(answer['bytes'])} in {file}")


@snapshots.command("import")
@click.argument("file", type=_FILE)
@json_option
@state_option
def import_snapshot(file: Path, state: Path) -> None:
    """Check what was exported to FILE and keep it here; it starts nothing.

    If a VM of this node goes on from it, that is whole again. Else it lies here for `recover`.
    """
    answer = ask(state, "snapshot_import", file=str(file))
    how = "whole again" if answer["mended"] else "kept, for `recover`"
    click.echo(f"{_said(answer['snapshot'])}: {how}")


COMMANDS = [snapshots]
