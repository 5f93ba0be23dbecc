"""One image on its way here, from however many holders. Sans-IO.

THEORY. Each missing piece is owed by at most one holder, until it comes or the holder has been
silent for its patience; then it is free, and goes to whoever is least busy, the same holder
included. Patience doubles with each silence, because over links that come and go silence is
normal, and what was asked for waits in some store already; anything from a holder makes it new. A
holder that sends an altered piece is asked nothing more. Nobody is believed: a piece counts when
its hash is the manifest's.

A holder's share is what is missing divided by the number of holders, at most IN_FLIGHT pieces: so
all of them send at once, and none is asked for what another could have sent meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from radics_mesh.errors import PeerError
from radics_mesh.ids import NodeId
from radics_mesh.vmm.image_manifest import ImageManifest

# Pieces owed by one holder: enough to fill a link while the next request is on its way.
IN_FLIGHT = 16
PATIENCE_S = 4.0
PATIENCE_MAX_S = 300.0
HOLDERS_MAX = 16


@dataclass
class _Holder:
    owes: set[int] = field(default_factory=set)
    heard_at: float = 0.0
    patience_s: float = PATIENCE_S


class Fetch:
    """`lacks`: numbers of the pieces that are not here."""

    def __init__(self, manifest: ImageManifest, held: Collection[int] = ()) -> None:
        self.manifest = manifest
        self.lacks = set(range(manifest.pieces)) - set(held)
        self._holders: dict[NodeId, _Holder] = {}
        self._banned: set[NodeId] = set()

    @property
    def is_whole(self) -> bool:
        return not self.lacks

    @property
    def holders(self) -> tuple[NodeId, ...]:
        return tuple(self._holders)

    def found(self, node: NodeId, now: float) -> None:
        """A node says that it has the image."""
        if node in self._banned or len(self._holders) >= HOLDERS_MAX:
            return
        self._holders.setdefault(node, _Holder(heard_at=now))

    def gone(self, node: NodeId) -> None:
        """It has not, or not any more; what it owes is free."""
        self._holders.pop(node, None)

    def came(self, node: NodeId, index: int, data: bytes, now: float) -> bool:
        """A piece from a node; whether it is to be kept. PeerError: altered; the node is out."""
        if index >= self.manifest.pieces or not self.manifest.is_piece(index, data):
            self.gone(node)
            self._banned.add(node)
            raise PeerError(f"an altered piece {index} of an image by {node.short}")
        if (holder := self._holders.get(node)) is not None:
            holder.heard_at, holder.patience_s = now, PATIENCE_S
        return index in self.lacks

    def kept(self, index: int) -> None:
        """A piece is durable here."""
        self.lacks.discard(index)
        for holder in self._holders.values():
            holder.owes.discard(index)

    def ask(self, now: float) -> Iterator[tuple[NodeId, tuple[int, ...]]]:
        """What to ask of whom now."""
        self._lose_patience(now)
        owed = set().union(*(holder.owes for holder in self._holders.values()))
        free = sorted(self.lacks - owed)
        if not free or not self._holders:
            return
        share = min(IN_FLIGHT, math.ceil(len(self.lacks) / len(self._holders)))
        for node, holder in sorted(self._holders.items(), key=lambda one: len(one[1].owes)):
            room = max(0, share - len(holder.owes))
            take, free = free[:room], free[room:]
            if take:
                holder.owes.update(take)
                holder.heard_at = now
                yield node, tuple(take)

    def _lose_patience(self, now: float) -> None:
        for node, holder in list(self._holders.items()):
            if holder.owes and now >= holder.heard_at + holder.patience_s:
                holder.owes.clear()
                holder.patience_s = min(PATIENCE_MAX_S, holder.patience_s * 2)
                # Behind the others, for whom its share is now free.
                self._holders[node] = self._holders.pop(node)

    def next_deadline(self) -> float:
        """When `ask` has something to do though nothing came; infinity: never."""
        waits = [h.heard_at + h.patience_s for h in self._holders.values() if h.owes]
        return min(waits, default=math.inf)
