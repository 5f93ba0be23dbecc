"""How long a bundle takes between two nodes, from what nodes say of their neighbours."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from radics_mesh.ids import NodeId

# Each node on the way writes a bundle durably before it goes on; measured some 10 ms on an SSD
# and up to 50 ms on SD cards. Part of what remote data costs even where round trips are nothing.
HOP_S = 0.03
# No way now: the expected wait for a contact, as long as nothing better is known.
CONTACT_DELAY_S = 60.0


class Paths:
    """Least latency over links that either end reports (a session carries both ways).

    `neighbours`: node -> neighbour -> round trip in seconds.
    """

    def __init__(self, neighbours: Mapping[NodeId, Mapping[NodeId, float]]) -> None:
        self._links: dict[NodeId, dict[NodeId, float]] = {}
        for node, row in neighbours.items():
            for neighbour, rtt_s in row.items():
                if neighbour != node:
                    self._add(node, neighbour, HOP_S + rtt_s / 2)
        self._from: dict[NodeId, dict[NodeId, float]] = {}

    def _add(self, one: NodeId, other: NodeId, latency_s: float) -> None:
        for a, b in ((one, other), (other, one)):
            row = self._links.setdefault(a, {})
            row[b] = min(latency_s, row.get(b, latency_s))

    def latency_s(self, one: NodeId, other: NodeId) -> float | None:
        """None: there is no way at present. 0 within a node."""
        if other not in self._from:
            self._from[other] = self._shortest(other)
        return self._from[other].get(one)

    def _shortest(self, start: NodeId) -> dict[NodeId, float]:
        """Dijkstra from `start` to all that it reaches."""
        done: dict[NodeId, float] = {}
        heap = [(0.0, start)]
        while heap:
            latency_s, node = heapq.heappop(heap)
            if node in done:
                continue
            done[node] = latency_s
            for neighbour, link_s in self._links.get(node, {}).items():
                if neighbour not in done:
                    heapq.heappush(heap, (latency_s + link_s, neighbour))
        return done
