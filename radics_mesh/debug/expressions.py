"""DWARF expressions, as far as call frame information has them (DWARF 5, 2.5): glibc's signal
return and procedure linkage tables. Untrusted bytes: WireError, nothing else, in bounded time."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from radics_mesh.debug.cursor import Cursor
from radics_mesh.errors import WireError

_MASK = (1 << 64) - 1
_STEPS_MAX, _STACK_MAX = 1000, 64
Read = Callable[[int, int], bytes]


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


_TWO: dict[int, Callable[[int, int], int]] = {
    0x1A: operator.and_,
    0x1C: operator.sub,
    0x1E: operator.mul,
    0x21: operator.or_,
    0x22: operator.add,
    0x24: lambda a, b: a << min(b, 64),
    0x25: lambda a, b: a >> min(b, 64),
    0x26: lambda a, b: _signed(a) >> min(b, 64),
    0x27: operator.xor,
    0x29: lambda a, b: a == b,
    0x2A: lambda a, b: _signed(a) >= _signed(b),
    0x2B: lambda a, b: _signed(a) > _signed(b),
    0x2C: lambda a, b: _signed(a) <= _signed(b),
    0x2D: lambda a, b: _signed(a) < _signed(b),
    0x2E: lambda a, b: a != b,
}
_CONSTANTS: dict[int, Callable[[Cursor], int]] = {
    0x03: lambda c: c.unsigned(8),
    0x08: lambda c: c.unsigned(1),
    0x09: lambda c: c.signed(1),
    0x0A: lambda c: c.unsigned(2),
    0x0B: lambda c: c.signed(2),
    0x0C: lambda c: c.unsigned(4),
    0x0D: lambda c: c.signed(4),
    0x0E: lambda c: c.unsigned(8),
    0x0F: lambda c: c.signed(8),
    0x10: lambda c: c.uleb(),
    0x11: lambda c: c.sleb(),
}


class _Stack(list[int]):
    def push(self, value: int) -> None:
        if len(self) == _STACK_MAX:
            raise WireError("DWARF expression: too deep")
        self.append(value & _MASK)

    def take(self) -> int:
        if not self:
            raise WireError("DWARF expression: nothing to take")
        return self.pop()


def evaluate(code: bytes, registers: Mapping[int, int], read: Read, first: int | None) -> int:
    """The expression's value; `first` lies on the stack at its start."""
    stack, cursor = _Stack(), Cursor(code, 0)
    if first is not None:
        stack.push(first)
    for _ in range(_STEPS_MAX):
        if not cursor.left:
            return stack.take()
        _step(cursor.unsigned(1), cursor, stack, registers, read)
    raise WireError("DWARF expression: too long")


def _step(op: int, cursor: Cursor, stack: _Stack, registers: Mapping[int, int], read: Read) -> None:
    if op in _CONSTANTS:
        stack.push(_CONSTANTS[op](cursor))
    elif 0x30 <= op <= 0x4F:
        stack.push(op - 0x30)
    elif 0x70 <= op <= 0x8F:
        stack.push(_register(registers, op - 0x70) + cursor.sleb())
    elif op == 0x92:
        number = cursor.uleb()
        stack.push(_register(registers, number) + cursor.sleb())
    elif op in _TWO:
        second = stack.take()
        stack.push(_TWO[op](stack.take(), second))
    elif op == 0x06:
        stack.push(int.from_bytes(read(stack.take(), 8), "little"))
    elif op == 0x23:
        stack.push(stack.take() + cursor.uleb())
    elif op != 0x96:
        raise WireError("DWARF expression: unknown operation")


def _register(registers: Mapping[int, int], number: int) -> int:
    if number not in registers:
        raise WireError("DWARF expression: of a register that is not known")
    return registers[number]
