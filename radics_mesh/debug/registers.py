"""Registers of a thread as debuggers know them, and which DWARF number each has.

Orders: x86_64's user_regs_struct (arch/x86/include/asm/user_64.h) and aarch64's user_pt_regs
(arch/arm64/include/uapi/asm/ptrace.h). Numbers: System V ABI, AMD64 supplement, figure 3.36; DWARF
for the Arm 64-bit architecture, 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """`dwarf`: index of DWARF register n in the thread's registers; None: it is not kept."""

    name: str
    elf_machine: int
    count: int
    dwarf: tuple[int, ...]
    pc: int
    stack: int
    frame_pointer: int  # DWARF numbers from here on
    return_address: int
    stack_dwarf: int

    def as_dwarf(self, registers: Sequence[int]) -> dict[int, int]:
        """DWARF number -> value; empty when these are no registers of this architecture."""
        if len(registers) != self.count:
            return {}
        return {number: registers[index] for number, index in enumerate(self.dwarf)}


# r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base
X86_64 = Architecture(
    name="x86_64",
    elf_machine=62,
    count=27,
    dwarf=(10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0, 16),
    pc=16,
    stack=19,
    frame_pointer=6,
    return_address=16,
    stack_dwarf=7,
)
# x0 .. x30 sp pc pstate. A return address is in x30 after a call; DWARF has no number for pc.
AARCH64 = Architecture(
    name="aarch64",
    elf_machine=183,
    count=34,
    dwarf=tuple(range(32)),
    pc=32,
    stack=31,
    frame_pointer=29,
    return_address=30,
    stack_dwarf=31,
)
ARCHITECTURES = {a.elf_machine: a for a in (X86_64, AARCH64)}
