"""Where a machine's processor begins, in a QEMU that has loaded a stub in place of an image.

On x86_64 QEMU's firmware jumps to the address in the kernel's Xen note, which is the same in every
image of ours: what lies there may be laid later. On aarch64 the first instructions in RAM are
QEMU's own and jump to the address behind them, so that is changed.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from radics_mesh.errors import UsageError, WireError
from radics_mesh.vmm import probe
from radics_mesh.vmm.architecture import AARCH64, X86_64, Architecture
from radics_mesh.vmm.image import PAGE_BYTES, architecture_of, load_segments, loaded_runs
from radics_mesh.vmm.ram import write_at

STUBS = {
    X86_64.name: probe.kernel(bytes.fromhex("fa f4 ebfd")),
    AARCH64.name: probe.arm64_image(bytes.fromhex("7f2003d5 ffffff17")),
}
_STUB_PAGE = probe.LOAD // PAGE_BYTES
_ARM64_RAM = 0x40000000
# Device tree and entry, behind six instructions (hw/arm/boot.c).
_ARM64_WORDS_AT, _ARM64_WORDS = 24, struct.Struct("<QQ")
_ELF = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_PT_NOTE = 4
_NOTE = struct.Struct("<III4s")
_NOTE_PHYS32_ENTRY = 18


def of(image: bytes) -> int:
    """The physical address at which an image is entered. WireError: it says none."""
    if architecture_of(image) is AARCH64:
        return _ARM64_RAM + load_segments(image)[0].address
    head = _ELF.unpack_from(image)
    load_segments(image)  # the table of segments is whole
    for index in range(head[10]):
        kind, _, offset, _, _, length, _, _ = _SEGMENT.unpack_from(
            image, head[5] + index * _SEGMENT.size
        )
        if kind == _PT_NOTE and (found := _noted(image[offset : offset + length])) is not None:
            return found
    raise WireError("image: no note says where it is entered")


def _noted(notes: bytes) -> int | None:
    at = 0
    while at + _NOTE.size <= len(notes):
        name_bytes, value_bytes, kind, name = _NOTE.unpack_from(notes, at)
        value_at = at + 12 + (name_bytes + 3) // 4 * 4
        value = notes[value_at : value_at + value_bytes]
        if (kind, name, len(value)) == (_NOTE_PHYS32_ENTRY, b"Xen\0", value_bytes):
            return int.from_bytes(value, "little")
        at = value_at + (value_bytes + 3) // 4 * 4
    return None


def redirect(ram: Path, image: bytes, architecture: Architecture) -> None:
    """Have a machine that waits with its stub begin at an image's entry. Blocks.

    UsageError: it cannot be done; nothing was changed.
    """
    target, stub = of(image), of(STUBS[architecture.name])
    if architecture is not AARCH64:
        if target != stub:
            raise UsageError(f"the image is entered at {target:#x}, not at {stub:#x}")
        return
    descriptor = os.open(ram, os.O_RDWR | os.O_CLOEXEC)
    try:
        words = os.pread(descriptor, _ARM64_WORDS.size, _ARM64_WORDS_AT)
        tree, entry = _ARM64_WORDS.unpack(words)
        end = _ARM64_RAM + max(s.address + s.memory_bytes for s in load_segments(image))
        if entry != stub or tree < end:
            raise UsageError("QEMU has laid this machine's memory out in another way")
        os.pwrite(descriptor, _ARM64_WORDS.pack(tree, target), _ARM64_WORDS_AT)
    finally:
        os.close(descriptor)


def lay_image(ram: Path, memory_bytes: int, image: bytes) -> None:
    """Lay an image where only the stub is, as QEMU's loader would have. Blocks."""
    runs = loaded_runs(image, memory_bytes)
    descriptor = os.open(ram, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, bytes(PAGE_BYTES), _STUB_PAGE * PAGE_BYTES)
        for address, content in runs:
            write_at(descriptor, content, address)
    finally:
        os.close(descriptor)
