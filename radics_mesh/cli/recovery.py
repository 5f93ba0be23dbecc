"""Commands about VMs whose holder is lost: what is known, and going on without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from radics_mesh import cells
from radics_mesh.cli.asking import ask, json_option, state_option
from radics_mesh.cli.tables import print_rows

STATE_COLUMNS = ["NODE", "STATE", "EPOCH", "AGE", "SIZE", "SNAPSHOT", "NOTE"]


def policy_options(command: Any) -> Any:
    """For `run`: what becomes of the VM when its node is lost."""
    policy = click.option(
        "--policy",
        default="",
        metavar="POLICY",
        help="at-most-one (else what the image says); restartable[:SECONDS]: a keeper goes on after"
        " so long a silence; replicated: has no state, and may run any number of times.",
    )
    keep_at = click.option(
        "--keep-at",
        "keep_at",
        multiple=True,
        metavar="NODE",
        help="A node that keeps its checkpoints, too; any number of times.",
    )
    count = click.option(
        "--count",
        type=click.IntRange(1, 64),
        default=1,
        help="Replicas, one a node, with --policy replicated.",
    )
    return policy(keep_at(count(command)))


@click.command()
@click.argument("name")
@click.option("--discard", metavar="SNAPSHOT", help="Delete a state of it that is kept here.")
@json_option
@state_option
def doctor(name: str, discard: str | None, state: Path) -> None:
    """Print what is known of a VM and where its states are, and what each way out would lose."""
    if discard is not None:
        answer = ask(state, "discard", name=name, snapshot=discard)
        click.echo(cells.printable(f"{answer['name']}: {answer['snapshot'][:16]} is deleted"))
        return
    answer = ask(state, "doctor", name=name)
    heard = answer["heard_s"]
    word = "never heard of here" if heard is None else f"last heard {cells.duration(heard)} ago"
    _say(f"{answer['name']} ({answer['id'][:8]}), policy {answer['policy']}")
    _say(
        f"held by {answer['holder']} at epoch {answer['epoch']} ({answer['how']}),"
        f" {answer['state']}; {word}"
    )
    for line in answer["open"]:
        _say(f"open: {line}")
    click.echo()
    print_rows(STATE_COLUMNS, answer["states"], _state_row, nothing="no state is kept anywhere")
    click.echo()
    for number, line in enumerate(answer["ways"], 1):
        _say(f"{number}. {line}")


def _say(line: str) -> None:
    click.echo(cells.printable(line))


def _state_row(row: dict[str, Any]) -> cells.Row:
    return [
        cells.printable(row["node"]),
        cells.printable(row["kind"]),
        str(row["epoch"]),
        cells.duration(row["age_s"]),
        cells.size(row["bytes"]),
        cells.printable(row["snapshot"]),
        cells.printable(row["mandate"]),
    ]


@click.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Although it may be alive elsewhere.")
@click.option("--snapshot", default="", metavar="SNAPSHOT", help="From this state, not the latest.")
@json_option
@state_option
def recover(name: str, force: bool, snapshot: str, state: Path) -> None:
    """Go on with a VM on this node from a checkpoint, because its holder is lost.

    Without --force it only says what that would lose. If the holder is alive after all, the VM runs
    twice until the two meet; then the holder's copy stops, and its state is kept there.
    """
    answer = ask(state, "recover", name=name, force=force, snapshot=snapshot)
    for line in answer["lost"]:
        click.echo(cells.printable(f"warning: {line}"), err=True)
    vm = answer["vm"]
    _say(f"{vm['name']} ({vm['id'][:8]}) is {vm['state']} on {vm['node']}, epoch {vm['epoch']}")


@click.command()
@click.argument("name")
@click.argument("policy", metavar="POLICY")
@click.option("--keep-at", "keep_at", multiple=True, metavar="NODE", help="As for run.")
@json_option
@state_option
def policy(name: str, policy: str, keep_at: tuple[str, ...], state: Path) -> None:
    """Choose anew what becomes of a VM on this node when the node is lost: see `run --policy`."""
    vm = ask(state, "policy", name=name, policy=policy, keep_at=list(keep_at))["vm"]
    kept = f", kept at {', '.join(keep_at)}" if keep_at else ""
    _say(f"{vm['name']} is {vm['policy']}{kept}")


COMMANDS = [doctor, recover, policy]
