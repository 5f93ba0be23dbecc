"""How a guest's life ends. Each end is its own type, because each has its own policy."""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.vmm.events import Panicked


@dataclass(frozen=True)
class Exited:
    """The program ended. Its Output(Exit) came before, to be acknowledged like any other.

    `how`: 0 exit, 1 signal, 2 out of memory.
    """

    how: int
    status: int
    why: str


@dataclass(frozen=True)
class Died:
    """QEMU went away and the guest had not said that it would.

    `returncode` as subprocess has it; None for an adopted QEMU, whose code nobody can know.
    """

    returncode: int | None
    stderr: str


@dataclass(frozen=True)
class Killed:
    """By our own side."""


@dataclass(frozen=True)
class Broken:
    """The guest broke the channel's contract beyond repair and was killed."""

    reason: str


# Panicked: the library OS itself failed.
End = Exited | Panicked | Died | Killed | Broken
