"""A program's ELF file, as far as a backtrace needs it. Untrusted bytes: only WireError."""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property

from radics_mesh.debug.registers import ARCHITECTURES, Architecture
from radics_mesh.errors import WireError

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_PT_LOAD = 1
_SHT_SYMTAB = 2
_SYMBOLS_MAX = 1 << 20
_TABLE_MAX = 256


@dataclass(frozen=True)
class Segment:
    flags: int
    offset: int
    address: int
    file_bytes: int
    memory_bytes: int


@dataclass(frozen=True)
class ElfFile:
    """`content`: all of the file."""

    content: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.content) < _HEADER.size or self.content[:6] != b"\x7fELF\x02\x01":
            raise WireError("not a little-endian ELF64 file")

    @cached_property
    def _head(self) -> tuple[int, ...]:
        return _HEADER.unpack_from(self.content)[1:]

    @cached_property
    def architecture(self) -> Architecture:
        found = ARCHITECTURES.get(self._head[1])
        if found is None:
            raise WireError("ELF file for an unknown processor")
        return found

    @cached_property
    def _entries(self) -> list[tuple[int, ...]]:
        at, size, count = self._head[4], self._head[8], self._head[9]
        if size != _SEGMENT.size or count > _TABLE_MAX or at + count * size > len(self.content):
            raise WireError("ELF file: bad table of segments")
        return [_SEGMENT.unpack_from(self.content, at + i * size) for i in range(count)]

    @cached_property
    def segments(self) -> list[Segment]:
        """The loadable ones."""
        return [Segment(e[1], e[2], e[3], e[5], e[6]) for e in self._entries if e[0] == _PT_LOAD]

    def is_code(self, address: int) -> bool:
        return any(
            s.flags & 1 and s.address <= address < s.address + s.memory_bytes for s in self.segments
        )

    def read(self, address: int, length: int) -> bytes:
        """What the file has there; WireError when it has not."""
        for s in self.segments:
            if s.address <= address and address + length <= s.address + s.file_bytes:
                start = s.offset + address - s.address
                found = self.content[start : start + length]
                if len(found) == length:
                    return found
        raise WireError("ELF file: nothing is at that address")

    @cached_property
    def sections(self) -> list[tuple[int, ...]]:
        """name, type, flags, address, offset, size, link, info, align, entry size; of each."""
        at, size, count = self._head[5], self._head[10], self._head[11]
        if not count or not at:
            return []
        if size != _SECTION.size or at + count * size > len(self.content):
            raise WireError("ELF file: bad table of sections")
        return [_SECTION.unpack_from(self.content, at + i * size) for i in range(count)]

    def section(self, name: str) -> tuple[int, bytes] | None:
        """Address and content; None: there is none."""
        wanted, sections, names = name.encode() + b"\0", self.sections, self._head[12]
        if names >= len(sections):
            return None
        start = sections[names][4]
        for section in sections:
            at = start + section[0]
            if self.content[at : at + len(wanted)] == wanted:
                return section[3], self.content[section[4] : section[4] + section[5]]
        return None

    @cached_property
    def _symbols(self) -> list[tuple[int, int, int, int]]:
        """(start, length, offset of the name, is a function), by start, of all named code."""
        found: list[tuple[int, int, int, int]] = []
        for section in self.sections:
            if section[1] != _SHT_SYMTAB or section[6] >= len(self.sections):
                continue
            table = self.content[section[4] : section[4] + section[5]]
            if len(table) % _SYMBOL.size or len(table) > _SYMBOLS_MAX * _SYMBOL.size:
                raise WireError("ELF file: bad table of symbols")
            names = self.sections[section[6]][4]
            for name, info, _, index, value, size in _SYMBOL.iter_unpack(table):
                if info & 15 in (0, 2, 10) and index and name and value:
                    found.append((value, size, names + name, info & 15 != 0))
        # Of several names at one place, the one with a length, and of those a global one.
        found.sort(key=lambda symbol: (symbol[0], symbol[3], symbol[1]))
        return found

    @cached_property
    def _starts(self) -> list[int]:
        return [symbol[0] for symbol in self._symbols]

    def symbol(self, address: int) -> tuple[str, int] | None:
        """Name, as the linker knows it, and start of the function there."""
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        start, length, name, _ = self._symbols[index]
        if length and address >= start + length:
            return None
        end = self.content.find(b"\0", name, name + 4096)
        if end < 0:
            return None
        return self.content[name:end].decode("utf-8", "replace"), start
