"""Tables: drawn by rich on a terminal, aligned plain text elsewhere, for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from radics_mesh.cells import Row, plain_table

_Item = TypeVar("_Item")


def print_rows(
    columns: Sequence[str],
    items: Sequence[_Item],
    row_of: Callable[[_Item], Row],
    *,
    nothing: str,
) -> None:
    """One line an item; `nothing` when there is none (on stderr: it is no data)."""
    if not items:
        click.echo(nothing, err=True)
        return
    rows = [row_of(item) for item in items]
    if not sys.stdout.isatty():
        click.echo("\n".join(plain_table(columns, rows)))
        return
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        # Text, not str: a name in square brackets is a name, not rich's markup.
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def print_json(value: Any) -> None:
    """For programs: one JSON document."""
    click.echo(json.dumps(value, indent=2, sort_keys=True))
