"""The memory of a parked guest: physical bytes, and what the kernel's page tables make of them.

Everything in it is whatever the guest left there: each read is checked, each walk bounded, and
WireError says that something is not as it should be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from radics_mesh.errors import WireError
from radics_mesh.vmm.image import PAGE_BYTES

_ENTRIES = 512
_SHIFTS = (39, 30, 21, 12)
_ZERO = bytes(PAGE_BYTES)


@dataclass(frozen=True)
class Ram:
    """Pages by number, counted from the start of RAM; one that is not there is zero."""

    pages: Mapping[int, bytes] = field(repr=False)
    size_bytes: int

    def page(self, number: int) -> bytes:
        if not 0 <= number < self.size_bytes // PAGE_BYTES:
            raise WireError("guest memory: an address outside of it")
        return self.pages.get(number, _ZERO)

    def read(self, at: int, length: int) -> bytes:
        """`at`: bytes from the start of RAM."""
        if length > self.size_bytes:
            raise WireError("guest memory: more than there is")
        parts = []
        while length:
            number, inside = divmod(at, PAGE_BYTES)
            part = self.page(number)[inside : inside + length]
            parts.append(part)
            at, length = at + len(part), length - len(part)
        return b"".join(parts)

    def word(self, at: int) -> int:
        return int.from_bytes(self.read(at, 8), "little")


@dataclass(frozen=True)
class Tables:
    """How an architecture's page tables are read. Both have four levels of 512 entries."""

    address_mask: int
    # A table that is no table but a big page: these bits of the entry have that value.
    big_mask: int
    big_value: int


# Intel SDM 3A, 4.5; Arm ARM D8.3 (stage 1, 4 KiB granule).
TABLES = {
    "x86_64": Tables(0x000F_FFFF_FFFF_F000, 1 << 7, 1 << 7),
    "aarch64": Tables(0x0000_FFFF_FFFF_F000, 3, 1),
}


@dataclass(frozen=True)
class AddressSpace:
    """`roots`: where the tables of the lower and the upper half are, in bytes from RAM's start."""

    ram: Ram
    ram_base: int
    roots: tuple[int, int]
    tables: Tables

    def translate(self, address: int) -> int:
        """Bytes from the start of RAM; WireError when nothing is there."""
        table = self.roots[address >> 63]
        for shift in _SHIFTS:
            entry = self.ram.word(table + (address >> shift & _ENTRIES - 1) * 8)
            if not entry:
                raise WireError("guest memory: nothing is at an address")
            place = (entry & self.tables.address_mask) - self.ram_base
            if shift == 12:
                return place + address % PAGE_BYTES
            if entry & self.tables.big_mask == self.tables.big_value:
                size = 1 << shift
                return place // size * size + address % size
            table = place
        raise AssertionError

    def read(self, address: int, length: int) -> bytes:
        parts = []
        while length:
            part = min(length, PAGE_BYTES - address % PAGE_BYTES)
            parts.append(self.ram.read(self.translate(address), part))
            address, length = address + part, length - part
        return b"".join(parts)

    def word(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little")

    def program_pages(self) -> dict[int, int]:
        """Address -> page number in RAM, of all pages of the lower half, also hidden ones."""
        seen: set[int] = set()  # no table is in two places
        found: dict[int, int] = {}
        waiting = [(self.roots[0], 0, 0)]
        while waiting:
            table, start, level = waiting.pop()
            if table in seen:
                raise WireError("guest memory: page tables without end")
            seen.add(table)
            for index, entry in self._entries(table):
                address = start + (index << _SHIFTS[level])
                place = (entry & self.tables.address_mask) - self.ram_base
                if level == len(_SHIFTS) - 1:
                    found[address] = place // PAGE_BYTES
                elif address >> 47 == 0 and entry & self.tables.big_mask != self.tables.big_value:
                    waiting.append((place, address, level + 1))
        return found

    def _entries(self, table: int) -> Iterator[tuple[int, int]]:
        content = self.ram.read(table, _ENTRIES * 8)
        for index in range(_ENTRIES):
            entry = int.from_bytes(content[index * 8 : index * 8 + 8], "little")
            if entry:
                yield index, entry
