"""What a way to choose next hops looks like to the rest of the agent.

A module answers for one bundle at a time; it never drops one and never sends. No next hop means
"keep waiting". It is told of contacts, of what comes and of what was handed on, and may have
something to tell to its like on neighbours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.storage.held import Held
from radics_mesh.ids import NodeId


@dataclass(frozen=True, slots=True)
class Handing:
    """What goes with a bundle to a neighbour."""

    # Where its destination was by then.
    target: NodeId | None = None
    # Copies that the neighbour may hand on as its own; 0: nothing is said about copies.
    share: int = 0
    # What was noted about it must be on disk before it is sent.
    noted: bool = False


class Module(ABC):
    """`target` is the destination's node, None for a VM of which nobody knows where it is."""

    # What it is called in a configuration.
    name: ClassVar[str] = ""
    # The answer is the same for all bundles to a target until contacts or routes change.
    by_target: ClassVar[bool] = False
    # Leaves copies behind, so neighbours are asked first what they hold.
    spreads: ClassVar[bool] = False

    @abstractmethod
    def choose(
        self, held: Held, target: NodeId | None, contacts: Collection[NodeId], now: Monotonic
    ) -> Sequence[NodeId]:
        """Who may have it now, best first."""

    def came(self, held: Held) -> None:
        """It has arrived from a neighbour and is in the store."""

    def gone(self, held: Held) -> None:
        """It is no longer here."""

    def hand(self, held: Held, target: NodeId | None, peer: NodeId) -> Handing:
        """It is about to be sent to a neighbour."""
        return Handing(target)

    def handed_on(self, held: Held, handing: Handing, peer: NodeId) -> bool:
        """The neighbour has it. Whether it stays here as well."""
        return False

    def carried(self, held: Held, target: NodeId | None, peer: NodeId) -> bool:
        """A node has taken it from a stick. Whether it stays here as well."""
        return self.handed_on(held, Handing(target), peer)

    def refused(self, held: Held, peer: NodeId) -> None:
        """The neighbour certainly has not taken it. A link that broke is not certain."""

    def contact_up(self, peer: NodeId, now: Monotonic) -> None:
        """A neighbour came into reach."""

    def contact_down(self, peer: NodeId, now: Monotonic) -> None:
        """It went out of reach."""

    def tell(self, peer: NodeId, now: Monotonic) -> object:
        """Something that msgpack packs, for its like on a neighbour; None: nothing."""
        return None

    def heard(self, peer: NodeId, told: object, now: Monotonic) -> None:
        """What its like on a neighbour told; WireError."""


class ByTarget(Module):
    """One answer for all bundles to a node, and only one copy of each."""

    by_target = True

    @abstractmethod
    def next_hops(self, destination: NodeId, contacts: Collection[NodeId]) -> Sequence[NodeId]:
        """Best first; empty: keep waiting."""

    def choose(
        self, held: Held, target: NodeId | None, contacts: Collection[NodeId], now: Monotonic
    ) -> Sequence[NodeId]:
        return () if target is None else self.next_hops(target, contacts)
