"""`carry`: bundles and VMs by way of a directory that somebody carries from node to node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from radics_mesh import cells
from radics_mesh.cli.asking import StatePath, ask, json_option, judged, state_option
from radics_mesh.errors import CapacityError

_DIRECTORY = click.argument("directory", type=StatePath())


@click.group()
def carry() -> None:
    """Without a network: bundles as files on a USB stick, an SD card, in a shared folder.

    The sender writes them with `carry out DIR`, somebody carries DIR to the other node, which takes
    them with `carry in DIR` and leaves receipts. A bundle stays with its sender until it learns
    that it has arrived, from a receipt at the next visit or over a link: a stick that is lost is
    written again, and one that is read twice delivers nothing twice.

    A node that was started with `join --carry DIR` does both by itself whenever DIR is there.
    """


@carry.command("out")
@_DIRECTORY
@click.option("--to", multiple=True, metavar="NODE", help="Only what would be handed to NODE.")
@json_option
@state_option
def out(directory: Path, to: tuple[str, ...], state: Path) -> None:
    """Write bundles that are to leave this node into DIRECTORY, and read receipts there."""
    show_outward(
        directory,
        _carried_out(state, directory, to),
    )


def _carried_out(state: Path, directory: Path, to: tuple[str, ...]) -> dict[str, Any]:
    params = {"directory": str(directory), "to": list(to)}
    return judged(state, "carry_out", lambda answer: bool(answer["left"]), **params)


@carry.command("in")
@_DIRECTORY
@json_option
@state_option
def take(directory: Path, state: Path) -> None:
    """Take the bundles in DIRECTORY, and leave receipts there."""
    answer = ask(state, "carry_in", directory=str(directory))
    _show_problems(answer)
    parts = [f"{_bundles(answer['taken'])} taken"]
    if answer["known"]:
        parts.append(f"{answer['known']} known before")
    if answer["confirmed"]:
        parts.append(f"{answer['confirmed']} of ours have arrived")
    if answer["problems"]:
        parts.append(f"{len(answer['problems'])} with problems")
    click.echo(f"{directory}: {', '.join(parts)}")


@carry.command("card")
@_DIRECTORY
@json_option
@state_option
def card(directory: Path, state: Path) -> None:
    """Leave this node's card, its name and key, in DIRECTORY.

    Another node can then move a VM here by that stick without ever having met this one.
    """
    answer = ask(state, "carry_card", directory=str(directory))
    click.echo(cells.printable(f"{directory}: the card of {answer['name']} ({answer['id'][:8]})"))


def migrate_via(state: Path, name: str, to: str, via: Path, key: str) -> None:
    """`migrate --via`: the move, then what to do next."""
    params = {"name": name, "to": to, "directory": str(via), "key": key}
    answer = judged(state, "migrate_via", lambda a: bool(a["carried"]["left"]), **params)
    moved = answer["moved"]
    click.echo(
        cells.printable(
            f"{moved['name']}: {moved['source']} -> {moved['target']} by way of {via},"
            f" epoch {moved['epoch']}; it is released here"
        )
    )
    show_outward(via, answer["carried"])
    click.echo(f"next, on {cells.printable(moved['target'])}: carry in DIR, then carry out DIR")


def show_outward(directory: Path, answer: dict[str, Any]) -> None:
    """CapacityError when something had to stay."""
    _show_problems(answer)
    parts = [f"{_bundles(answer['written'])}, {cells.size(answer['written_bytes'])}, written"]
    if answer["there"]:
        parts.append(f"{answer['there']} were there already")
    if answer["confirmed"]:
        parts.append(f"{answer['confirmed']} have arrived by an earlier visit")
    click.echo(f"{directory}: {', '.join(parts)}")
    if answer["left"]:
        raise CapacityError(
            f"{directory} is full: {answer['left']} bundles, {answer['left_bytes']} bytes, did not"
            " fit and stay here; carry them out again with room, or another stick"
        )


def _bundles(count: int) -> str:
    return "1 bundle" if count == 1 else f"{count} bundles"


def _show_problems(answer: dict[str, Any]) -> None:
    for problem in answer["problems"]:
        click.echo(f"problem: {cells.printable(problem)}", err=True)


COMMANDS = [carry]
