"""Binary spray-and-wait (Spyropoulos, Psounis and Raghavendra, 2005).

A bundle begins with L copies. Who has n of them, n > 1, gives half to a neighbour that has none
and keeps the other half; who has one waits for the destination. The copies given travel in a block
of the bundle (blocks.COPIES); those left are on disk before the bundle is sent.

There are never more than L:
- Copies are taken off before they are sent. A link that broke may have brought them, so they stay
  taken off, promised to that neighbour, which gets the same ones at the next attempt.
- They come back only when the neighbour says at the first attempt that it has not taken the bundle:
  after a link that broke it may have had it and let it go.
- On a stick it is one copy, whoever takes it; two who take the same file make two of it.
- A bundle that comes twice brings no copies the second time.
- What is not known to have been left (a crash between a bundle's arrival and the note of its
  copies) is one copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.routes.module import Handing
from radics_mesh.dtn.routes.neighbours import Neighbours
from radics_mesh.dtn.routes.spreading import Spreading
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.ids import NodeId

COPIES = 8
# What a neighbour may claim that it gives: more than any source would.
COPIES_MAX = 1024


class Spray(Spreading):
    """`left`: how many copies this node had when it stopped, by bundle; `note` keeps that in mind,
    None: nothing any more.
    """

    name = "spray"

    def __init__(
        self,
        own: NodeId,
        neighbours: Neighbours,
        copies: int = COPIES,
        left: Mapping[BundleId, int] | None = None,
        note: Callable[[BundleId, int | None], None] = lambda bundle_id, left: None,
    ) -> None:
        super().__init__(own, neighbours)
        self._copies = copies
        self._left = dict(left or {})
        self._note = note
        self._promised: dict[tuple[BundleId, NodeId], int] = {}
        # Promises that were never sent before.
        self._first: set[tuple[BundleId, NodeId]] = set()

    def copies_of(self, held: Held) -> int:
        made_here = held.previous is None and held.signer == self._own
        return self._left.get(held.bundle_id, self._copies if made_here else 1)

    def came(self, held: Held) -> None:
        if held.copies > 1 and held.bundle_id not in self._left:
            self._keep(held.bundle_id, min(held.copies, COPIES_MAX))

    def _keep(self, bundle_id: BundleId, left: int) -> None:
        self._left[bundle_id] = left
        self._note(bundle_id, left)

    def gone(self, held: Held) -> None:
        super().gone(held)
        if self._left.pop(held.bundle_id, None) is not None:
            self._note(held.bundle_id, None)
        for key in [key for key in self._promised if key[0] == held.bundle_id]:
            del self._promised[key]
            self._first.discard(key)

    def worthy(
        self, held: Held, target: NodeId | None, lacking: Sequence[NodeId], now: Monotonic
    ) -> Sequence[NodeId]:
        more = self.copies_of(held) > 1
        promised = (peer for peer in lacking if (held.bundle_id, peer) in self._promised)
        return sorted(lacking) if more else sorted(promised)

    def hand(self, held: Held, target: NodeId | None, peer: NodeId) -> Handing:
        if peer == target:
            return Handing(target)
        key = held.bundle_id, peer
        if key in self._promised:
            self._first.discard(key)
            return Handing(target, self._promised[key])
        copies = self.copies_of(held)
        share = copies // 2
        self._promised[key] = share
        self._first.add(key)
        self._keep(held.bundle_id, copies - share)
        return Handing(target, share, noted=True)

    def handed_on(self, held: Held, handing: Handing, peer: NodeId) -> bool:
        key = held.bundle_id, peer
        self._promised.pop(key, None)
        self._first.discard(key)
        return super().handed_on(held, handing, peer)

    def carried(self, held: Held, target: NodeId | None, peer: NodeId) -> bool:
        left = self.copies_of(held) - 1
        if left:
            self._keep(held.bundle_id, left)
        return super().carried(held, target, peer) and left > 0

    def refused(self, held: Held, peer: NodeId) -> None:
        key = held.bundle_id, peer
        if key in self._first:
            self._first.discard(key)
            self._keep(held.bundle_id, self.copies_of(held) + self._promised.pop(key))
