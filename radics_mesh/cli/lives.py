"""Commands about a VM's life: end it at once, see what it is and may; the options of `run`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from radics_mesh import cells
from radics_mesh.cli.asking import ask, json_option, state_option

_Command = TypeVar("_Command", bound=Callable[..., Any])


def conduct_options(command: _Command) -> _Command:
    """What becomes of a VM, and what it may use; `conduct_of` turns them into a request's."""
    options = (
        click.option(
            "--restart",
            default="",
            metavar="no|on-failure[:N]|always",
            help="Begin anew when the program ends; else as the image says, or no.",
        ),
        click.option(
            "--cpu",
            default="0",
            metavar="PERCENT",
            help="Share of one processor; else all it can get.",
        ),
        click.option(
            "--messages",
            type=click.IntRange(1),
            metavar="N",
            help="Messages and lines a second that it may send; more wait.",
        ),
        click.option(
            "--storage",
            type=click.IntRange(1),
            metavar="MB",
            help="For its log, mail and snapshots here.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def conduct_of(options: dict[str, Any]) -> dict[str, object]:
    percent = str(options["cpu"]).removesuffix("%")
    if not percent.isdecimal():
        raise click.BadParameter(f"{options['cpu']} is no percentage", param_hint="--cpu")
    return {
        "restart": options["restart"],
        "cpu_percent": int(percent),
        "messages_s": options["messages"] or 0,
        "storage_bytes": (options["storage"] or 0) << 20,
    }


@click.command()
@click.argument("name")
@json_option
@state_option
def kill(name: str, state: Path) -> None:
    """End a VM at once and for good, whatever it is doing; its state is lost."""
    vm = ask(state, "kill", name=name)["vm"]
    click.echo(cells.printable(f"{vm['name']} ({vm['id'][:8]}) is {vm['state']} on {vm['node']}"))


@click.command()
@click.argument("name")
@json_option
@state_option
def inspect(name: str, state: Path) -> None:
    """Print what a VM of this node is, its policy and limits, and its QEMU with what that may."""
    for label, text in _lines(ask(state, "inspect", name=name)):
        click.echo(cells.printable(f"{label:12} {text}"))


def _lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    vm = found["vm"]
    lines = [
        ("name", vm["name"]),
        ("id", vm["id"]),
        ("state", vm["state"] + (f": {vm['note']}" if vm["note"] else "")),
        ("image", vm["image"]),
        ("memory", cells.size(vm["memory"])),
        ("epoch", f"{vm['epoch']}, branch {found['branch']}, moved {vm['moves']} times"),
        ("member", f"{found['owner']}, {_quota(found)}"),
        ("restart", f"{found['restart']}, begun anew {found['begun_anew']} times in a row"),
        ("cpu", f"{found['cpu_percent']} % of one" if found["cpu_percent"] else "no limit"),
        ("messages", f"{found['messages_s']}/s" if found["messages_s"] else "the node's limit"),
        ("storage", _storage(found)),
    ]
    return lines + _qemu_lines(found["qemu"])


def _storage(found: dict[str, Any]) -> str:
    limit = f" of {cells.size(found['storage_limit'])}" if found["storage_limit"] else ""
    return cells.size(found["storage"]) + limit


def _quota(found: dict[str, Any]) -> str:
    quota, uses = found["quota"], found["owner_uses"]
    if quota is None:
        return f"no quota, {uses['vms']} VMs here"

    def part(name: str, show: Callable[[Any], str]) -> str:
        limit = quota[name]
        return f"{show(uses[name])} of {'any' if limit is None else show(limit)}"

    vms, memory = part("vms", str), part("memory_bytes", cells.size)
    return f"quota: {vms} VMs, {memory} memory, {part('storage_bytes', cells.size)} storage"


def _qemu_lines(qemu: dict[str, Any] | None) -> list[tuple[str, str]]:
    if qemu is None:
        return [("qemu", "does not run")]
    barred = [
        "seccomp filter" if qemu["seccomp_filter"] else "NO seccomp filter",
        "no new privileges" if qemu["no_new_privileges"] else "MAY GAIN privileges",
        f"capabilities {qemu['capabilities']:#x}",
    ]
    limits = [
        f"{name} {'none' if limit is None else limit}" for name, limit in qemu["limits"].items()
    ]
    return [
        ("qemu", f"{qemu['version'] or '(does not answer)'}, {qemu['accelerator']}"),
        ("pid", f"{qemu['pid']}, user {qemu['user']}, cgroup {qemu['cgroup']}"),
        ("sandbox", ", ".join(barred)),
        ("limits", ", ".join(limits)),
        ("uses", f"{cells.size(qemu['pss'])} of memory (PSS), {qemu['cpu_s']:.2f} s of CPU"),
        ("command", shlex.join(qemu["command"])),
    ]


COMMANDS = [kill, inspect]
