"""Tables: drawn by rich on a terminal, aligned plain text elsewhere, for scripts."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

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
    # Here, since a node runs from the same command line and draws nothing.
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        # Text, not str: a name in square brackets is a name, not rich's markup.
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def print_json(value: Any) -> None:
    """For programs: one JSON document."""
    click.echo(json.dumps(jsonable(value), indent=2, sort_keys=True))


def print_json_line(value: Any) -> None:
    """For programs that read one document after the other."""
    click.echo(json.dumps(jsonable(value), sort_keys=True))


def jsonable(value: Any) -> Any:
    """Bytes as text where they are UTF-8, else as base64 under another key."""
    if isinstance(value, list):
        return [jsonable(item) for item in value]
    if not isinstance(value, dict):
        return value
    shown: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, bytes):
            try:
                shown[key] = item.decode("utf-8")
            except UnicodeDecodeError:
                shown[f"{key}_base64"] = base64.b64encode(item).decode("ascii")
        else:
            shown[key] = jsonable(item)
    return shown
