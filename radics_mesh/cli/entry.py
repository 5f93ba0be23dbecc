"""The command group, and how errors end: one line on stderr and an exit status, no traceback.

Exit status: 0 done, 1 the node or the mesh said no (or a bug of ours: its traceback is shown with
--debug or RADICS_DEBUG=1), 2 the command line is wrong, 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from types import TracebackType

import click

from radics_mesh import __version__
from radics_mesh.cells import printable
from radics_mesh.cli import (
    bundles,
    carry,
    checkpoints,
    data,
    directory,
    images,
    invitations,
    join,
    lives,
    members,
    mesh,
    mesh_group,
    messages,
    moves,
    peers,
    plan,
    recovery,
    rotate,
    snapshots,
    vms,
)
from radics_mesh.cli.endings import leaves, only_mistakes
from radics_mesh.cli.logs import log_to_stderr
from radics_mesh.errors import MeshError

DEBUG_VARIABLE = "RADICS_DEBUG"
PROGRAM = "python -m radics_mesh"


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    commands=[
        *join.COMMANDS,
        *mesh.COMMANDS,
        *peers.COMMANDS,
        *mesh_group.COMMANDS,
        *invitations.COMMANDS,
        *members.COMMANDS,
        *rotate.COMMANDS,
        *vms.COMMANDS,
        *lives.COMMANDS,
        *data.COMMANDS,
        *directory.COMMANDS,
        *messages.COMMANDS,
        *bundles.COMMANDS,
        *plan.COMMANDS,
        *recovery.COMMANDS,
        *images.COMMANDS,
        *checkpoints.COMMANDS,
        *carry.COMMANDS,
        *moves.COMMANDS,
        *snapshots.COMMANDS,
    ],
)
@click.option("--debug", is_flag=True, help=f"Show tracebacks of bugs (or {DEBUG_VARIABLE}=1).")
@click.version_option(__version__, prog_name="radics-mesh")
def radics(debug: bool) -> None:
    """Run C++ programs as unikernels that move to their data, on a mesh without a coordinator."""
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    sys.excepthook = _report_bug
    log_to_stderr(logging.WARNING)
    try:
        ended = radics.main(arguments, prog_name=PROGRAM, standalone_mode=False)
        # What click makes of an Exit; commands themselves return nothing.
        return ended if isinstance(ended, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        # Not an error line: the help text is what was missing.
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.ClickException as error:
        return _fail(_with_hint(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except MeshError as error:
        return _refuse(error)
    except BaseExceptionGroup as group:
        return _group_status(group)


def _group_status(group: BaseExceptionGroup[BaseException]) -> int:
    """What ended a nursery. Only MeshErrors and an interrupt are expected; the rest is a bug."""
    if not only_mistakes(group):
        raise group
    mistakes = [error for error in leaves(group) if isinstance(error, MeshError)]
    return _refuse(mistakes[0]) if mistakes else 130


def _with_hint(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{message}; see {error.ctx.command_path} --help"
    return message


def _refuse(error: MeshError) -> int:
    """A tool's own words, if the error brings some (a compiler's), then our line."""
    for note in getattr(error, "__notes__", ()):
        click.echo(note, err=True)
    return _fail(str(error), 1)


def _fail(text: str, status: int) -> int:
    line = " ".join(printable(part.strip()) for part in text.splitlines() if part.strip())
    click.echo(f"error: {line}", err=True)
    return status


def _report_bug(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if os.environ.get(DEBUG_VARIABLE, "") not in ("", "0"):
        sys.__excepthook__(kind, error, trace)
    else:
        bugs = [part for part in leaves(error) if not isinstance(part, MeshError)]
        first = bugs[0] if bugs else error
        where = getattr(error, "__notes__", None) or [
            f"run again with {DEBUG_VARIABLE}=1 for the traceback"
        ]
        _fail(f"a bug in radics_mesh: {type(first).__name__}: {first}; {where[-1]}", 1)
