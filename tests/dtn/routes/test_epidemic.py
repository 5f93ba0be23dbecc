"""Epidemic routing: everybody once, and nothing goes round, in whatever order nodes meet."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.dtn.routes.digests import digest
from radics_mesh.dtn.routes.epidemic import Epidemic
from radics_mesh.dtn.routes.neighbours import Neighbours
from radics_mesh.dtn.routes.table import RoutingTable
from radics_mesh.dtn.storage.held import Held
from radics_mesh.ids import NodeId
from tests.dtn.routes.bundles import NODES, NOW, A, E, held


class Epidemics:
    """Five nodes, one bundle from A to E; every meeting is long enough for all there is to do."""

    def __init__(self) -> None:
        self.tables: dict[NodeId, RoutingTable] = {}
        for node in NODES:
            known = Neighbours()
            self.tables[node] = RoutingTable(Epidemic(node, known), (), known)
        self.here: dict[NodeId, Held] = {A: held(E.eid, sequence=1)}
        self.got: list[NodeId] = []

    def meet(self, one: NodeId, other: NodeId) -> None:
        pairs = ((one, other), (other, one))
        for node, peer in pairs:
            self.tables[node].contact_up(peer, NOW)
        for node, peer in pairs:
            mine = [digest(self.here[node].bundle_id)] if node in self.here else []
            self.tables[peer].heard(
                node, self.tables[node].summary(peer, mine, NOW, asks=True), NOW
            )
        for node in NODES:
            if node in self.here and self.tables[node].is_needless(self.here[node]):
                del self.here[node]
        for node, peer in pairs:
            self._offer(node, peer)
        for node, peer in pairs:
            self.tables[node].contact_down(peer, NOW)

    def _offer(self, node: NodeId, peer: NodeId) -> None:
        one, table = self.here.get(node), self.tables[node]
        if one is None:
            return
        module = table.of(one.destination)
        if peer not in module.choose(one, E, [peer], NOW):
            return
        assert peer not in self.here
        assert peer != one.previous
        self.got.append(peer)
        if not module.handed_on(one, module.hand(one, E, peer), peer):
            del self.here[node]
        came = held(E.eid, sequence=1, previous=node)
        if peer == E:
            self.tables[E].arrived(came)
        else:
            self.here[peer] = came
            self.tables[peer].neighbours.has(node, came.bundle_id)


meetings = st.lists(
    st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)).filter(
        lambda pair: pair[0] != pair[1]
    ),
    max_size=30,
)


@given(meetings)
def test_everybody_gets_it_once_at_most(steps: list[tuple[NodeId, NodeId]]) -> None:
    all_of_them = Epidemics()
    for one, other in steps:
        all_of_them.meet(one, other)
    assert len(all_of_them.got) == len(set(all_of_them.got))
    assert A not in all_of_them.got


@given(meetings)
def test_no_way_through_time_is_missed(steps: list[tuple[NodeId, NodeId]]) -> None:
    """E has it exactly if a chain of meetings leads from A to E."""
    all_of_them, reached = Epidemics(), {A}
    for one, other in steps:
        all_of_them.meet(one, other)
        if E not in reached and reached & {one, other}:
            reached |= {one, other}
    assert (E in all_of_them.got) == (E in reached)
