"""The program in an image: where it is, and whether the library OS could run it.

The library OS looks again when it starts (guest_lib/kernel/process.c); here the same is said before
anything runs, at `build` and when a node takes an image. Untrusted bytes: WireError.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

from radics_mesh.errors import WireError
from radics_mesh.vmm import abi

PAGE_BYTES = 4096
IMAGE_MAGIC = 0x45474D4953436452  # "RdCSIMGE"
IMAGE_VERSION = 1
# struct image_header in guest_lib/kernel/layout.h
IMAGE_HEADER = struct.Struct("<QIIQ256sQQHH")

_ELF = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_ET_EXEC, _ET_DYN = 2, 3
_PT_LOAD, _PT_INTERP = 1, 3
_EXECUTE, _WRITE = 1, 2
_SEGMENTS_MAX = 128
# PROGRAM_START and PROGRAM_END in layout.h; a static-pie program's addresses count from a base.
_START, _END, _PIE_END = 0x10000, 0x7FFF_FFFF_E000, 1 << 45


@dataclass(frozen=True)
class _Load:
    flags: int
    offset: int
    address: int
    file_bytes: int
    memory_bytes: int

    @property
    def end(self) -> int:
        return self.address + self.memory_bytes


def program_of(image: bytes) -> bytes:
    """The program's ELF file in an image that is whole; WireError."""
    at = _header_at(image)
    if at is None:
        raise WireError("image: there is no program in it")
    _, version, header_bytes, length, _, _, _, major, _ = IMAGE_HEADER.unpack_from(image, at)
    if version != IMAGE_VERSION:
        raise WireError(f"image: of format {version}, which this node does not know")
    if major not in (0, abi.ABI_MAJOR):  # 0: older than the field, which began with version 1.1
        raise WireError(f"image: its library OS speaks version {major}, not {abi.ABI_MAJOR}")
    start = at + header_bytes
    if header_bytes != PAGE_BYTES or start + length > len(image):
        raise WireError("image: its program is cut off")
    return image[start : start + length]


def has_program(image: bytes) -> bool:
    return _header_at(image) is not None


def _header_at(image: bytes) -> int | None:
    """It begins a page, behind the library OS."""
    sought, at = struct.pack("<Q", IMAGE_MAGIC), -1
    while (at := image.find(sought, at + 1)) >= 0:
        if at % PAGE_BYTES == 0 and at + PAGE_BYTES <= len(image):
            return at
    return None


def check_program(program: bytes) -> None:
    """WireError that says why the library OS could not run it."""
    if len(program) < _ELF.size or program[:4] != b"\x7fELF":
        raise WireError("the program is not an ELF file")
    if program[4:6] != b"\x02\x01":
        raise WireError("the program is not a little-endian ELF64 file")
    head = _ELF.unpack_from(program)
    kind, entry = head[1], head[4]
    if kind not in (_ET_EXEC, _ET_DYN):
        raise WireError("the program is not an executable file (an object or a core?)")
    loads = _loads(program, head)
    if not loads:
        raise WireError("the program has no segments to load")
    low, high = (_START, _END) if kind == _ET_EXEC else (0, _PIE_END)
    for index, load in enumerate(loads):
        _check_segment(index, load, len(program), low, high)
    for below, above in pairwise(loads):
        if above.address < below.end:
            raise WireError("the program's segments overlap, or are not in order")
    if not any(s.flags & _EXECUTE and s.address <= entry < s.end for s in loads):
        raise WireError("the program's entry is not in its code")


def _loads(program: bytes, head: tuple[int, ...]) -> list[_Load]:
    at, size, count = head[5], head[9], head[10]
    if size != _SEGMENT.size or not 0 < count <= _SEGMENTS_MAX or at % 8:
        raise WireError("the program's table of segments cannot be")
    if at + count * size > len(program):
        raise WireError("the program's table of segments is cut off")
    found = []
    for index in range(count):
        kind, flags, offset, address, _, file_bytes, memory_bytes, _ = _SEGMENT.unpack_from(
            program, at + index * size
        )
        if kind == _PT_INTERP:
            raise WireError("the program is linked dynamically; it must be static (-static)")
        if kind == _PT_LOAD and memory_bytes:
            found.append(_Load(flags, offset, address, file_bytes, memory_bytes))
    return found


def _check_segment(index: int, load: _Load, length: int, low: int, high: int) -> None:
    wrong = ""
    if load.offset + load.file_bytes > length:
        wrong = "is cut off"
    elif load.memory_bytes < load.file_bytes or (load.address - load.offset) % PAGE_BYTES:
        wrong = "is malformed"
    elif load.address < low or load.end > high:
        wrong = "lies outside of a program's memory"
    elif load.flags & _WRITE and load.flags & _EXECUTE:
        wrong = "is both writable and executable"
    if wrong:
        raise WireError(f"the program's segment {index} {wrong}")


def memory_needed(program: bytes) -> int:
    """Bytes that a program's writable segments may come to fill, beside the image itself."""
    loads = _loads(program, _ELF.unpack_from(program))
    return sum(load.memory_bytes for load in loads if load.flags & _WRITE)
