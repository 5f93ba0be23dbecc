"""Source file and line of an address, from DWARF line tables (pyelftools).

pyelftools raises whatever it stumbles over in broken files, hence the wide net here; and it may
take long, hence a process of its own for what comes from others (radics_mesh.debug.explainer).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.dwarf.ranges import BaseAddressEntry
from elftools.elf.elffile import ELFFile

_BROKEN = (ELFError, ConstructError, LookupError, ValueError, TypeError, AttributeError, OSError)


class Lines:
    """Of one ELF file; empty when it has no line tables."""

    def __init__(self, content: bytes) -> None:
        self._info: Any = None
        self._units: list[tuple[int, int, int]] = []
        self._tables: dict[int, list[tuple[int, int, str]]] = {}
        try:
            file = ELFFile(io.BytesIO(content))
            if file.has_dwarf_info():
                self._info = file.get_dwarf_info()
                self._units = list(self._ranges())
        except _BROKEN:
            self._units = []

    def _ranges(self) -> Iterator[tuple[int, int, int]]:
        """(first address, end, where its unit is). Go writes no table of them."""
        table = self._info.get_aranges()
        if table is not None:
            for entry in table.entries:
                yield entry.begin_addr, entry.begin_addr + entry.length, entry.info_offset
            return
        for unit in self._info.iter_CUs():
            for low, high in self._unit_ranges(unit):
                yield low, high, unit.cu_offset

    def _unit_ranges(self, unit: Any) -> Iterator[tuple[int, int]]:
        attributes = unit.get_top_DIE().attributes
        if "DW_AT_low_pc" not in attributes:
            return
        base = attributes["DW_AT_low_pc"].value
        if "DW_AT_ranges" in attributes:
            lists = self._info.range_lists()
            for entry in lists.get_range_list_at_offset(attributes["DW_AT_ranges"].value, unit):
                if isinstance(entry, BaseAddressEntry):
                    base = entry.base_address
                else:
                    start = 0 if entry.is_absolute else base
                    yield start + entry.begin_offset, start + entry.end_offset
        elif "DW_AT_high_pc" in attributes:
            high = attributes["DW_AT_high_pc"]
            yield base, high.value if high.form == "DW_FORM_addr" else base + high.value

    def at(self, address: int) -> tuple[str, int] | None:
        """File, as the compiler was told of it, and line."""
        for low, high, unit in self._units:
            if low <= address < high:
                return self._in_unit(unit, address)
        return None

    def _in_unit(self, unit: int, address: int) -> tuple[str, int] | None:
        try:
            if unit not in self._tables:
                self._tables[unit] = self._table(unit)
        except _BROKEN:
            return None
        for start, end, name, line in _found(self._tables[unit]):
            if start <= address < end:
                return name, line
        return None

    def _table(self, unit: int) -> list[tuple[int, int, str]]:
        """(address, line, file) in the table's order; line 0: the code before it ends there."""
        program = self._info.line_program_for_CU(self._info.get_CU_at(unit))
        rows = []
        for entry in program.get_entries():
            state = entry.state
            if state is None:
                continue
            line = 0 if state.end_sequence else state.line
            rows.append((state.address, line, _file(program, state.file)))
        return rows


def _found(rows: list[tuple[int, int, str]]) -> list[tuple[int, int, str, int]]:
    return [(start, end, name, line) for (start, line, name), (end, _, _) in pairwise(rows) if line]


def _file(program: Any, index: int) -> str:
    """DWARF 5 counts files from 0, earlier versions from 1."""
    header = program.header
    entry = header.file_entry[index if header.version >= 5 else index - 1]
    name: str = entry.name.decode("utf-8", "replace")
    return name.rsplit("/", 1)[-1]
