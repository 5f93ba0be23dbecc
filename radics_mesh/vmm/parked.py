"""Whether a guest is parked, as its memory says (guest_lib/kernel/park.c: struct park_header).

For a node that comes back after a crash and finds a guest that says nothing: parked, or just slow?
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

_MAGIC = 0x444B524150645252
_VERSION = 1
# magic u64 | version u32 | bytes u32 | where the description is u64 | ...
# | check u64, which covers all before it
_START = struct.Struct("<QII")
_CHECK = struct.Struct("<Q")
_BYTES_MAX = 256
_FNV_START, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


def is_parked(ram: Path) -> bool:
    """Whether a RAM file holds a complete park header. Blocks: reads all of it."""
    with ram.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        return next(headers(memory), None) is not None


def headers(memory: bytes | mmap.mmap) -> Iterator[int]:
    """Where complete park headers are."""
    sought, at = _CHECK.pack(_MAGIC), -1
    while (at := memory.find(sought, at + 1)) >= 0:
        if at % 8 == 0 and _is_header(memory[at : at + _BYTES_MAX]):
            yield at


def _is_header(data: bytes) -> bool:
    if len(data) < _START.size:
        return False
    _, version, length = _START.unpack_from(data)
    if version != _VERSION or not _START.size <= length - _CHECK.size <= len(data) - _CHECK.size:
        return False
    total = _FNV_START
    for byte in data[: length - _CHECK.size]:
        total = (total ^ byte) * _FNV_PRIME & (1 << 64) - 1
    return bool(_CHECK.unpack_from(data, length - _CHECK.size)[0] == total)
