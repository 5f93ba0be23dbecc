"""What of an image is for debuggers: the program's ELF file, and its symbols (vmm.symbols)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from radics_mesh.debug.elf import ElfFile
from radics_mesh.errors import WireError
from radics_mesh.vmm.image import PAGE_BYTES
from radics_mesh.vmm.symbols import symbols_of

_MAGIC = b"RdCSIMGE"
_HEADER = struct.Struct("<8sIIQ")


@dataclass(frozen=True)
class Debuggable:
    """`symbols`: None for an image that was built without -g."""

    program: ElfFile
    symbols: ElfFile | None


def read_image(image: bytes) -> Debuggable:
    """WireError for anything that is no image."""
    symbols = symbols_of(image)
    return Debuggable(ElfFile(_program(image)), None if symbols is None else ElfFile(symbols))


def _program(image: bytes) -> bytes:
    at = -1
    while (at := image.find(_MAGIC, at + 1)) >= 0:
        if at % PAGE_BYTES or len(image) - at < _HEADER.size:
            continue
        _, version, header_bytes, program_bytes = _HEADER.unpack_from(image, at)
        start = at + header_bytes
        if version == 1 and image[start : start + 4] == b"\x7fELF":
            program = image[start : start + program_bytes]
            if len(program) == program_bytes:
                return program
    raise WireError("image: there is no program in it")
