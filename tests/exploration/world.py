"""The values that a state of the explored mesh consists of."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from radics_mesh.identity import Identity
from radics_mesh.ids import Digest
from radics_mesh.vmm.handoff_messages import Message, Terms

TERMS = Terms("x86_64", "qemu64", 32 << 20, 1 << 20)
NODES = (Identity(b"A" * 32), Identity(b"B" * 32), Identity(b"C" * 32))
NUMBERS = {identity.node_id: number for number, identity in enumerate(NODES)}
# One number for each node, then what is in flight, then what is common.
State = tuple[int, ...]
# What a node has no mailbox of, or no snapshot.
ABSENT = -1


class Violation(AssertionError):
    """An invariant does not hold. `trail`: how it came about, step by step."""

    def __init__(self, text: str, trail: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join((text, *trail)))
        self.text = text
        self.trail = trail


@dataclass(frozen=True)
class Bounds:
    """How much may happen.

    moves         begun by whoever holds the VM, `two_way`, `one_way` or both
    power_losses  of a node, its guests with it;  full_disks: a tenure cannot be written
    set_backs     an older copy of a node's disk is put into it
    recoveries    by whoever has the last checkpoint, under a mandate or forced, while the holder
                  may live
    copies        a neighbour takes a bundle, and its acknowledgement is lost
    crossings     handing a bundle over takes its time, and two may hand it to each other
    commit        outputs wait for a durable checkpoint
    refusals      a target may have no room
    """

    nodes: int = 2
    moves: int = 2
    crashes: int = 1
    power_losses: int = 0
    in_flight: int = 3
    two_way: bool = True
    one_way: bool = False
    checkpoints: int = 0
    messages: int = 0
    copies: int = 0
    crossings: bool = False
    outputs: int = 0
    commit: bool = False
    refusals: bool = False
    recoveries: int = 0
    set_backs: int = 0
    full_disks: int = 0

    def __str__(self) -> str:
        parts = [f"{self.nodes} nodes", f"{self.moves} moves"]
        parts += [f"{self.crashes} crashes", f"{self.in_flight} in flight"]
        parts += [f"{self.power_losses} power losses"] if self.power_losses else []
        parts += [f"{self.full_disks} full disks"] if self.full_disks else []
        parts += [f"{self.checkpoints} checkpoints"] if self.checkpoints else []
        parts += [f"{self.messages} messages"] if self.messages else []
        parts += [f"{self.copies} copies"] if self.copies else []
        parts += ["crossings"] if self.crossings else []
        parts += [f"{self.outputs} outputs"] if self.outputs else []
        parts += [f"{self.recoveries} recoveries"] if self.recoveries else []
        parts += [f"{self.set_backs} disks set back"] if self.set_backs else []
        parts += ["one way" if self.two_way else "one way only"] if self.one_way else []
        parts += ["commit output"] if self.commit else []
        parts += ["refusals"] if self.refusals else []
        return ", ".join(parts)


class Memory(NamedTuple):
    """What the guest's program knows: the state that a snapshot keeps.

    A guest that starts makes a new `version`. `taken`: the messages that it took, in order;
    `outputs`: how many it has made, of which the first `acked` are no longer its affair.
    """

    version: int
    taken: tuple[int, ...] = ()
    outputs: int = 0
    acked: int = 0


class Guest(NamedTuple):
    executes: bool
    memory: Memory


class Snapshot(NamedTuple):
    """The guest's memory and, as a number, the mailbox that went into it."""

    memory: Memory
    mailbox: int


class Node(NamedTuple):
    """One node. Tenures, snapshots and mailboxes are numbers of interned ones.

    `tenure` is in memory; on disk: `durable`, `clean` (no guest has executed since its snapshot),
    `disk` (snapshots), `mailbox`, `held` (bundles for the VM) and `delivered` (bundles that are
    remembered as processed here).
    """

    tenure: int
    durable: int
    guest: Guest | None = None
    disk: frozenset[int] = frozenset()
    clean: bool = False
    mailbox: int = ABSENT
    held: frozenset[int] = frozenset()
    delivered: frozenset[int] = frozenset()


class Handing(NamedTuple):
    """A bundle that one node hands to another. `arrived`: only the acknowledgement is still to
    come; `crossed`: meanwhile it came from there, too."""

    who: int
    to: int
    message: int
    arrived: bool = False
    crossed: bool = False


class Line(NamedTuple):
    """One branch of the VM: its latest version that ever executed, and the latest durable one."""

    version: int
    floor: int


class Common(NamedTuple):
    """What is no node's: budgets that are left, and what only an onlooker knows.

    `version`: the last number that a version got; `lines`: by the branch's number; `ceased`: which
    node gave way on which branch; `kept`: the last checkpoint, and the chain that it was of, as
    numbers; `copied`: a copy of a node's disk; `attempts`: the last attempt number that anyone
    heard from each node; `sent`: which outputs are on their way; `outside`: messages that nobody
    has yet.
    """

    version: int
    lines: tuple[Line, ...]
    ceased: frozenset[tuple[int, int]]
    kept: tuple[int, int] | None
    copied: tuple[int, Node] | None
    moves: int
    crashes: int
    power_losses: int
    checkpoints: int
    copies: int
    recoveries: int
    set_backs: int
    full_disks: int
    attempts: tuple[int, ...]
    sent: frozenset[int]
    outside: frozenset[int]
    handing: frozenset[Handing] = frozenset()


@dataclass(frozen=True)
class Blob:
    """All pieces of a snapshot."""

    digest: Digest


class Letter(NamedTuple):
    to: int
    sender: int
    content: Message | Blob


class Outcome(NamedTuple):
    """What one input may come to at one node.

    `helps`: neither a crash nor a user's doing, so a way on may consist of such. `started`: the
    branch of which a guest executed here in between, even if it does no more. `broken`: the
    invariant that this breaks.
    """

    label: str
    node: int
    common: int
    posts: tuple[int, ...]
    helps: bool
    started: int
    broken: str


T = TypeVar("T", bound=Hashable)


@dataclass
class Interned(Generic[T]):
    """Values as small numbers."""

    values: list[T] = field(default_factory=list)
    numbers: dict[T, int] = field(default_factory=dict)

    def number(self, value: T) -> int:
        number = self.numbers.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number
