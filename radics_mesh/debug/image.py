"""What of an image is for debuggers: the program's ELF file, and its symbols (vmm.symbols)."""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.debug.elf import ElfFile
from radics_mesh.vmm.program import program_of
from radics_mesh.vmm.symbols import symbols_of


@dataclass(frozen=True)
class Debuggable:
    """`symbols`: None for an image that was built without -g."""

    program: ElfFile
    symbols: ElfFile | None


def read_image(image: bytes) -> Debuggable:
    """WireError for anything that is no image."""
    symbols = symbols_of(image)
    return Debuggable(ElfFile(program_of(image)), None if symbols is None else ElfFile(symbols))
