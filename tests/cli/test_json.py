"""Programs get JSON from every command that prints data."""

from __future__ import annotations

from collections.abc import Iterator

import click

from radics_mesh.cli.entry import radics

# They print nothing that a program would want.
WITHOUT = {"join", "feed", "core"}


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield f"{before}{name}", command


def test_every_command_that_prints_data_knows_json() -> None:
    without = {
        name
        for name, command in commands(radics)
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == WITHOUT
