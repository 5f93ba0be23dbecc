"""Routes: static, and least cost over advertised neighbours against brute force."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.dtn.routes.routing import HOP_COST_S, NeighbourGraph, StaticRoutes
from radics_mesh.ids import NodeId

A, B, C, D, E = (NodeId(bytes((n,)) * 20) for n in range(5))
NODES = (A, B, C, D, E)


def test_static_routes() -> None:
    routes = StaticRoutes({C: [B, D]})
    assert routes.next_hops(C, [D, B]) == [B, D]
    assert routes.next_hops(C, [C, B]) == [C]
    assert routes.next_hops(C, [E]) == []
    assert routes.next_hops(E, [B]) == []


def test_through_a_neighbours_neighbour() -> None:
    graph = NeighbourGraph(A)
    assert graph.update(B, {A: 0.01, C: 0.01})
    assert not graph.update(B, {A: 0.01, C: 0.01})
    assert list(graph.next_hops(C, [B])) == [B]
    assert list(graph.next_hops(D, [B])) == []
    graph.update(D, {C: 0.01})
    assert list(graph.next_hops(D, [B])) == [B]
    graph.remove(D)
    assert list(graph.next_hops(D, [B])) == []


def test_a_contact_is_a_fact_whatever_is_advertised() -> None:
    graph = NeighbourGraph(A)
    graph.update(B, {C: 5.0})
    assert list(graph.next_hops(B, [B, C])) == [B]
    assert list(graph.next_hops(B, [C])) == [C]


def test_never_through_oneself() -> None:
    """B is no contact, though its advertisement says that it reaches C by A."""
    graph = NeighbourGraph(A)
    graph.update(B, {A: 0.01})
    graph.update(C, {A: 0.01})
    assert list(graph.next_hops(C, [B])) == []


def test_own_round_trips_decide_between_equals() -> None:
    graph = NeighbourGraph(A)
    graph.update(B, {D: 0.1})
    graph.update(C, {D: 0.1})
    graph.update(A, {B: 0.5, C: 0.1})
    assert list(graph.next_hops(D, [B, C])) == [C, B]
    graph.update(A, {B: 0.1, C: 0.5})
    assert list(graph.next_hops(D, [B, C])) == [B, C]


edges = st.lists(
    st.tuples(st.sampled_from(NODES[1:]), st.sampled_from(NODES[1:]), st.integers(0, 50)),
    max_size=12,
)


@given(edges, st.sets(st.sampled_from(NODES[1:]), min_size=1))
def test_least_cost_first(links: list[tuple[NodeId, NodeId, int]], contacts: set[NodeId]) -> None:
    costs: dict[NodeId, dict[NodeId, float]] = {}
    for one, other, ms in links:
        if one != other:
            costs.setdefault(one, {})[other] = ms / 1000
    graph = NeighbourGraph(A)
    for node, neighbours in costs.items():
        graph.update(node, neighbours)
    hops = list(graph.next_hops(E, contacts))
    if E in contacts:
        assert hops == [E]
        return
    best = {c: cost for c in contacts if (cost := _brute_force(costs, c)) is not None}
    assert set(hops) == set(best)
    in_order = [best[hop] for hop in hops]
    assert all(one <= other + 1e-9 for one, other in itertools.pairwise(in_order))


def _brute_force(costs: dict[NodeId, dict[NodeId, float]], start: NodeId) -> float | None:
    """The cheapest of all simple paths from `start` to E."""
    between = [n for n in NODES[1:] if n not in (start, E)]
    found = []
    for count in range(len(between) + 1):
        for middle in itertools.permutations(between, count):
            steps = [_link(costs, a, b) for a, b in itertools.pairwise((start, *middle, E))]
            if None not in steps:
                found.append(sum(step + HOP_COST_S for step in steps if step is not None))
    return min(found, default=None)


def _link(costs: dict[NodeId, dict[NodeId, float]], one: NodeId, other: NodeId) -> float | None:
    ways = (costs.get(one, {}).get(other), costs.get(other, {}).get(one))
    return min((way for way in ways if way is not None), default=None)
