"""Which neighbour a bundle goes to next: link state over what nodes advertise, or fixed routes.

Sans-IO. A node's own contacts are facts, and always the first hop; what others advertise about
theirs may be old, and serves beyond that. No route means "keep waiting", never "drop".
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence

from radics_mesh.dtn.routes.module import ByTarget
from radics_mesh.ids import NodeId

# A hop costs its round trip and this much: of two ways alike the one with fewer hops wins.
HOP_COST_S = 0.01
# Nodes remembered, and neighbours of one node: a member may advertise nonsense, within bounds.
_NODES_MAX = 4096
_NEIGHBOURS_MAX = 64


class StaticRoutes(ByTarget):
    """Destination → the neighbours to try, in order; a destination in contact needs no route."""

    name = "static"

    def __init__(self, routes: Mapping[NodeId, Sequence[NodeId]] | None = None) -> None:
        self._routes = dict(routes or {})

    def next_hops(self, destination: NodeId, contacts: Collection[NodeId]) -> Sequence[NodeId]:
        if destination in contacts:
            return [destination]
        return [hop for hop in self._routes.get(destination, ()) if hop in contacts]


class NeighbourGraph(ByTarget):
    """Least total cost over advertised neighbours (Dijkstra), one tree for each set of contacts."""

    name = "links"

    def __init__(self, own: NodeId) -> None:
        self._own = own
        self._links: dict[NodeId, dict[NodeId, float]] = {}
        self._own_rtt_s: dict[NodeId, float] = {}
        self._costs: dict[NodeId, dict[NodeId, float]] = {}

    def update(self, node: NodeId, neighbours: Mapping[NodeId, float]) -> bool:
        """What `node` advertises: neighbour → round trip (s). Returns whether that is news.

        This node's own entry gives the costs of first hops.
        """
        some = dict(sorted(neighbours.items(), key=lambda item: item[1])[:_NEIGHBOURS_MAX])
        some.pop(node, None)
        if node == self._own:
            changed = self._own_rtt_s != some
            self._own_rtt_s = some
            return changed
        if self._links.get(node) == some:
            return False
        if node not in self._links and len(self._links) >= _NODES_MAX:
            self._links.pop(next(iter(self._links)))
        self._links[node] = some
        self._costs.clear()
        return True

    def remove(self, node: NodeId) -> None:
        """Forget what a node advertised."""
        if self._links.pop(node, None) is not None:
            self._costs.clear()

    def next_hops(self, destination: NodeId, contacts: Collection[NodeId]) -> Sequence[NodeId]:
        """The contacts that lead there without coming back through this node, nearest first."""
        if destination in contacts:
            return [destination]
        costs = self._costs_to(destination)
        reaching = [
            (self._first_hop(contact) + costs[contact], contact)
            for contact in contacts
            if contact in costs
        ]
        return [contact for _, contact in sorted(reaching)]

    def _first_hop(self, contact: NodeId) -> float:
        return HOP_COST_S + self._own_rtt_s.get(contact, 0.0)

    def _costs_to(self, destination: NodeId) -> dict[NodeId, float]:
        """Cost to the destination from every node that reaches it, own node left out.

        A link counts both ways when either end advertises it: sessions carry bundles both ways.
        """
        known = self._costs.get(destination)
        if known is None:
            known = self._costs[destination] = self._shortest(destination)
        return known

    def _shortest(self, destination: NodeId) -> dict[NodeId, float]:
        both_ways: dict[NodeId, dict[NodeId, float]] = {}
        for node, neighbours in self._links.items():
            for neighbour, rtt_s in neighbours.items():
                for one, other in ((node, neighbour), (neighbour, node)):
                    row = both_ways.setdefault(one, {})
                    row[other] = min(row.get(other, rtt_s), rtt_s)
        costs: dict[NodeId, float] = {}
        heap = [(0.0, destination)]
        while heap:
            cost, node = heapq.heappop(heap)
            if node in costs or node == self._own:
                continue
            costs[node] = cost
            for neighbour, rtt_s in both_ways.get(node, {}).items():
                heapq.heappush(heap, (cost + HOP_COST_S + max(0.0, rtt_s), neighbour))
        return costs
