"""Call frame information: how each function's frame is undone (DWARF 5, 6.4; LSB 5.0, 10.6).

Compilers write it for exceptions, so every static C++ program has it, and all of glibc; stripping
leaves it. GCC's static programs have no .eh_frame_hdr, whose table would be sorted, so the
entries' starts are all read once; a backtrace needs a few of thousands. Untrusted bytes: WireError,
nothing else; every loop is bounded by them.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

from radics_mesh.debug.cursor import Cursor
from radics_mesh.debug.elf import ElfFile
from radics_mesh.errors import WireError

_ENTRY_MAX = 1 << 16
_ENTRY_HEAD = struct.Struct("<II")  # length, distance to the common entry; 0: it is one
_STATES_MAX = 64

# How an address is written (LSB 5.0, 10.5.1): the low bits say its form, 0x70 what it is added to.
_ABSENT, _PCREL, _DATAREL = 0xFF, 0x10, 0x30
_FORMS: dict[int, Callable[[Cursor], int]] = {
    0x00: lambda c: c.unsigned(8),
    0x01: lambda c: c.uleb(),
    0x02: lambda c: c.unsigned(2),
    0x03: lambda c: c.unsigned(4),
    0x04: lambda c: c.unsigned(8),
    0x09: lambda c: c.sleb(),
    0x0A: lambda c: c.signed(2),
    0x0B: lambda c: c.signed(4),
    0x0C: lambda c: c.signed(8),
}


@dataclass(frozen=True)
class Offset:
    """Saved at CFA + n; `value`: it is CFA + n itself."""

    n: int
    value: bool = False


@dataclass(frozen=True)
class Register:
    number: int


@dataclass(frozen=True)
class Expression:
    """Saved at what the expression gives; `value`: it is that itself."""

    code: bytes
    value: bool = False


@dataclass(frozen=True)
class Undefined:
    pass


Rule = Offset | Register | Expression | Undefined


@dataclass(frozen=True)
class Row:
    """How to undo the frame at one instruction. A register without a rule is as it was."""

    cfa: tuple[int, int] | bytes = (0, 0)
    rules: dict[int, Rule] = field(default_factory=dict)
    return_column: int = 0
    is_signal: bool = False


@dataclass(frozen=True)
class _Common:
    code_factor: int
    data_factor: int
    return_column: int
    pointers: int
    has_data: bool
    is_signal: bool
    start: bytes


class CallFrames:
    """The table of one program."""

    def __init__(self, elf: ElfFile) -> None:
        self._elf = elf

    def row(self, address: int) -> Row | None:
        """None: there is no information about code there."""
        entry = self._find(address)
        return None if entry is None else self._read(entry, address)

    # --- finding ---

    def _find(self, address: int) -> int | None:
        """Where the entry is that may have the address: the last one that begins before it."""
        index = bisect_right(self._starts, (address, 1 << 64)) - 1
        return self._starts[index][1] if index >= 0 else None

    @cached_property
    def _starts(self) -> list[tuple[int, int]]:
        """(first address, where its entry is) of every function."""
        section = self._elf.section(".eh_frame")
        if section is None:
            return []
        start, content = section
        found, forms, at = [], dict[int, int](), 0
        while at + 8 <= len(content):
            length, distance = _ENTRY_HEAD.unpack_from(content, at)
            if not 4 <= length <= _ENTRY_MAX:
                break
            if distance:
                common = start + at + 4 - distance
                if common not in forms:
                    forms[common] = self._common(common).pointers
                found.append((self._first(content, at + 8, start, forms[common]), start + at))
            at += 4 + length
        return sorted(found)

    def _first(self, content: bytes, at: int, start: int, form: int) -> int:
        if form == _PCREL | 0x0B:  # what everybody writes
            return start + at + int.from_bytes(content[at : at + 4], "little", signed=True)
        return _pointer(Cursor(content[at : at + 16], start + at), form, 0)

    def _entry(self, at: int) -> Cursor:
        length = int.from_bytes(self._elf.read(at, 4), "little")
        if not 4 <= length <= _ENTRY_MAX:
            raise WireError("call frames: an entry's length cannot be")
        return Cursor(self._elf.read(at + 4, length), at + 4)

    # --- reading ---

    def _read(self, at: int, address: int) -> Row | None:
        entry = self._entry(at)
        distance = entry.unsigned(4)
        if distance == 0:
            raise WireError("call frames: not a function's entry")
        common = self._common(at + 4 - distance)
        start = _pointer(entry, common.pointers, 0)
        length = _pointer(entry, common.pointers & 0x0F, 0)
        if not start <= address < start + length:
            return None
        if common.has_data:
            entry.raw(entry.uleb())
        first = _Machine(common, None)
        first.run(Cursor(common.start, 0), 0, 0)
        machine = _Machine(common, first.row)
        machine.run(entry, start, address)
        return machine.row

    def _common(self, at: int) -> _Common:
        entry = self._entry(at)
        if entry.unsigned(4) != 0:
            raise WireError("call frames: not a common entry")
        version = entry.unsigned(1)
        if version not in (1, 3):
            raise WireError("call frames: unknown version")
        augmentation = entry.until_nul()
        code_factor, data_factor = entry.uleb(), entry.sleb()
        return_column = entry.unsigned(1) if version == 1 else entry.uleb()
        pointers = 0
        if augmentation[:1] == b"z":
            data = Cursor(entry.raw(entry.uleb()), 0)
            for letter in augmentation[1:]:
                if letter == ord("R"):
                    pointers = data.unsigned(1)
                elif letter == ord("P"):
                    _pointer(data, data.unsigned(1) & 0x7F, 0)  # where it is does not matter
                elif letter == ord("L"):
                    data.unsigned(1)
        elif augmentation:
            raise WireError("call frames: unknown augmentation")
        return _Common(
            code_factor,
            data_factor,
            return_column,
            pointers,
            bool(augmentation),
            b"S" in augmentation,
            entry.rest(),
        )


def _pointer(cursor: Cursor, form: int, data_base: int) -> int:
    if form == _ABSENT:
        return 0
    at, read = cursor.address, _FORMS.get(form & 0x0F)
    if read is None or form & 0x80:
        raise WireError("call frames: an address in an unknown form")
    value = read(cursor)
    if form & 0x70 == _PCREL:
        value += at
    elif form & 0x70 == _DATAREL:
        value += data_base
    elif form & 0x70:
        raise WireError("call frames: an address in an unknown form")
    return value & 0xFFFFFFFFFFFFFFFF


class _Machine:
    """Executes call frame instructions (DWARF 5, 6.4.2 and 7.24) up to an address."""

    def __init__(self, common: _Common, initial: Row | None) -> None:
        self._common = common
        self._initial = initial
        self.row = initial or Row(return_column=common.return_column, is_signal=common.is_signal)
        self._kept: list[Row] = []

    def run(self, code: Cursor, location: int, address: int) -> None:
        while code.left:
            operation = code.unsigned(1)
            step = self._advance(code, operation)
            if step is None:
                self._execute(code, operation)
                continue
            location += step
            if location > address:
                return

    def _advance(self, code: Cursor, operation: int) -> int | None:
        """Bytes of code that an instruction skips; None: it is another one."""
        if operation & 0xC0 == 0x40:
            return (operation & 0x3F) * self._common.code_factor
        if operation in (0x02, 0x03, 0x04):  # advance_loc1, 2, 4
            return code.unsigned(1 << (operation - 2)) * self._common.code_factor
        return None

    def _execute(self, code: Cursor, operation: int) -> None:
        if operation & 0xC0 == 0x80:
            self._rule(operation & 0x3F, Offset(code.uleb() * self._common.data_factor))
        elif operation & 0xC0 == 0xC0:
            self._restore(operation & 0x3F)
        elif operation in _PLAIN:
            _PLAIN[operation](self, code)
        else:
            raise WireError("call frames: unknown instruction")

    def _rule(self, register: int, rule: Rule) -> None:
        self.row = replace(self.row, rules={**self.row.rules, register: rule})

    def _unrule(self, register: int) -> None:
        rules = {n: rule for n, rule in self.row.rules.items() if n != register}
        self.row = replace(self.row, rules=rules)

    def _restore(self, register: int) -> None:
        rule = self._initial.rules.get(register) if self._initial else None
        if rule is None:
            self._unrule(register)
        else:
            self._rule(register, rule)

    def _remember(self) -> None:
        if len(self._kept) == _STATES_MAX:
            raise WireError("call frames: too many states")
        self._kept.append(self.row)

    def _recall(self) -> None:
        if not self._kept:
            raise WireError("call frames: no state to go back to")
        self.row = self._kept.pop()

    def _cfa(self, register: int | None, offset: int | None) -> None:
        if isinstance(self.row.cfa, bytes):
            raise WireError("call frames: a frame that is no register and offset")
        old_register, old_offset = self.row.cfa
        self.row = replace(
            self.row,
            cfa=(
                old_register if register is None else register,
                old_offset if offset is None else offset,
            ),
        )

    def _new_cfa(self, cfa: tuple[int, int] | bytes) -> None:
        self.row = replace(self.row, cfa=cfa)


def _factored(m: _Machine, n: int) -> int:
    return n * m._common.data_factor


_PLAIN: dict[int, Callable[[_Machine, Cursor], object]] = {
    0x00: lambda m, c: None,
    0x05: lambda m, c: m._rule(c.uleb(), Offset(_factored(m, c.uleb()))),
    0x06: lambda m, c: m._restore(c.uleb()),
    0x07: lambda m, c: m._rule(c.uleb(), Undefined()),
    0x08: lambda m, c: m._unrule(c.uleb()),
    0x09: lambda m, c: m._rule(c.uleb(), Register(c.uleb())),
    0x0A: lambda m, c: m._remember(),
    0x0B: lambda m, c: m._recall(),
    0x0C: lambda m, c: m._new_cfa((c.uleb(), c.uleb())),
    0x0D: lambda m, c: m._cfa(c.uleb(), None),
    0x0E: lambda m, c: m._cfa(None, c.uleb()),
    0x0F: lambda m, c: m._new_cfa(c.raw(c.uleb())),
    0x10: lambda m, c: m._rule(c.uleb(), Expression(c.raw(c.uleb()))),
    0x11: lambda m, c: m._rule(c.uleb(), Offset(_factored(m, c.sleb()))),
    0x12: lambda m, c: m._new_cfa((c.uleb(), _factored(m, c.sleb()))),
    0x13: lambda m, c: m._cfa(None, _factored(m, c.sleb())),
    0x14: lambda m, c: m._rule(c.uleb(), Offset(_factored(m, c.uleb()), value=True)),
    0x15: lambda m, c: m._rule(c.uleb(), Offset(_factored(m, c.sleb()), value=True)),
    0x16: lambda m, c: m._rule(c.uleb(), Expression(c.raw(c.uleb()), value=True)),
    0x2D: lambda m, c: None,  # negate_ra_state: no pointer authentication here
    0x2E: lambda m, c: c.uleb(),  # GNU_args_size
}
