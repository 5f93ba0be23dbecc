"""Commands about the bundles that are stored here, and the contacts that take them on."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from radics_mesh import cells
from radics_mesh.cli.asking import ask, json_option, state_option
from radics_mesh.cli.tables import print_rows

_ID = click.argument("bundle", nargs=-1, required=True, metavar="ID")


@click.group(invoke_without_command=True)
@json_option
@state_option
@click.pass_context
def bundles(context: click.Context, state: Path) -> None:
    """List the bundles stored here, and what has been counted; or look at one.

    ID is a bundle's identity as listed, or the end of it.
    """
    if context.invoked_subcommand is None:
        _list(state)


@bundles.command("list")
@json_option
@state_option
def list_bundles(state: Path) -> None:
    """List the bundles stored here, and what has been counted."""
    _list(state)


def _list(state: Path) -> None:
    answer = ask(state, "bundles")
    print_rows(
        cells.BUNDLE_COLUMNS, answer["bundles"], cells.bundle_row, nothing="no bundle waits here"
    )
    click.echo("\n".join(cells.bundle_lines(answer["counts"])))


@bundles.command()
@_ID
@json_option
@state_option
def show(bundle: tuple[str, ...], state: Path) -> None:
    """All that is known of one that is stored here."""
    for line in _info_lines(ask(state, "bundle", id=" ".join(bundle))):
        click.echo(line)


@bundles.command()
@_ID
@json_option
@state_option
def delete(bundle: tuple[str, ...], state: Path) -> None:
    """Delete one for good. Who asked for reports on deletion is told."""
    answer = ask(state, "bundle_delete", id=" ".join(bundle))
    click.echo(f"{cells.printable(answer['id'])} deleted")


@bundles.command()
@_ID
@json_option
@state_option
def why(bundle: tuple[str, ...], state: Path) -> None:
    """Why one is where it is: its copies, the neighbours, what it waits for.

    Also of one that has left this node, as far as anybody has told of it.
    """
    for line in _why_lines(ask(state, "bundle_why", id=" ".join(bundle))):
        click.echo(line)


def _line(label: str, text: str) -> str:
    return f"{label:<12} {cells.printable(text)}"


def _info_lines(info: dict[str, Any]) -> list[str]:
    row = info["row"]
    lines = [
        _line("bundle", row["id"]),
        _line("to", row["destination"]),
        _line("state", row["state"]),
        _line("size", f"{row['payload_bytes']} bytes, payload {info['payload_total']}"),
        _line("priority", info["priority"]),
        _line("age", f"{cells.duration(row['age_s'])}, of {cells.duration(info['lifetime_s'])}"),
        _line("expires in", cells.duration(row["expires_in_s"])),
    ]
    for label, key in (
        ("signed by", "signer"),
        ("came from", "came_from"),
        ("custodian", "custodian"),
        ("reports to", "report_to"),
    ):
        if info[key] is not None:
            lines.append(_line(label, info[key]))
    lines += [_line("asks for", text) for text in info["asks"]]
    lines += [_line("going to", transfer(one)) for one in info["transfers"]]
    return lines + [_line("told", _sighting(row)) for row in info["sightings"]]


def transfer(row: dict[str, Any]) -> str:
    return f"{row['node']}: {cells.size(row['sent_bytes'])} of {cells.size(row['bytes'])}"


def _sighting(row: dict[str, Any]) -> str:
    reason = f": {row['reason']}" if row["reason"] else ""
    return f"{_when(row['at'])} {row['node']} {row['what']}{reason}"


def _when(at: float | None) -> str:
    if at is None:
        return "(no clock)"
    return datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds")


def _why_lines(found: dict[str, Any]) -> list[str]:
    lines = [_line("bundle", found["id"])]
    if found["destination"]:
        lines.append(_line("to", found["destination"]))
    info = found["bundle"]
    lines.append(_line("state", info["row"]["state"] if info else "not here"))
    for copy in found["copies"]:
        since = "" if copy["since"] is None else f" since {_when(copy['since'])}"
        lines.append(_line("copy", f"{copy['node']}{since} ({copy['known_by']})"))
    if info and not found["hops"]:
        lines.append(_line("neighbours", "none in reach"))
    lines += [_line("neighbour", f"{hop['node']} {hop['verdict']}") for hop in found["hops"]]
    lines += [_line("expected", text) for text in found["expected"]]
    lines.append(_line("store", _used(found["stored_bytes"], found["quota_bytes"])))
    lines.append(_line("its source", _used(found["source_bytes"], found["source_quota_bytes"])))
    if found["expires_in_s"] is not None:
        lines.append(_line("expires in", cells.duration(found["expires_in_s"])))
    return lines + [_line("waits for" if info else "so", text) for text in found["unblock"]]


def _used(count: int, quota: int | None) -> str:
    return (
        f"{cells.size(count)}, no quota"
        if quota is None
        else f"{cells.size(count)} of {cells.size(quota)}"
    )


@click.command()
@json_option
@state_option
def contacts(state: Path) -> None:
    """List neighbours: in reach, gone, looked for; and what they have carried."""
    rows = ask(state, "contacts")["contacts"]
    print_rows(cells.CONTACT_COLUMNS, rows, cells.contact_row, nothing="no neighbour is known")


COMMANDS = [bundles, contacts]
