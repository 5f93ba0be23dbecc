"""`invite`, `knocks` and `approve`: who may enter, in which roles, in whose name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from radics_mesh import cells, roles
from radics_mesh.cli.amounts import TIME
from radics_mesh.cli.asking import Finite, ask, json_option, state_option
from radics_mesh.cli.tables import print_rows

_Command = TypeVar("_Command", bound=Callable[..., Any])
_HOURS_MAX = 8760.0


def grant_options(command: _Command) -> _Command:
    """--role and --owner: what is given to who comes in."""
    role = click.option(
        "--role",
        "roles",
        multiple=True,
        metavar="ROLE",
        help=f"Only this one; again for more: {', '.join(roles.names(roles.ALL_ROLES))}."
        "  [default: all that this node has]",
    )
    owner = click.option(
        "--owner",
        default="",
        metavar="NAME",
        help="Whom it works for.  [default: as this node]",
    )
    return role(owner(command))


@click.command()
@click.argument("code")
@grant_options
@json_option
@state_option
def approve(code: str, roles: tuple[str, ...], owner: str, state: Path) -> None:
    """Let a node in that knocks with CODE."""
    answer = ask(state, "approve", code=code, roles=list(roles), owner=owner)
    click.echo(f"{cells.printable(answer['name'])} is a member now ({answer['id'][:8]})")


@click.command()
@json_option
@state_option
def knocks(state: Path) -> None:
    """List nodes that wait to be let in."""
    rows = ask(state, "knocks")["knocks"]
    print_rows(cells.KNOCK_COLUMNS, rows, cells.knock_row, nothing="nobody knocks")


@click.command()
@click.option("--uses", type=click.IntRange(1, 1000), default=1, show_default=True)
@click.option("--expires", type=TIME, metavar="TIME", help="As 30m, 24h, 7d.  [default: 24h]")
@click.option(
    "--hours",
    type=Finite(0, _HOURS_MAX, min_open=True),
    hidden=True,
    help="The same, as a number of hours.",
)
@grant_options
@json_option
@state_option
def invite(
    uses: int,
    expires: float | None,
    hours: float | None,
    roles: tuple[str, ...],
    owner: str,
    state: Path,
) -> None:
    """Print a token with which others join at once. Keep it secret: who has it gets in."""
    if expires is not None and hours is not None:
        raise click.UsageError("--expires and --hours say the same; give one")
    good_h = expires / 3600 if expires is not None else hours or 24.0
    answer = ask(state, "invite", uses=uses, hours=good_h, roles=list(roles), owner=owner)
    click.echo(answer["token"])
    where = answer["addresses"][0] if answer["addresses"] else "HOST"
    times = "once" if uses == 1 else f"{uses} times"
    click.echo(
        f"good {times} within {good_h:g} h: "
        f"python -m radics_mesh join --bootstrap {where} --invite TOKEN",
        err=True,
    )


COMMANDS = [approve, knocks, invite]
