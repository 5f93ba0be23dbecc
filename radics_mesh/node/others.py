"""The other nodes, as far as their records say: where they are, and what follows from that here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from radics_mesh.config import Address
from radics_mesh.dht.rpc import is_usable
from radics_mesh.dht.server import Dht
from radics_mesh.directory.service import Directory
from radics_mesh.dtn.agent import Agent
from radics_mesh.dtn.layers.contacts import Contacts
from radics_mesh.dtn.routes.routing import NeighbourGraph
from radics_mesh.errors import WireError
from radics_mesh.gossip.liveness import Liveness
from radics_mesh.ids import NodeId
from radics_mesh.knowledge.book import Entry
from radics_mesh.node.rekeying import Rekeying
from radics_mesh.node.whereabouts import Whereabouts
from radics_mesh.records import TTL_MAX_S, Kind
from radics_mesh.scheduler.facts import NodeFacts


class Others:
    """`sessions` gives members that this node has a session with, and the round trip in seconds."""

    def __init__(
        self,
        *,
        own: NodeId,
        directory: Directory,
        graph: NeighbourGraph,
        agent: Agent,
        rekeying: Rekeying,
        liveness: Liveness,
        dht: Dht,
        contacts: Contacts,
        whereabouts: Whereabouts,
        sessions: Callable[[], Iterator[tuple[NodeId, float]]],
    ) -> None:
        self._own = own
        self._directory = directory
        self._graph = graph
        self._agent = agent
        self._rekeying = rekeying
        self._liveness = liveness
        self._dht = dht
        self._contacts = contacts
        self._whereabouts = whereabouts
        self._sessions = sessions

    async def run(self) -> None:
        """What others state becomes routes, and addresses to dial."""
        changes = self._directory.changes()
        for entry in self._directory.known(Kind.NODE):
            self._learn_node(entry)
        async for change in changes:
            if change.kind is Kind.NODE and change.publisher != self._own:
                for entry in self._directory.known(Kind.NODE, change.subject):
                    self._learn_node(entry)
            elif change.kind is Kind.VM:
                self._agent.routes_changed()

    def nearest(self) -> list[NodeId]:
        """Nodes that are known and fresh, the nearest first."""
        fresh = {e.record.publisher for e in self._directory.known(Kind.NODE) if not e.stale}
        rtt_s = dict(self._sessions())
        fresh = {node for node in fresh if not self._liveness.is_gone(node)} - {self._own}
        return sorted(fresh, key=lambda node: (rtt_s.get(node, math.inf), node))

    def card(self) -> bytes | None:
        """This node's own record, for those who never meet it; None before it was first stated."""
        known = self._directory.known(Kind.NODE, self._own.text)
        return known[0].record.pack(0.0) if known else None

    def learn_card(self, node: NodeId, card: bytes) -> bool:
        """It says who a node is; what else it says was true some time ago."""
        self._directory.learn(self._directory.aged(card, TTL_MAX_S))
        return bool(self._directory.known(Kind.NODE, node.text))

    def _learn_node(self, entry: Entry) -> None:
        record = entry.record
        with suppress(WireError):
            facts = NodeFacts.parse(record.publisher, record.body)
            if self._graph.update(record.publisher, facts.neighbours):
                self._agent.routes_changed()
        self._rekeying.heard(record)
        addresses = _dialable(record.body)
        numeric = [(one.host, one.port) for one in addresses]
        usable = [one for one in numeric if is_usable(one)]
        self._liveness.learn(record.publisher, usable)
        if not entry.stale:
            self._dht.learn(record.publisher, usable)
            self._contacts.learn(record.publisher, self._whereabouts.in_order(addresses))


def _dialable(body: Mapping[str, object]) -> list[Address]:
    """The addresses in a node record that make sense."""
    rows = body.get("addresses")
    if not isinstance(rows, (list, tuple)):
        return []
    return [
        Address(row[0], row[1])
        for row in rows
        if isinstance(row, (list, tuple))
        and len(row) == 2
        and isinstance(row[0], str)
        and isinstance(row[1], int)
        and 0 < row[1] < 65536
    ]
