"""What a boot image puts into a machine's memory: the pages that a snapshot need not carry.

An image is an ELF64 file (see `radics_mesh.vmm.build`). QEMU's loader copies each loadable
segment's bytes to its physical address and zeroes what the segment has beyond its bytes; nothing
else above the first megabyte is written at a start.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

from radics_mesh.errors import WireError

PAGE_BYTES = 4096
IMAGE_BYTES_MAX = 1 << 30

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_PT_LOAD = 1
_SEGMENTS_MAX = 64
_ZERO = bytes(PAGE_BYTES)


@dataclass(frozen=True)
class Segment:
    """Bytes `image[offset : offset + file_bytes]` at physical `address`, then zeroes up to
    `memory_bytes`."""

    address: int
    offset: int
    file_bytes: int
    memory_bytes: int


def load_segments(image: bytes) -> list[Segment]:
    """The image's loadable segments, by address. WireError for anything that is no image."""
    if len(image) < _HEADER.size or len(image) > IMAGE_BYTES_MAX:
        raise WireError(f"image: {len(image)} bytes cannot be one")
    ident, _, _, _, _, at, _, _, _, entry_bytes, count, _, _, _ = _HEADER.unpack_from(image)
    if ident[:6] != b"\x7fELF\x02\x01":
        raise WireError("image: not a little-endian ELF64 file")
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


def loaded_pages(image: bytes, memory_bytes: int) -> dict[int, bytes]:
    """RAM after QEMU's loader, as page number -> 4096 bytes; a page that is not there is zero.

    Only segments' pages: what firmware leaves in the first megabyte is nobody's. WireError also
    when a segment lies beyond `memory_bytes`.
    """
    pages: dict[int, bytearray] = {}
    for segment in load_segments(image):
        if segment.address + segment.memory_bytes > memory_bytes:
            raise WireError("image: does not fit into the machine's memory")
        at, end = segment.address, segment.address + segment.file_bytes
        source = segment.offset
        while at < end:
            index, inside = divmod(at, PAGE_BYTES)
            length = min(PAGE_BYTES - inside, end - at)
            page = pages.setdefault(index, bytearray(PAGE_BYTES))
            page[inside : inside + length] = image[source : source + length]
            at, source = at + length, source + length
    return {index: bytes(page) for index, page in sorted(pages.items()) if page != _ZERO}
