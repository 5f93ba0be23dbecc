"""When a VM is moved, when not, and that it never flaps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.ids import NodeId
from radics_mesh.scheduler.decide import RETURN_BAN_S, Hotspot, Settings
from radics_mesh.scheduler.explain import explain
from radics_mesh.scheduler.facts import NodeFacts, VmFacts
from tests.scheduler.world import MIB, A, B, C, decided, flow, node, vm


def test_a_vm_is_pulled_to_its_data() -> None:
    decision = decided(vm(flow()), node(A), node(B), node(C))
    assert decision.target == C
    assert decision.candidates[0].node == C
    assert decision.candidates[0].cost is not None
    assert decision.candidates[0].cost.traffic == 0
    assert decision.here.traffic > 300


def test_a_vm_at_its_data_stays() -> None:
    decision = decided(vm(flow(publisher=A)), node(A, 0.7), node(B, 0.0), node(C, 0.0))
    assert decision.target is None


def test_a_vm_between_two_sources_goes_to_the_heavier() -> None:
    flows = (flow(8000.0, C), flow(1000.0, A))
    assert decided(vm(*flows), node(A), node(B), node(C)).target == C
    assert decided(vm(*flows[::-1]), node(C), node(B), node(A)).target is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pinned": True}, "pinned"),
        ({"running": False}, "not running"),
        ({"since_move_s": 3.0}, "dwells at least 15 s"),
        ({"since_move_s": 30.0, "migration_s": 10.0}, "dwells at least 40 s"),
        ({"observed_s": 1.0}, "its traffic is still being measured"),
    ],
)
def test_what_keeps_a_vm(changes: dict[str, object], reason: str) -> None:
    decision = decided(vm(flow(), **changes), node(A), node(C))
    assert decision.target is None
    assert decision.reason == reason


def test_a_vm_goes_where_its_program_asks_to_be() -> None:
    wish = vm(hint="on B", wants=frozenset({B}))
    decision = decided(wish, node(A), node(C), node(B))
    assert decision.target == B
    why = explain(decision, 1000.0)
    assert "its program asks for: on B" in why
    assert any("hint 50" in line for line in why)
    assert decided(wish, node(B), node(A)).target is None


def test_a_wish_is_weighed_and_not_obeyed() -> None:
    wish = vm(flow(80_000.0, A), hint="on C", wants=frozenset({C}))
    assert decided(wish, node(A), node(C)).target is None  # its data is worth more
    full = decided(vm(hint="on C", wants=frozenset({C})), node(A), node(C, memory_free_bytes=0))
    assert full.target is None


def test_a_program_that_asks_to_stay_does() -> None:
    decision = decided(vm(flow(), hint="stay"), node(A), node(C))
    assert (decision.target, decision.reason) == (None, "its program asks to stay")


def test_a_wish_for_the_unknown_moves_nothing_and_is_told() -> None:
    decision = decided(vm(hint="near pi"), node(A), node(C))
    assert decision.target is None
    assert "its program asks for: near pi, which is not known here" in explain(decision, 1000.0)


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (node(C, stale=True), "its facts are stale"),
        (node(C, arch="aarch64"), "is aarch64"),
        (node(C, memory_free_bytes=63 * MIB), "has too little memory"),
        (node(C, throttled=True), "is throttled"),
        (node(NodeId(b"\x00" * 20)), "no bundle reaches it now"),
    ],
)
def test_what_bars_a_node(there: NodeFacts, reason: str) -> None:
    decision = decided(vm(flow()), node(A), there)
    assert decision.target is None
    assert [c.against for c in decision.candidates] == [reason]


def test_a_node_that_refused_is_left_alone_for_a_while() -> None:
    decision = decided(vm(flow()), node(A), node(C), refused=lambda name, node: node == C)
    assert decision.target is None
    assert decision.candidates[0].against == "refused it lately"


def test_one_outbound_move_at_a_time_and_none_when_switched_off() -> None:
    assert decided(vm(flow()), node(A), node(C), busy=True).target is None
    off = Settings(hysteresis=0.15, horizon_s=60.0, enabled=False)
    assert decided(vm(flow()), node(A), node(C), settings=off).target is None


def test_a_trickle_does_not_pay_for_a_move() -> None:
    decision = decided(vm(flow(5.0)), node(A), node(C, 0.0))
    assert decision.candidates[0].against == "the move costs more than it saves"


def test_hysteresis_a_little_better_is_not_enough() -> None:
    flows = (flow(8000.0, C), flow(7200.0, A))
    patient = Settings(hysteresis=0.15, horizon_s=600.0)
    decision = decided(vm(*flows), node(A), node(C), settings=patient)
    assert decision.candidates[0].against == "too little better"
    eager = Settings(hysteresis=0.0, horizon_s=600.0)
    assert decided(vm(*flows), node(A), node(C), settings=eager).target == C


def test_a_higher_load_elsewhere_counts_against_it_and_a_lower_one_alone_moves_nothing() -> None:
    assert decided(vm(flow(1000.0)), node(A), node(C, 0.99)).target is None
    assert decided(vm(), node(A, 0.94), node(B, 0.0)).target is None


def test_an_overloaded_host_pushes_to_the_idlest() -> None:
    decision = decided(vm(), node(A, 0.94), node(B, 0.3), node(C, 0.0), overloaded=True)
    assert decision.target == C


def test_an_overloaded_host_keeps_what_would_overload_another() -> None:
    decision = decided(vm(), node(A, 0.94), node(B, 0.6), overloaded=True)
    assert decision.target is None


def test_an_overloaded_host_lets_heavy_traffic_stay_at_its_data() -> None:
    decision = decided(vm(flow(50_000.0, A)), node(A, 0.94), node(B, 0.1), overloaded=True)
    assert decision.target is None


def test_a_vm_does_not_return_to_where_it_came_from() -> None:
    back = vm(flow(), previous=C, since_move_s=RETURN_BAN_S - 1)
    assert decided(back, node(A), node(C)).candidates[0].against == "the VM came from there"
    later = vm(flow(), previous=C, since_move_s=RETURN_BAN_S + 1)
    assert decided(later, node(A), node(C)).target == C


def test_a_hotspot_is_k_of_n_samples() -> None:
    hotspot = Hotspot(0.85, k=3, n=4)
    assert [hotspot.observe(load) for load in (1, 0.2, 1, 1, 0.2, 0.2)] == [
        *[False] * 3,
        True,
        False,
        False,
    ]
    hotspot.restart()
    assert not hotspot.observe(1.0)


loads = st.floats(0, 1)
rates = st.floats(0, 1e6)


@given(st.tuples(loads, loads, loads), st.tuples(rates, rates, rates), st.booleans())
def test_after_a_move_the_same_facts_do_not_move_it_back(
    load: tuple[float, float, float], rate: tuple[float, float, float], overloaded: bool
) -> None:
    """Even without the ban: the VM's load has moved with it, the rest stayed as it was."""
    ids = (A, B, C)
    flows = tuple(flow(r, n) for r, n in zip(rate, ids, strict=True))
    facts = {n: node(n, value) for n, value in zip(ids, load, strict=True)}
    first = decided(vm(*flows), facts[A], facts[B], facts[C], overloaded=overloaded)
    if first.target is None:
        return
    share = min(1.0, facts[A].load * 2) / 2
    facts[A] = node(A, max(0.0, facts[A].load - share))
    facts[first.target] = node(first.target, min(1.0, facts[first.target].load + share))
    others = [facts[n] for n in ids if n != first.target]
    moved: VmFacts = vm(*flows)
    again = decided(moved, facts[first.target], *others, overloaded=False)
    assert again.target != A


def test_a_decision_explains_itself() -> None:
    decision = decided(vm(flow()), node(A), node(B, stale=True), node(C))
    text = "\n".join(explain(decision, 1007.0))
    assert "wc moves to C" in text
    assert "decided 7 s ago" in text
    assert "facts 3 s old" in text
    assert "its facts are stale" in text
    assert "takes 8000 bytes/s of text" in text
