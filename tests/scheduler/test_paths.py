"""Latency over what nodes say of their neighbours."""

from __future__ import annotations

import pytest

from radics_mesh.ids import NodeId
from radics_mesh.scheduler.paths import HOP_S, Paths

A, B, C, D = (NodeId(bytes([n]) * 20) for n in range(4))


def test_a_path_is_its_hops_and_half_their_round_trips() -> None:
    paths = Paths({A: {B: 0.1}, C: {B: 0.3}})
    assert paths.latency_s(A, C) == pytest.approx(2 * HOP_S + 0.2)
    assert paths.latency_s(C, A) == paths.latency_s(A, C)
    assert paths.latency_s(A, A) == 0


def test_the_shortest_of_several_counts() -> None:
    paths = Paths({A: {B: 0.01, C: 5.0}, B: {C: 0.01}})
    assert paths.latency_s(A, C) == pytest.approx(2 * HOP_S + 0.01)


def test_two_ends_that_disagree_count_as_the_better() -> None:
    assert Paths({A: {B: 0.4}, B: {A: 0.2}}).latency_s(A, B) == pytest.approx(HOP_S + 0.1)


def test_no_way_is_none() -> None:
    paths = Paths({A: {B: 0.1}, C: {D: 0.1}})
    assert paths.latency_s(A, C) is None
    assert Paths({}).latency_s(A, B) is None
