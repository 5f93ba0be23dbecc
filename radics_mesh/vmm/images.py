"""Images on this node, each under the hash of its content.

A file is complete and true under its name or it is not there: written durably, checked again when
it is loaded. What came damaged, or was damaged on its medium, is never started.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from radics_mesh.durable import sync_directory, write_durably
from radics_mesh.errors import GuestError, UsageError, WireError
from radics_mesh.ids import Digest
from radics_mesh.vmm.architecture import X86_64, Architecture
from radics_mesh.vmm.image import PAGE_BYTES, architecture_of, load_segments
from radics_mesh.vmm.program import check_program, has_program, memory_needed, program_of

IMAGE_MAX_BYTES = 256 << 20
_SUFFIX = ".img"

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
    digest: Digest
    architecture: str
    size_bytes: int


def inspect(content: bytes) -> ImageInfo:
    """What an image is; UsageError for anything that is none, whatever the bytes."""
    if len(content) > IMAGE_MAX_BYTES:
        raise UsageError(f"not a RaDiCS image: over {IMAGE_MAX_BYTES >> 20} MiB")
    try:
        found = architecture_of(content)
        if found is X86_64:
            _check_bootable(content)
        load_segments(content)
        if has_program(content):  # else it boots, and its library OS says so
            check_program(program_of(content))
    except struct.error as error:
        raise UsageError("not a RaDiCS image: truncated") from error
    except WireError as error:
        raise UsageError(f"not a RaDiCS image: {error}") from error
    return ImageInfo(Digest.of(content), found.name, len(content))


def check_fits(content: bytes, memory_bytes: int) -> None:
    """UsageError for an image of ours that a machine of this size could not start."""
    needed = max((s.address + s.memory_bytes for s in load_segments(content)), default=0)
    if has_program(content):
        needed += memory_needed(program_of(content))
    if needed > memory_bytes:
        raise UsageError(
            f"the image needs {-(-needed >> 20)} MiB of memory at least, not {memory_bytes >> 20}"
        )


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


class ImageStore:
    """A directory of images. Blocking; an image is a few megabytes."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory

    def put(self, content: bytes) -> ImageInfo:
        """Keep an image durably; UsageError when it is none."""
        info = inspect(content)
        path = self.path(info.digest)
        if not self._is_whole(info.digest):
            # QEMU opens it again as another user.
            write_durably(path, content, mode=0o444)
        return info

    def put_named(self, content: bytes, digest: Digest) -> ImageInfo:
        """As `put`, for what came from a peer; WireError when it is another content."""
        if Digest.of(content) != digest:
            raise WireError(f"image {digest.short} came altered")
        return self.put(content)

    def path(self, digest: Digest) -> Path:
        """Where the image is, or would be."""
        return self._directory / f"{digest.hex()}{_SUFFIX}"

    def holds(self, digest: Digest) -> bool:
        return self.path(digest).exists()

    def load(self, digest: Digest) -> bytes:
        """The content, checked. UsageError: not here. GuestError: damaged on this medium."""
        try:
            content = self.path(digest).read_bytes()
        except FileNotFoundError as error:
            raise UsageError(f"image {digest.short} is not on this node") from error
        if Digest.of(content) != digest:
            raise GuestError(f"image {digest.short} is damaged on disk")
        return content

    def checked_path(self, digest: Digest) -> Path:
        """For QEMU to boot from; errors as `load`."""
        self.load(digest)
        return self.path(digest)

    def architecture(self, digest: Digest) -> Architecture:
        """Errors as `load`; but only the first bytes are looked at."""
        try:
            with self.path(digest).open("rb") as file:
                return architecture_of(file.read(PAGE_BYTES))
        except FileNotFoundError as error:
            raise UsageError(f"image {digest.short} is not on this node") from error
        except WireError as error:
            raise GuestError(f"image {digest.short} is damaged on disk") from error

    def digests(self) -> list[Digest]:
        found = []
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            raw = bytes.fromhex(path.stem) if _is_hex_digest(path.stem) else b""
            if raw:
                found.append(Digest(raw))
        return found

    def remove(self, digest: Digest) -> None:
        """Durably; a no-op when it is not here."""
        self.path(digest).unlink(missing_ok=True)
        sync_directory(self._directory)

    def _is_whole(self, digest: Digest) -> bool:
        try:
            return Digest.of(self.path(digest).read_bytes()) == digest
        except FileNotFoundError:
            return False


def _is_hex_digest(text: str) -> bool:
    return len(text) == 2 * Digest.LENGTH and all(c in "0123456789abcdef" for c in text)


def read(path: Path) -> bytes:
    """A user's image file; UsageError when it cannot be read or is too long to be one."""
    try:
        if path.stat().st_size > IMAGE_MAX_BYTES:
            raise UsageError(f"{path}: not a RaDiCS image: over {IMAGE_MAX_BYTES >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {os.strerror(error.errno or 0)}") from error
