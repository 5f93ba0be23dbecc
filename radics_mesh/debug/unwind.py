"""From a thread's registers and the top of its stack to the places it was called from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from radics_mesh.debug.cfi import CallFrames, Expression, Offset, Register, Row, Rule, Undefined
from radics_mesh.debug.elf import ElfFile
from radics_mesh.debug.expressions import evaluate
from radics_mesh.debug.registers import AARCH64, Architecture
from radics_mesh.errors import WireError

FRAMES_MAX = 64
_MASK = (1 << 64) - 1
# aarch64's signal frame (arch/arm64/include/uapi/asm/sigcontext.h), from the stack pointer of a
# handler's return on: where x0, sp and pc were kept. Its way back has no call frame information.
_SIGNAL_X0, _SIGNAL_PC = 312, 312 + 32 * 8
Read = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Place:
    """`address`: in the program's ELF file. `called`: it is where a call returns to, so the call
    itself lies just before it."""

    address: int
    called: bool


@dataclass
class _State:
    """Registers by DWARF number, and where the program is."""

    pc: int
    registers: dict[int, int]
    called: bool = False


class Unwinder:
    """For one program that lies `base` above the addresses in its file."""

    def __init__(self, elf: ElfFile, base: int) -> None:
        self._elf, self._base = elf, base
        self._architecture: Architecture = elf.architecture
        self._frames = CallFrames(elf)

    def places(self, registers: Sequence[int], read: Read) -> Iterator[Place]:
        """Innermost first, at most FRAMES_MAX. `read(address, n)`: memory, WireError: not known.

        It ends where nothing more can be known; nothing is raised.
        """
        known = self._architecture.as_dwarf(registers)
        if not known:
            return
        state: _State | None = _State(registers[self._architecture.pc], known)
        for _ in range(FRAMES_MAX):
            if state is None:
                return
            yield Place((state.pc - self._base) & _MASK, state.called)
            before = state.pc, state.registers.get(self._architecture.stack_dwarf)
            try:
                state = self._caller(state, self._reading(read))
            except WireError:
                return
            if state is not None and before == (
                state.pc,
                state.registers.get(self._architecture.stack_dwarf),
            ):
                return

    def _reading(self, read: Read) -> Read:
        """Memory, and where that is not known, what the file has there."""

        def both(address: int, length: int) -> bytes:
            try:
                return read(address, length)
            except WireError:
                return self._elf.read(address - self._base, length)

        return both

    def _caller(self, state: _State, read: Read) -> _State | None:
        address = (state.pc - self._base - state.called) & _MASK
        row = self._frames.row(address)
        if row is not None:
            return self._undo(state, row, read)
        if not self._elf.is_code(address):
            return self._from_nowhere(state, read)
        return self._by_frame_pointer(state, read)

    def _undo(self, state: _State, row: Row, read: Read) -> _State | None:
        if isinstance(row.cfa, bytes):
            cfa = evaluate(row.cfa, state.registers, read, None)
        else:
            register, offset = row.cfa
            if register not in state.registers:
                raise WireError("unwinding: a frame of an unknown register")
            cfa = (state.registers[register] + offset) & _MASK
        found = {self._architecture.stack_dwarf: cfa}
        for number, rule in row.rules.items():
            value = self._value(rule, cfa, state.registers, read)
            if value is not None:
                found[number] = value
            elif number == row.return_column:
                return None
        after = {**state.registers, **found}
        pc = after.get(row.return_column, 0)
        if not pc:
            return None
        return _State(pc, after, called=not row.is_signal)

    def _value(self, rule: Rule, cfa: int, registers: Mapping[int, int], read: Read) -> int | None:
        match rule:
            case Offset(n, value):
                at = (cfa + n) & _MASK
                return at if value else _word(read, at)
            case Register(number):
                return registers.get(number)
            case Expression(code, value):
                at = evaluate(code, registers, read, cfa)
                return at if value else _word(read, at)
            case Undefined():
                return None

    def _by_frame_pointer(self, state: _State, read: Read) -> _State | None:
        """Code without information: Go's, and hand-written; many keep a chain of frames."""
        a = self._architecture
        frame = state.registers[a.frame_pointer]
        caller, pc = _word(read, frame), _word(read, frame + 8)
        if frame < state.registers[a.stack_dwarf] or not pc:
            return None
        after = {**state.registers, a.frame_pointer: caller, a.stack_dwarf: frame + 16}
        return _State(pc, after, called=True)

    def _from_nowhere(self, state: _State, read: Read) -> _State | None:
        """A jump to where no code is, as a call of a null pointer; or a signal handler's end."""
        a = self._architecture
        stack = state.registers[a.stack_dwarf]
        if state.called:
            return self._from_handler(stack, read) if a is AARCH64 else None
        if a is AARCH64:
            return _State(state.registers[a.return_address], dict(state.registers), called=True)
        after = {**state.registers, a.stack_dwarf: stack + 8}
        return _State(_word(read, stack), after, called=True)

    def _from_handler(self, stack: int, read: Read) -> _State:
        words = read(stack + _SIGNAL_X0, 32 * 8)
        registers = {n: int.from_bytes(words[n * 8 : n * 8 + 8], "little") for n in range(32)}
        return _State(_word(read, stack + _SIGNAL_PC), registers)


def _word(read: Read, address: int) -> int:
    return int.from_bytes(read(address, 8), "little")
