"""What a shell does, beside the hand-off's effects, and the node that it does it to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from radics_mesh.ownership import Ownership
from radics_mesh.vmm.handoff_state import Effect, Tenure
from tests.exploration.world import ABSENT, Common, Guest, Node


@dataclass(frozen=True)
class StartIfDue:
    """Start the guest if it is held here and not alive."""


@dataclass(frozen=True)
class GoOn:
    """A guest that was parked for nothing goes on from its memory."""


@dataclass(frozen=True)
class SetBackIfDue:
    """If the guest will start from a state that is not its latest, let its mailbox follow."""


@dataclass(frozen=True)
class BeginAttempt:
    number: int


@dataclass(frozen=True)
class SaveParked:
    """Write the parked guest's state to disk."""


@dataclass(frozen=True)
class Align:
    """The guest says how far it got, and the host what it has acknowledged."""


@dataclass(frozen=True)
class SendOutput:
    """Put the guest's output of that number on its way, durably."""

    number: int


@dataclass(frozen=True)
class CommitOutput:
    """`held`: it waits for a checkpoint."""

    number: int
    held: bool = False


@dataclass(frozen=True)
class Cover:
    """A durable checkpoint holds what was taken, and was said."""


@dataclass(frozen=True)
class ForgetSent:
    """What waited for a checkpoint is on its way."""


@dataclass(frozen=True)
class AcknowledgeOutput:
    number: int


@dataclass(frozen=True)
class FileBundle:
    """Into the VM's mailbox, durably."""

    message: int


@dataclass(frozen=True)
class FinishBundle:
    """It is processed for good: out of the store, and remembered."""

    message: int


@dataclass(frozen=True)
class KeepCopy:
    """The snapshot goes to whoever keeps checkpoints."""

    snapshot: int


@dataclass(frozen=True)
class GaveWay:
    """To a chain that this node has just heard of, if that beats what it held before."""

    chain: Ownership
    before: Tenure


Deed = (
    Effect
    | KeepCopy
    | GaveWay
    | StartIfDue
    | GoOn
    | SetBackIfDue
    | Cover
    | ForgetSent
    | BeginAttempt
    | SaveParked
    | Align
    | SendOutput
    | CommitOutput
    | AcknowledgeOutput
    | FileBundle
    | FinishBundle
)


class Broken(Exception):
    """An invariant does not hold at this node."""


@dataclass
class Run:
    """A node that carries out one input."""

    who: int
    node: Node
    common: Common
    posts: tuple[int, ...] = ()
    started: int = ABSENT

    def copy(self) -> Run:
        return Run(self.who, self.node, self.common, self.posts, self.started)

    def change(self, **changes: Any) -> None:
        self.node = self.node._replace(**changes)

    @property
    def guest(self) -> Guest:
        if self.node.guest is None:
            raise Broken("lost state: there is no guest to go on with")
        return self.node.guest
