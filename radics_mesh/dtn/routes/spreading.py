"""What modules with several copies have in common.

Who is in contact with the destination hands it over there and keeps nothing. Nobody else gets a
bundle that he holds, or from whom it came.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.routes.module import Handing, Module
from radics_mesh.dtn.routes.neighbours import Neighbours
from radics_mesh.dtn.storage.held import Held
from radics_mesh.ids import NodeId


class Spreading(Module):
    spreads = True

    def __init__(self, own: NodeId, neighbours: Neighbours) -> None:
        self._own = own
        self._neighbours = neighbours

    def choose(
        self, held: Held, target: NodeId | None, contacts: Collection[NodeId], now: Monotonic
    ) -> Sequence[NodeId]:
        if target == self._own:  # a VM that is said to be here: it is about to register
            return ()
        if target is not None and target in contacts:
            return (target,)
        lacking = [
            peer
            for peer in contacts
            if peer != held.previous and self._neighbours.lacks(peer, held.bundle_id)
        ]
        return self.worthy(held, target, lacking, now)

    @abstractmethod
    def worthy(
        self, held: Held, target: NodeId | None, lacking: Sequence[NodeId], now: Monotonic
    ) -> Sequence[NodeId]:
        """Of the neighbours that lack it, those that get a copy; best first."""

    def gone(self, held: Held) -> None:
        self._neighbours.forget(held.bundle_id)

    def handed_on(self, held: Held, handing: Handing, peer: NodeId) -> bool:
        self._neighbours.gave(peer, held.bundle_id)
        if peer != handing.target:
            return True
        if held.destination.node_id == peer:  # not so for a VM, which may have gone on
            self._neighbours.arrived(held.bundle_id, held.deadline)
        return False
