"""A guest's memory as QEMU's sparse file: which pages a snapshot must hold, and laying them down.

The template is what QEMU's loader puts there from the image: page number to content.
"""

from __future__ import annotations

import mmap
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

PAGE_BYTES = 4096
# RAM's first megabyte is the firmware's and the guest's device's on both architectures: QEMU
# rewrites it at every start, it is never guest state.
FIRMWARE_BYTES = 1 << 20
_ZERO = bytes(PAGE_BYTES)
_READ_BYTES = 1 << 20


def held_pages(
    ram: Path, memory_bytes: int, template: Mapping[int, bytes]
) -> Iterator[tuple[int, bytes]]:
    """Pages that differ from what a restore would find there without them."""
    seen = FIRMWARE_BYTES // PAGE_BYTES  # all below are dealt with
    lain = sorted(template)
    with ram.open("rb", buffering=0) as file:
        for start, content in _extents(file.fileno(), memory_bytes):
            number = start // PAGE_BYTES
            yield from _emptied(template, lain, seen, number)
            for place in range(0, len(content), PAGE_BYTES):
                page = content[place : place + PAGE_BYTES]
                if page != template.get(number, _ZERO):
                    yield number, page
                number += 1
            seen = number
    yield from _emptied(template, lain, seen, memory_bytes // PAGE_BYTES)


def data_pages(ram: Path, memory_bytes: int) -> Iterator[tuple[int, bytes]]:
    """(number, content) of every page above the firmware's that the file really holds."""
    with ram.open("rb", buffering=0) as file:
        for start, content in _extents(file.fileno(), memory_bytes):
            for place in range(0, len(content), PAGE_BYTES):
                yield (start + place) // PAGE_BYTES, content[place : place + PAGE_BYTES]


def _emptied(
    template: Mapping[int, bytes], lain: Sequence[int], start: int, end: int
) -> Iterator[tuple[int, bytes]]:
    """Template pages (`lain`: their numbers, sorted) inside a hole: given back as zeros."""
    for number in lain[bisect_left(lain, start) : bisect_left(lain, end)]:
        if template[number] != _ZERO:
            yield number, _ZERO


def _extents(descriptor: int, memory_bytes: int) -> Iterator[tuple[int, bytes]]:
    """(offset, whole pages) of all that a sparse file holds above the firmware's memory."""
    at = FIRMWARE_BYTES
    while at < memory_bytes:
        try:
            at = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole up to the end
            return
        hole = min(os.lseek(descriptor, at, os.SEEK_HOLE), memory_bytes)
        while at < hole:
            content = os.pread(descriptor, min(_READ_BYTES, hole - at), at)
            if not content:
                return
            yield at, content
            at += len(content)


def lay_template(
    ram: Path, memory_bytes: int, template: Iterable[tuple[int, bytes | memoryview]]
) -> None:
    """Make a waiting QEMU's memory above the firmware's the template and nothing else. Blocks.

    QEMU's loader has done about that already; this makes it exact, whatever the version.
    `template`: (address, bytes), as `image.loaded_runs`.
    """
    descriptor = os.open(ram, os.O_RDWR | os.O_CLOEXEC)
    try:
        with mmap.mmap(descriptor, memory_bytes) as memory:
            # Punches a hole in the file, also in QEMU's mapping of it.
            memory.madvise(mmap.MADV_REMOVE, FIRMWARE_BYTES, memory_bytes - FIRMWARE_BYTES)
        for address, content in template:
            firmwares = max(0, FIRMWARE_BYTES - address)
            write_at(descriptor, content[firmwares:], address + firmwares)
    finally:
        os.close(descriptor)


def lay_pages(runs: Iterable[tuple[int, bytes]], ram: Path) -> None:
    """Write pages over a template that has been laid: now it is the parked VM's memory.

    `runs`: as `Snapshot.runs`. Blocks: for a worker thread.
    """
    descriptor = os.open(ram, os.O_RDWR | os.O_CLOEXEC)
    try:
        for first, content in runs:
            write_at(descriptor, content, first * PAGE_BYTES)
    finally:
        os.close(descriptor)


def write_at(descriptor: int, content: bytes | memoryview, at: int) -> None:
    """All of it."""
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written
