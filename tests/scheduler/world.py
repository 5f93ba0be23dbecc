"""Facts for decisions: a line A - B - C, all idle, a VM on A that takes from C."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from radics_mesh.ids import NodeId, VmId
from radics_mesh.scheduler.decide import Decision, Settings, Situation, decide
from radics_mesh.scheduler.facts import NodeFacts, VmFacts
from radics_mesh.scheduler.paths import Paths
from radics_mesh.scheduler.traffic import Flow

A, B, C = (NodeId(bytes([n]) * 20) for n in range(1, 4))
MIB = 1 << 20


def node(node_id: NodeId, load: float = 0.1, **changes: Any) -> NodeFacts:
    facts = NodeFacts(
        node=node_id,
        name="?ABC"[node_id[0]],
        arch="x86_64",
        cores=2,
        memory_free_bytes=512 * MIB,
        load=load,
        vms=1,
        neighbours={},
        age_s=3.0,
    )
    return replace(facts, **changes)


def flow(rate_bytes_s: float = 8000.0, publisher: NodeId | None = C) -> Flow:
    return Flow("text", publisher, rate_bytes_s)


def vm(*flows: Flow, **changes: Any) -> VmFacts:
    facts = VmFacts(
        name="wc",
        vm_id=VmId(b"v" * 20),
        memory_bytes=64 * MIB,
        move_bytes=3_000_000,
        flows=flows,
        observed_s=30.0,
        since_move_s=30.0,
        migration_s=0.5,
    )
    return replace(facts, **changes)


def decided(
    facts: VmFacts,
    here: NodeFacts,
    *others: NodeFacts,
    overloaded: bool = False,
    busy: bool = False,
    refused: Callable[[str, NodeId], bool] = lambda name, node: False,
    settings: Settings | None = None,
) -> Decision:
    situation = Situation(
        here=here,
        others=others,
        paths=Paths({A: {B: 0.002}, B: {C: 0.002}}),
        settings=settings or Settings(hysteresis=0.15, horizon_s=60.0),
        overloaded=overloaded,
        busy=busy,
        bandwidth=lambda node: 10e6,
        refused=refused,
    )
    return decide(facts, situation, 1000.0)
