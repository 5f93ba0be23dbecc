"""What an image is: bytes that QEMU boots, of an architecture, that a machine has room for."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from radics_mesh.errors import UsageError, WireError
from radics_mesh.ids import Digest
from radics_mesh.vmm.architecture import X86_64
from radics_mesh.vmm.image import architecture_of, load_segments
from radics_mesh.vmm.program import check_program, has_program, memory_needed, program_of

IMAGE_MAX_BYTES = 256 << 20

# ELF-64, little-endian; only what tells a kernel that QEMU can boot from anything else.
_HEADER = struct.Struct("<4sBB10xHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SEGMENTS_MAX = 64
_PT_NOTE = 4
# Owner, type 18 (XEN_ELFNOTE_PHYS32_ENTRY): where QEMU enters a PVH kernel.
_PVH_NOTE = struct.pack("<III4s", 4, 4, 18, b"Xen\0")
_PVH_NOTE_64 = struct.pack("<III4s", 4, 8, 18, b"Xen\0")


@dataclass(frozen=True)
class ImageInfo:
    """`needed_bytes`: of memory, at least."""

    digest: Digest
    architecture: str
    size_bytes: int
    needed_bytes: int

    def check_fits(self, memory_bytes: int) -> None:
        """UsageError for an image of ours that a machine of this size could not start."""
        if self.needed_bytes > memory_bytes:
            raise UsageError(
                f"the image needs {-(-self.needed_bytes >> 20)} MiB of memory at least,"
                f" not {memory_bytes >> 20}"
            )


def inspect(content: bytes) -> ImageInfo:
    """What an image is; UsageError for anything that is none, whatever the bytes."""
    if len(content) > IMAGE_MAX_BYTES:
        raise UsageError(f"not a RaDiCS image: over {IMAGE_MAX_BYTES >> 20} MiB")
    try:
        found = architecture_of(content)
        if found is X86_64:
            _check_bootable(content)
        needed = max((s.address + s.memory_bytes for s in load_segments(content)), default=0)
        if has_program(content):  # else it boots, and its library OS says so
            check_program(program_of(content))
            needed += memory_needed(program_of(content))
    except struct.error as error:
        raise UsageError("not a RaDiCS image: truncated") from error
    except WireError as error:
        raise UsageError(f"not a RaDiCS image: {error}") from error
    return ImageInfo(Digest.of(content), found.name, len(content), needed)


def _check_bootable(content: bytes) -> None:
    fields = _HEADER.unpack_from(content)
    table, entry_bytes, entries = fields[7], fields[11], fields[12]
    if entry_bytes != _SEGMENT.size or entries > _SEGMENTS_MAX:
        raise UsageError("not a RaDiCS image: damaged program headers")
    for index in range(entries):
        kind, _, offset, _, _, length, _, _ = _SEGMENT.unpack_from(
            content, table + index * _SEGMENT.size
        )
        note = content[offset : offset + min(length, 4096)]
        if kind == _PT_NOTE and (_PVH_NOTE in note or _PVH_NOTE_64 in note):
            return
    raise UsageError("not a RaDiCS image: nothing that QEMU could boot (a plain program?)")


def read(path: Path, reader: Callable[[Path], bytes] = Path.read_bytes) -> bytes:
    """A user's image file; UsageError when it cannot be read or is too long to be one."""
    try:
        if path.stat().st_size > IMAGE_MAX_BYTES:
            raise UsageError(f"{path}: not a RaDiCS image: over {IMAGE_MAX_BYTES >> 20} MiB")
        return reader(path)
    except OSError as error:
        raise UsageError(f"{path}: {os.strerror(error.errno or 0)}") from error
