"""A parked guest's program as an ELF core, which stock gdb opens (`gdb prog.debug core`).

Notes as Linux writes them (fs/binfmt_elf.c): NT_PRSTATUS and NT_FPREGSET of each thread,
NT_PRPSINFO and NT_AUXV of the program. A segment a region, sparse in the file: untouched memory
takes no disk.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from radics_mesh.debug.parked_guest import ParkedGuest, Region, Thread
from radics_mesh.debug.registers import Architecture
from radics_mesh.errors import UsageError
from radics_mesh.vmm.image import PAGE_BYTES

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_NOTE = struct.Struct("<III8s")
_IDENT = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
_ET_CORE, _PT_LOAD, _PT_NOTE = 4, 1, 4
_NT_PRSTATUS, _NT_FPREGSET, _NT_PRPSINFO, _NT_AUXV = 1, 2, 3, 6
# struct elf_prstatus up to pr_reg: siginfo, signals, ids, four times; only the thread's id counts.
_STATUS = struct.Struct("<12xH2x16xi12x64x")
_INFO = struct.Struct("<B1sBB4xQIIiiii16s80s")
# A region this large is reserved, not used: what was never touched is left out of the core.
_WHOLE_MAX = 256 << 20
_SEGMENTS_MAX = 0xFFFE


def write_core(guest: ParkedGuest, architecture: Architecture, path: Path) -> int:
    """How many threads there are. Blocks.

    WireError: the guest's memory makes no sense. UsageError: the file cannot be written.
    """
    threads, regions = guest.threads(), guest.regions()
    notes = _notes(threads, guest.auxv())
    regions = regions[: _SEGMENTS_MAX - 1]
    contents = [list(guest.content(region)) for region in regions]
    at = -(-(_HEADER.size + (len(regions) + 1) * _SEGMENT.size + len(notes)) // PAGE_BYTES)
    at *= PAGE_BYTES
    notes_at = _HEADER.size + (len(regions) + 1) * _SEGMENT.size
    table = [_SEGMENT.pack(_PT_NOTE, 0, notes_at, 0, 0, len(notes), 0, 4)]
    places = []
    for region, content in zip(regions, contents, strict=True):
        length = _length(region, content)
        table.append(_load(region, at, length))
        places.append(at)
        at += length
    head = _HEADER.pack(
        _IDENT, _ET_CORE, architecture.elf_machine, 1, 0, _HEADER.size, 0, 0,
        _HEADER.size, _SEGMENT.size, len(table), 0, 0, 0,
    )  # fmt: skip
    try:
        with path.open("wb") as file:
            file.write(head + b"".join(table) + notes)
            for region, content, place in zip(regions, contents, places, strict=True):
                for address, page in content:
                    file.seek(place + address - region.start)
                    file.write(page)
            file.truncate(at)
    except OSError as error:
        raise UsageError(f"{path}: {os.strerror(error.errno or 0)}") from error
    return len(threads)


def _length(region: Region, content: Sequence[tuple[int, bytes]]) -> int:
    if region.protection and region.end - region.start <= _WHOLE_MAX:
        return region.end - region.start
    return content[-1][0] + PAGE_BYTES - region.start if content else 0


def _load(region: Region, at: int, length: int) -> bytes:
    """Segments count execute, write, read from the lowest bit on; protections the other way."""
    p = region.protection
    flags = (p & 1) << 2 | (p & 2) | (p & 4) >> 2
    size = region.end - region.start
    return _SEGMENT.pack(_PT_LOAD, flags, at, region.start, 0, length, size, PAGE_BYTES)


def _notes(threads: Sequence[Thread], auxv: bytes) -> bytes:
    parts = []
    for index, thread in enumerate(threads):
        parts.append(_note(_NT_PRSTATUS, _status(thread)))
        if index == 0:
            name = thread.report.name.encode()
            info = _INFO.pack(0, b"R", 0, 0, 0, 0, 0, 1, 0, 1, 1, name[:15], name[:79])
            parts += [_note(_NT_PRPSINFO, info), _note(_NT_AUXV, auxv)]
        parts.append(_note(_NT_FPREGSET, thread.floating_point))
    return b"".join(parts)


def _status(thread: Thread) -> bytes:
    registers = thread.report.registers
    packed = struct.pack(f"<{len(registers)}Q", *registers)
    return _STATUS.pack(0, thread.report.tid & 0x7FFFFFFF) + packed + struct.pack("<i4x", 1)


def _note(kind: int, content: bytes) -> bytes:
    padded = content.ljust(-(-len(content) // 4) * 4, b"\0")
    return _NOTE.pack(5, len(content), kind, b"CORE") + padded
