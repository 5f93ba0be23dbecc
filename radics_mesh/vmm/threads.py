"""What a guest tells of its program's threads (radics_abi.h, STACKS_BACK and OUT_EXIT)."""

from __future__ import annotations

from dataclasses import dataclass, field

from radics_mesh.errors import WireError
from radics_mesh.vmm.body import Body

STACK_MAX = 16384
THREADS_MAX = 256
REGISTERS_MAX = 40
NO_CALL = 0xFFFFFFFF
NEVER = 0xFFFFFFFFFFFFFFFF
_NAME_MAX = 64


@dataclass(frozen=True)
class ThreadReport:
    """One thread at one moment. `base`: what is added to the addresses in the program's ELF file.

    `call`: number of the system call it is in, None: none. `left_ns`: until it stops waiting
    anyhow, None: never. `registers` as Linux's user_regs_struct has them. `stack`: memory from
    `stack_at` on.
    """

    base: int
    tid: int
    name: str
    waits: bool
    call: int | None
    arguments: tuple[int, ...]
    left_ns: int | None
    registers: tuple[int, ...] = field(repr=False)
    stack_at: int
    stack: bytes = field(repr=False)

    def read(self, address: int, length: int) -> bytes:
        """Memory as far as the report has it; WireError beyond that."""
        at = address - self.stack_at
        if at < 0 or at + length > len(self.stack):
            raise WireError("memory that the guest told nothing of")
        return self.stack[at : at + length]


@dataclass(frozen=True)
class ThreadTold:
    """One of `threads` frames that answer one question, `nonce`."""

    nonce: int
    threads: int
    index: int
    report: ThreadReport


def read_told(body: Body) -> ThreadTold:
    nonce, threads, index = body.integer(8), body.integer(2), body.integer(2)
    if not index < threads <= THREADS_MAX:
        raise WireError("thread: its index is out of range")
    return ThreadTold(nonce, threads, index, read_thread(body))


def read_thread(body: Body) -> ThreadReport:
    """Base and thread; WireError when they are none."""
    base, tid, name = body.integer(8), body.integer(4), body.text()
    waits, call = bool(body.integer(1)), body.integer(4)
    arguments = tuple(body.integer(8) for _ in range(6))
    left_ns, count = body.integer(8), body.integer(1)
    if count > REGISTERS_MAX or len(name) > _NAME_MAX:
        raise WireError("thread: too many registers, or too long a name")
    registers = tuple(body.integer(8) for _ in range(count))
    stack_at, stack = body.integer(8), body.blob()
    if len(stack) > STACK_MAX:
        raise WireError("thread: too much stack")
    return ThreadReport(
        base,
        tid,
        name,
        waits,
        None if call == NO_CALL else call,
        arguments,
        None if left_ns == NEVER else left_ns,
        registers,
        stack_at,
        stack,
    )
