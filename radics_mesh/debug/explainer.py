"""What `radics_mesh.debug.explain` runs: threads of a guest as text, with bounds, then its end."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from radics_mesh.codec import Fields, pack
from radics_mesh.debug.backtrace import Backtracer, Frame, demangled
from radics_mesh.debug.explain import INPUT_MAX, title
from radics_mesh.debug.image import read_image
from radics_mesh.debug.saved import load_saved
from radics_mesh.debug.waits import describe
from radics_mesh.errors import MeshError
from radics_mesh.vmm import abi, images
from radics_mesh.vmm.threads import REGISTERS_MAX, STACK_MAX, THREADS_MAX, ThreadReport

_CPU_S, _MEMORY_BYTES = 20, 2 << 30
_LINE_MAX = 600
_STRING = "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >"


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


def _child() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    data = sys.stdin.buffer.read(2 * INPUT_MAX)
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
