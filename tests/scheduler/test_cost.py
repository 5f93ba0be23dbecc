"""The terms of C(vm, node), and what a move costs."""

from __future__ import annotations

from itertools import pairwise

import pytest

from radics_mesh.scheduler.cost import (
    LINK_WEIGHT_BYTES,
    PAUSE_S,
    cost_there,
    cpu_cost,
    move_cost,
    own_share,
    traffic_cost,
)
from radics_mesh.scheduler.paths import CONTACT_DELAY_S, HOP_S, Paths
from tests.scheduler.world import A, B, C, flow, node, vm

PATHS = Paths({A: {B: 0.0}, B: {C: 0.0}})


def test_traffic_is_bytes_under_way() -> None:
    flows = [flow(1000.0, C), flow(500.0, B), flow(9e9, A), flow(9e9, None)]
    assert traffic_cost(flows, A, PATHS) == pytest.approx(1000 * 2 * HOP_S + 500 * HOP_S)
    assert traffic_cost([flow(1000.0, C)], C, PATHS) == 0


def test_a_source_out_of_reach_costs_a_contacts_delay() -> None:
    assert traffic_cost([flow(10.0, C)], A, Paths({})) == 10 * CONTACT_DELAY_S


def test_cpu_grows_faster_than_load_and_stays_finite() -> None:
    costs = [cpu_cost(load / 10) for load in range(11)]
    steps = [b - a for a, b in pairwise(costs)]
    assert costs[0] == 0
    assert steps[:9] == sorted(steps[:9])
    assert cpu_cost(1.0) == cpu_cost(50.0) < 1000


def test_a_vm_brings_its_own_load() -> None:
    share = own_share(node(A, 0.8, cores=2, vms=1))
    assert share == 1.0
    there = cost_there(vm(), node(B, 0.2, cores=4), share, PATHS)
    assert there.cpu == pytest.approx(cpu_cost(0.45))
    assert own_share(node(A, 0.8, cores=2, vms=8)) == pytest.approx(0.2)


def test_a_move_costs_what_waits_in_its_pause_and_the_link() -> None:
    moved = vm(flow(1000.0), move_bytes=10_000_000)
    expected = 1000 * (PAUSE_S + 2.0) ** 2 / 2 + 2.0 * LINK_WEIGHT_BYTES
    assert move_cost(moved, 5e6) == pytest.approx(expected)
