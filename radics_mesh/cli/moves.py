"""`migrate`: move a VM, see how far it is, give it up."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio

from radics_mesh import cells
from radics_mesh.cli import carry
from radics_mesh.cli.amounts import RATE, TIME
from radics_mesh.cli.asking import StatePath, ask, each, json_option, state_option, wants_json
from radics_mesh.cli.tables import print_json
from radics_mesh.control import ControlClient
from radics_mesh.errors import LinkError, UsageError


@click.command()
@click.argument("name")
@click.option("--to", metavar="NODE", default="", help="A node's name or id.")
@click.option("--near", metavar="SOURCE", default="", help="To the node that publishes SOURCE.")
@click.option("--one-way", is_flag=True, help="Don't wait for an answer before letting go.")
@click.option("--via", type=StatePath(), metavar="DIR", help="One way, onto this stick.")
@click.option("--key", default="", metavar="HEX", help="With --via: NODE's public key.")
@click.option("--limit", type=RATE, metavar="RATE", help="Bytes a second: 1M.")
@click.option(
    "--patience",
    type=TIME,
    metavar="TIME",
    help="How long an answer may take, over slow bundles: 6h.",
)
@click.option("--cancel", is_flag=True, help="Give up the move that is under way.")
@json_option
@state_option
def migrate(
    name: str,
    to: str,
    near: str,
    one_way: bool,
    via: Path | None,
    key: str,
    limit: float | None,
    patience: float | None,
    cancel: bool,
    state: Path,
) -> None:
    """Move a VM to another node, running or saved.

    Its pages go ahead while it runs on; then it stands still until what changed meanwhile has gone
    after them. Until it is released, `migrate NAME --cancel` lets it go on here. On a terminal one
    sees how far it is, and in `ps`.

    With --via DIR it is let go at once, and all that the other node needs is written into DIR, a
    directory on a USB stick, say; `carry in DIR` there takes it.
    """
    if cancel:
        if to or near or one_way or via or key or limit or patience:
            raise click.UsageError("--cancel goes alone")
        vm = ask(state, "migrate_cancel", name=name)["vm"]
        click.echo(cells.printable(f"{vm['name']} stays on {vm['node']}: its move was cancelled"))
        return
    if bool(to) == bool(near):
        raise click.UsageError("give --to NODE or --near SOURCE")
    if via is not None:
        if near or limit or patience:
            raise UsageError("--near, --limit and --patience are for moves over links")
        carry.migrate_via(state, name, to, via, key)
        return
    if key:
        raise UsageError("--key is for --via: over a link the other node says it itself")
    wanted = {"name": name, "to": to, "near": near, "one_way": one_way}
    amounts = {"limit": limit, "patience_s": patience}
    answer = trio.run(
        _move, state, {**wanted, **{k: v for k, v in amounts.items() if v is not None}}
    )
    if wants_json():
        print_json(answer)
        return
    down = "" if answer["downtime_s"] is None else f", down {answer['downtime_s'] * 1000:.0f} ms"
    click.echo(
        cells.printable(
            f"{answer['name']}: {answer['source']} -> {answer['target']}, "
            f"epoch {answer['epoch']}, {cells.size(answer['bytes'])}{down}"
        )
    )


async def _move(state: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """Ask for the move, and tell of it meanwhile, if somebody looks on."""
    async with trio.open_nursery() as nursery:
        if sys.stderr.isatty():
            nursery.start_soon(_tell, state, wanted["name"])
        try:
            return await ControlClient(state).call("migrate", **wanted)
        finally:
            nursery.cancel_scope.cancel()
            if sys.stderr.isatty():
                click.echo("\r\x1b[K", err=True, nl=False)


async def _tell(state: Path, name: str) -> None:
    """One line, written anew."""
    while True:
        await trio.sleep(0.2)
        try:
            await each(state, "progress", partial(_show, name), name=name)
        except LinkError:
            return


def _show(name: str, item: dict[str, Any]) -> None:
    share = "" if item["share"] is None else f" {item['share'] * 100:.0f} %,"
    line = (
        f"{name} -> {item['target']}: {item['phase']},{share} round {item['rounds']},"
        f" {cells.size(item['bytes'])} sent"
    )
    click.echo(f"\r\x1b[K{cells.printable(line)}", err=True, nl=False)


COMMANDS = [migrate]
