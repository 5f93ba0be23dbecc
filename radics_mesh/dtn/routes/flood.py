"""Bundles for many: a copy to every neighbour that has none, for as long as the bundle lives.

The module of groups (`dtn://group.NAME/...`), whatever is configured for other endpoints: nobody
knows where all members are, and one more may be behind every neighbour. No summaries are needed:
whoever sends a bundle that is held here has it, and so has whoever acknowledged it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.routes.module import Handing, Module
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.ids import NodeId


class Flood(Module):
    name = "flood"

    def __init__(self) -> None:
        self._has: dict[BundleId, set[NodeId]] = {}

    def choose(
        self, held: Held, target: NodeId | None, contacts: Collection[NodeId], now: Monotonic
    ) -> Sequence[NodeId]:
        has = self._has.get(held.bundle_id, ())
        return sorted(peer for peer in contacts if peer != held.previous and peer not in has)

    def has(self, bundle_id: BundleId, peer: NodeId) -> None:
        """A neighbour has sent a bundle that is held here."""
        self._has.setdefault(bundle_id, set()).add(peer)

    def handed_on(self, held: Held, handing: Handing, peer: NodeId) -> bool:
        self.has(held.bundle_id, peer)
        return True

    def gone(self, held: Held) -> None:
        self._has.pop(held.bundle_id, None)
