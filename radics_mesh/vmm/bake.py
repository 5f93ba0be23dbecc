"""Library OS and program to one image that QEMU boots.

Behind the library OS come a page of header (`struct image_header` in guest_lib/kernel/layout.h),
the program's ELF file as it is, page for page, so that the library OS can map text and constants
where QEMU's loader put them, the files of `--file` (see `radics_mesh.vmm.baked`), and symbols.

x86_64: QEMU boots ELF files with a PVH note, so an image is the library OS's own with one more
segment. aarch64: QEMU boots what Linux calls an Image (Documentation/arm64/booting.rst): memory as
it shall be, with its distance from the start of RAM and its length in the first 64 bytes.
"""

from __future__ import annotations

import struct

from radics_mesh.errors import UsageError, WireError
from radics_mesh.vmm import abi
from radics_mesh.vmm.architecture import AARCH64, ALL
from radics_mesh.vmm.program import (
    IMAGE_HEADER,
    IMAGE_MAGIC,
    IMAGE_VERSION,
    PAGE_BYTES,
    check_program,
)

_ELF = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_PT_LOAD = 1
_READ = 4
_KERNEL_BASE = 0xFFFFFFFF80000000
_ARM64_LENGTH_AT = 16


def bake(
    kernel: bytes, program: bytes, name: str, files: bytes = b"", symbols: bytes = b""
) -> bytes:
    """The image's bytes, of the library OS's ELF file, a program's, packed `files`, and packed
    `symbols` behind all, which only aarch64's loader takes into memory.

    Raises UsageError when the program is no static ELF file for the kernel's machine.
    """
    machine = _ELF.unpack_from(kernel)[2]
    _check(program, machine)
    tail = len(symbols) if machine == AARCH64.elf_machine else 0
    header = IMAGE_HEADER.pack(
        IMAGE_MAGIC,
        IMAGE_VERSION,
        PAGE_BYTES,
        len(program),
        name.encode()[:255],
        len(files),
        tail,
        abi.ABI_MAJOR,
        abi.ABI_MINOR,
    )
    payload = b"".join(part.ljust(_page_up(len(part)), b"\0") for part in (header, program, files))
    return _boot(kernel, payload, symbols)


def boot_image(kernel: bytes) -> bytes:
    """The library OS alone, as QEMU boots it: it says that it has no program."""
    return _boot(kernel, bytes(PAGE_BYTES))


def _boot(kernel: bytes, payload: bytes, symbols: bytes = b"") -> bytes:
    if _ELF.unpack_from(kernel)[2] == AARCH64.elf_machine:
        return _arm64_image(kernel, payload + symbols)
    return _elf_image(kernel, payload) + symbols


def _check(program: bytes, machine: int) -> None:
    """UsageError that says why this library OS could not run it."""
    try:
        if len(program) >= _ELF.size and program[:4] == b"\x7fELF":
            _check_machine(_ELF.unpack_from(program)[2], machine)
        check_program(program)
    except WireError as error:
        raise UsageError(str(error)) from error


def _check_machine(found: int, machine: int) -> None:
    if found != machine:
        names = {a.elf_machine: a.name for a in ALL.values()}
        raise WireError(
            f"the program was compiled for another machine ({names.get(found, found)}) than "
            f"{names.get(machine, machine)}"
        )


def _segments(kernel: bytes) -> list[tuple[int, ...]]:
    """kind, flags, offset, virtual and physical address, bytes in file, bytes in memory, align."""
    head = _ELF.unpack_from(kernel)
    table_at, count = head[5], head[10]
    return [_SEGMENT.unpack_from(kernel, table_at + i * _SEGMENT.size) for i in range(count)]


def _elf_image(kernel: bytes, payload: bytes) -> bytes:
    head = _ELF.unpack_from(kernel)
    segments = _segments(kernel)
    image_at = _page_up(max(s[4] + s[6] for s in segments if s[0] == _PT_LOAD))
    # A new table of segments in front: the kernel file's own has no room for one more.
    shift = PAGE_BYTES
    body = kernel.ljust(_page_up(len(kernel)), b"\0")
    table = [(kind, flags, offset + shift, *rest) for kind, flags, offset, *rest in segments]
    table.append(
        (
            _PT_LOAD,
            _READ,
            shift + len(body),
            _KERNEL_BASE + image_at,
            image_at,
            len(payload),
            len(payload),
            PAGE_BYTES,
        )
    )
    elf = _ELF.pack(
        head[0], head[1], head[2], 1, head[4], _ELF.size, 0, 0, _ELF.size, _SEGMENT.size,
        len(table), 0, 0, 0,
    )  # fmt: skip
    front = elf + b"".join(_SEGMENT.pack(*segment) for segment in table)
    return front.ljust(PAGE_BYTES, b"\0") + body + payload


def _arm64_image(kernel: bytes, payload: bytes) -> bytes:
    loads = [s for s in _segments(kernel) if s[0] == _PT_LOAD and s[5]]
    start = min(s[4] for s in loads)
    flat = bytearray(_page_up(max(s[4] + s[6] for s in loads) - start))
    for _, _, offset, _, at, file_bytes, _, _ in loads:
        flat[at - start : at - start + file_bytes] = kernel[offset : offset + file_bytes]
    flat += payload
    struct.pack_into("<Q", flat, _ARM64_LENGTH_AT, len(flat))
    return bytes(flat)


def _page_up(n: int) -> int:
    return -(-n // PAGE_BYTES) * PAGE_BYTES
