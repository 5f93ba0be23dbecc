"""Threads of a guest as text, made in a process of its own: `explain`.

An image may come from anybody in the mesh, and what it says of itself (call frames, symbols, line
tables) is read by code that was not written for enemies. So that is done by a child with bounded
memory and time; when it fails, the addresses that are known without it must do.

The child's input is msgpack: [image's path, snapshot's path, [[number, stream's name]], [thread]],
its output one list of lines a thread. With a snapshot, the threads are those in it.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog
import trio

from radics_mesh.codec import Fields, pack
from radics_mesh.debug.backtrace import Backtracer, Frame, demangled
from radics_mesh.debug.image import read_image
from radics_mesh.debug.saved import load_saved
from radics_mesh.debug.waits import describe
from radics_mesh.errors import GuestError, MeshError, WireError
from radics_mesh.vmm import abi, images
from radics_mesh.vmm.threads import REGISTERS_MAX, STACK_MAX, THREADS_MAX, ThreadReport

log = structlog.get_logger(__name__)

_CPU_S, _WALL_S, _MEMORY_BYTES = 20, 30.0, 2 << 30
# More would not be sooner done on a small computer.
_CHILDREN = trio.CapacityLimiter(2)
_INPUT_MAX = THREADS_MAX * (STACK_MAX + 1024)
_LINE_MAX, _LINES_MAX = 600, 80
_STRING = "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >"


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
                    [sys.executable, "-m", __name__],
                    stdin=pack(question),
                    capture_stdout=True,
                    capture_stderr=True,
                )
        answer = Fields.parse(done.stdout, "explanation", limit_bytes=_INPUT_MAX)
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


def _unpacked(item: object) -> ThreadReport:
    fields, never = Fields(item, "thread"), (1 << 64) - 1
    base, tid, name, waits = fields.integer(), fields.integer(), fields.text(), fields.boolean()
    call, arguments, left = fields.integer(), _numbers(fields.items(limit=6)), fields.integer()
    return ThreadReport(
        base,
        tid,
        name,
        waits,
        None if call == never else call,
        arguments,
        None if left == never else left,
        _numbers(fields.items(limit=REGISTERS_MAX)),
        fields.integer(),
        fields.blob(limit=STACK_MAX),
    )


def _numbers(items: list[object]) -> tuple[int, ...]:
    return tuple(item for item in items if isinstance(item, int))


# --- the child ---


def title(t: ThreadReport) -> str:
    return f"thread {t.tid}{f' ({t.name})' if t.name else ''}"


def explained(
    backtracer: Backtracer, threads: Sequence[ThreadReport], streams: Mapping[int, str]
) -> list[list[str]]:
    """The answer, made in this process."""
    stacks = [backtracer.frames(t.base, t.registers, t.read) for t in threads]
    architecture = backtracer.architecture
    heads = [f"{title(t)}: {describe(t, architecture, streams, t.read)}" for t in threads]
    return [[head, *_numbered(s)] for head, s in zip(heads, demangled(stacks), strict=True)]


def _numbered(frames: Sequence[Frame]) -> list[str]:
    return [
        f"#{n} {str(frame).replace(_STRING, 'std::string')}"[:_LINE_MAX]
        for n, frame in enumerate(frames)
    ]


def _child() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    data = sys.stdin.buffer.read(2 * _INPUT_MAX)
    fields = Fields.parse(data, "question", limit_bytes=len(data))
    image, snapshot = Path(fields.text(limit=4096)), fields.text(limit=4096)
    streams = dict(map(_stream, fields.items(limit=abi.STREAMS_MAX)))
    threads = [_unpacked(item) for item in fields.items(limit=THREADS_MAX)]
    if snapshot:
        debuggable, guest = load_saved(image, Path(snapshot))
        threads = [thread.report for thread in guest.threads()[:THREADS_MAX]]
    else:
        debuggable = read_image(images.read(image))
    answer = explained(Backtracer(debuggable), threads, streams)
    sys.stdout.buffer.write(pack([answer]))


def _stream(item: object) -> tuple[int, str]:
    pair = Fields(item, "stream")
    return pair.integer(), pair.text(limit=255)


if __name__ == "__main__":
    try:
        _child()
    except MeshError as failure:  # one line for the parent, no traceback
        sys.exit(str(failure))
