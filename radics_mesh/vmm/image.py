"""What a boot image puts into a machine's memory: the pages that a snapshot need not carry.

For x86_64 an image is an ELF64 file, for aarch64 an arm64 Image (see `radics_mesh.vmm.bake`).
QEMU's loader copies each loadable segment's bytes to its physical address and zeroes what the
segment has beyond its bytes. Nothing else above the firmware's part is written at a start, but for
the device tree in the middle of an aarch64 machine's memory, which the library OS reads and clears
at a cold start, and a warm start does not look at.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from radics_mesh.errors import WireError
from radics_mesh.vmm.architecture import AARCH64, X86_64, Architecture

PAGE_BYTES = 4096
_MIB = 1 << 20
IMAGE_BYTES_MAX = 1 << 30

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_PT_LOAD = 1
# b, code | distance from RAM's start, length, flags | reserved | "ARM\x64", reserved
_ARM64 = struct.Struct("<8sQQQ24s4sI")
_ARM64_MAGIC = b"ARM\x64"
# See ram.FIRMWARE_BYTES.
_FIRMWARE_BYTES = 1 << 20
_SEGMENTS_MAX = 64
_ZERO = bytes(PAGE_BYTES)


@dataclass(frozen=True)
class Segment:
    """Bytes `image[offset : offset + file_bytes]` at `address`, counted from RAM's start, then
    zeroes up to `memory_bytes`."""

    address: int
    offset: int
    file_bytes: int
    memory_bytes: int


def architecture_of(image: bytes) -> Architecture:
    """Whose machine QEMU would boot it on, by its first bytes. WireError: none's."""
    if image[:6] == b"\x7fELF\x02\x01" and len(image) >= _HEADER.size:
        if (machine := _HEADER.unpack_from(image)[2]) == X86_64.elf_machine:
            return X86_64
        raise WireError(f"image: an ELF file for another processor ({machine})")
    if len(image) >= _ARM64.size and _ARM64.unpack_from(image)[5] == _ARM64_MAGIC:
        return AARCH64
    raise WireError("image: neither a 64-bit ELF file nor an arm64 Image")


def load_segments(image: bytes) -> list[Segment]:
    """The image's loadable segments, by address. WireError for anything that is no image."""
    if len(image) < _HEADER.size or len(image) > IMAGE_BYTES_MAX:
        raise WireError(f"image: {len(image)} bytes cannot be one")
    if architecture_of(image) is AARCH64:
        return [_arm64_segment(image)]
    return _elf_segments(image)


def _arm64_segment(image: bytes) -> Segment:
    _, offset, length, *_ = _ARM64.unpack_from(image)
    if length != len(image):
        raise WireError("image: cut off, or longer than it says")
    if offset % PAGE_BYTES or not _FIRMWARE_BYTES <= offset < IMAGE_BYTES_MAX:
        raise WireError("image: its place in memory cannot be")
    return Segment(offset, 0, length, length)


def _elf_segments(image: bytes) -> list[Segment]:
    _, _, _, _, _, at, _, _, _, entry_bytes, count, _, _, _ = _HEADER.unpack_from(image)
    if entry_bytes != _SEGMENT.size or not 0 < count <= _SEGMENTS_MAX:
        raise WireError("image: bad table of segments")
    if at + count * _SEGMENT.size > len(image):
        raise WireError("image: the table of segments is cut off")
    found = []
    for index in range(count):
        kind, _, offset, _, address, file_bytes, memory_bytes, _ = _SEGMENT.unpack_from(
            image, at + index * _SEGMENT.size
        )
        if kind == _PT_LOAD and memory_bytes:
            found.append(_checked(Segment(address, offset, file_bytes, memory_bytes), len(image)))
    found.sort(key=lambda segment: segment.address)
    for below, above in pairwise(found):
        if below.address + below.memory_bytes > above.address:
            raise WireError("image: segments overlap")
    return found


def _checked(segment: Segment, image_bytes: int) -> Segment:
    if segment.offset + segment.file_bytes > image_bytes:
        raise WireError("image: a segment is cut off")
    if segment.file_bytes > segment.memory_bytes or segment.memory_bytes > IMAGE_BYTES_MAX:
        raise WireError("image: a segment's sizes cannot be")
    return segment


def least_memory_bytes(image: bytes) -> int:
    """With less, in whole MiB, QEMU finds no room for what it loads. WireError as load_segments.

    On aarch64 the device tree takes a MiB at the next multiple of 2 MiB behind the image and behind
    half the memory, or 128 MiB (QEMU's hw/arm/boot.c).
    """
    end = max(segment.address + segment.memory_bytes for segment in load_segments(image))
    memory_bytes = _up(end, _MIB)
    while architecture_of(image) is AARCH64:
        tree = _up(max(min(memory_bytes // 2, 128 * _MIB), end), 2 * _MIB)
        if tree + _MIB <= memory_bytes:
            break
        memory_bytes += _MIB
    return memory_bytes


def _up(n: int, step: int) -> int:
    return -(-n // step) * step


def loaded_runs(image: bytes, memory_bytes: int) -> Iterator[tuple[int, memoryview]]:
    """What QEMU's loader lays into memory that is zero elsewhere: (address, bytes), ascending.

    WireError as `loaded_pages`, before the first.
    """
    segments = load_segments(image)
    if any(s.address + s.memory_bytes > memory_bytes for s in segments):
        raise WireError("image: does not fit into the machine's memory")
    whole = memoryview(image)
    return ((s.address, whole[s.offset : s.offset + s.file_bytes]) for s in segments)


def loaded_pages(image: bytes, memory_bytes: int) -> dict[int, bytes]:
    """RAM after QEMU's loader, as page number -> 4096 bytes; a page that is not there is zero.

    Only segments' pages: what firmware leaves in its part is nobody's. WireError also
    when a segment lies beyond `memory_bytes`.
    """
    pages: dict[int, bytearray] = {}
    for at, content in loaded_runs(image, memory_bytes):
        while content:
            index, inside = divmod(at, PAGE_BYTES)
            length = min(PAGE_BYTES - inside, len(content))
            page = pages.setdefault(index, bytearray(PAGE_BYTES))
            page[inside : inside + length] = content[:length]
            at, content = at + length, content[length:]
    return {index: bytes(page) for index, page in sorted(pages.items()) if page != _ZERO}
