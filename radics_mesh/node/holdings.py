"""The directory as gossip sees it: what may be passed on, what matters here, who judges."""

from __future__ import annotations

from collections.abc import Callable, Collection

from radics_mesh.directory.service import Directory
from radics_mesh.errors import WireError
from radics_mesh.gossip.digests import fact_tag, publisher_tag
from radics_mesh.gossip.entropy_messages import SCOPE_MAX
from radics_mesh.ids import NodeId, VmId
from radics_mesh.knowledge.book import Entry
from radics_mesh.records import Kind

# Of a full scope: facts that somebody here asked for. The rest are publishers in view.
FACTS_MAX = 32


class DirectoryHoldings:
    """`view`: the nodes whose records matter here."""

    def __init__(self, directory: Directory, view: Callable[[], Collection[NodeId]]) -> None:
        self._directory = directory
        self._view = view

    def held(self) -> Collection[Entry]:
        return self._directory.held()

    def learn(self, raw: bytes) -> bool:
        before = self._directory.counters["learned"]
        self._directory.learn(raw)
        return self._directory.counters["learned"] != before

    def scope(self) -> frozenset[bytes]:
        facts = [fact_tag(*fact) for fact in self._directory.asked_for()[-FACTS_MAX:]]
        nodes = [publisher_tag(self._directory.me), *map(publisher_tag, sorted(self._view()))]
        return frozenset([*facts, *nodes][:SCOPE_MAX])

    def proof(self, entry: Entry) -> bytes | None:
        if entry.record.kind is not Kind.VM or entry.record.withdrawn:
            return None
        try:
            chain = self._directory.ownership(VmId.parse(entry.record.subject))
        except WireError:  # a record about no VM at all
            return None
        return chain.pack() if chain is not None else None

    def learn_proof(self, packed: bytes) -> None:
        self._directory.learn_ownership(packed)
