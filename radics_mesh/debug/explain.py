"""Threads of a guest as text, made in a process of its own (radics_mesh.debug.explainer).

An image may come from anybody in the mesh, and what it says of itself (call frames, symbols, line
tables) is read by code that was not written for enemies. So that is done by a child with bounded
memory and time; when it fails, the addresses that are known without it must do. Nothing of what the
child needs is imported here: a node that never explains anything saves five megabytes.

The child's input is msgpack: [image's path, snapshot's path, [[number, stream's name]], [thread]],
its output one list of lines a thread. With a snapshot, the threads are those in it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog
import trio

from radics_mesh.codec import Fields, pack
from radics_mesh.errors import GuestError, WireError
from radics_mesh.vmm.threads import STACK_MAX, THREADS_MAX, ThreadReport

log = structlog.get_logger(__name__)

_WALL_S = 30.0
# More would not be sooner done on a small computer.
_CHILDREN = trio.CapacityLimiter(2)
INPUT_MAX = THREADS_MAX * (STACK_MAX + 1024)
_LINES_MAX = 80
_CHILD = "radics_mesh.debug.explainer"


async def explain(
    image: Path, threads: Sequence[ThreadReport], streams: Mapping[int, str] | None = None
) -> list[list[str]]:
    """For each thread a line about it and one for each frame, innermost first. Never raises."""
    try:
        told = await _ask([str(image), "", _pairs(streams), list(map(_packed, threads))])
        if len(told) == len(threads):
            return told
    except GuestError as error:
        log.warning("a backtrace could not be made", image=image.name, reason=str(error)[:200])
    return [[title(t), "(no backtrace could be made)"] for t in threads]


async def explain_saved(image: Path, snapshot: Path) -> list[list[str]]:
    """The same of the threads in a snapshot. GuestError: they could not be read."""
    return await _ask([str(image), str(snapshot), [], []])


async def _ask(question: list[object]) -> list[list[str]]:
    try:
        async with _CHILDREN:
            with trio.fail_after(_WALL_S):
                done = await trio.run_process(
                    [sys.executable, "-m", _CHILD],
                    stdin=pack(question),
                    capture_stdout=True,
                    capture_stderr=True,
                )
        answer = Fields.parse(done.stdout, "explanation", limit_bytes=INPUT_MAX)
        return [_lines(item) for item in answer.items(limit=THREADS_MAX)]
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise GuestError(f"its threads could not be explained: {''.join(said)}") from error
    except (OSError, WireError, trio.TooSlowError) as error:
        raise GuestError(f"its threads could not be explained: {error}") from error


def _pairs(streams: Mapping[int, str] | None) -> list[list[object]]:
    return [[number, name] for number, name in (streams or {}).items()]


def _lines(item: object) -> list[str]:
    if not isinstance(item, list | tuple) or not all(isinstance(line, str) for line in item):
        raise WireError("explanation: not lines of text")
    return [line for line in item if isinstance(line, str)][:_LINES_MAX]


def _packed(t: ThreadReport) -> list[object]:
    never = (1 << 64) - 1
    return [
        t.base,
        t.tid,
        t.name,
        t.waits,
        never if t.call is None else t.call,
        list(t.arguments),
        never if t.left_ns is None else t.left_ns,
        list(t.registers),
        t.stack_at,
        t.stack,
    ]


def title(t: ThreadReport) -> str:
    return f"thread {t.tid}{f' ({t.name})' if t.name else ''}"
