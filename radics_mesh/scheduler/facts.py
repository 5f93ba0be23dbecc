"""What a decision is made from: facts of nodes and of VMs, each with its age."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from radics_mesh.errors import WireError
from radics_mesh.ids import NodeId, VmId
from radics_mesh.scheduler.traffic import Flow

_NEIGHBOURS_MAX = 64
# Hints as hosting keeps them (radics_mesh.hosting.papers.Settings).
STAY, NEAR, ON = "stay", "near ", "on "


@dataclass(frozen=True)
class NodeFacts:
    """A node as its own record (or invitation) describes it.

    `load`: share of all its CPU in use, 0 to 1. `neighbours`: round trip in seconds to each node
    that it has a session with. `age_s`: since it said so; `stale`: older than it promised.
    """

    node: NodeId
    name: str
    arch: str
    cores: int
    memory_free_bytes: int
    load: float
    vms: int
    neighbours: Mapping[NodeId, float]
    throttled: bool = False
    age_s: float = 0.0
    stale: bool = False

    @classmethod
    def parse(
        cls, node: NodeId, body: Mapping[str, object], *, age_s: float = 0.0, stale: bool = False
    ) -> NodeFacts:
        """From the body of a node record; WireError when it is not one."""
        return cls(
            node=node,
            name=_text(body, "name"),
            arch=_text(body, "arch"),
            cores=max(1, int(_number(body, "cores"))),
            memory_free_bytes=int(_number(body, "memory_free")),
            load=min(1.0, max(0.0, _number(body, "load"))),
            vms=int(_number(body, "vms")),
            neighbours=_neighbours(body.get("neighbours", [])),
            throttled=body.get("throttled") is True,
            age_s=age_s,
            stale=stale,
        )

    def aged(self, age_s: float) -> NodeFacts:
        """The same, said so long ago."""
        return replace(self, age_s=age_s)


def _text(body: Mapping[str, object], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str):
        raise WireError(f"node facts: {key} is {repr(value)[:40]}")
    return value


def _number(body: Mapping[str, object], key: str) -> float:
    value = body.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e18:
        raise WireError(f"node facts: {key} is {repr(value)[:40]}")
    return float(value)


def _neighbours(value: object) -> dict[NodeId, float]:
    if not isinstance(value, (list, tuple)):
        raise WireError("node facts: neighbours is not an array")
    rows: dict[NodeId, float] = {}
    for row in value[:_NEIGHBOURS_MAX]:
        if not isinstance(row, (list, tuple)) or len(row) != 2 or not isinstance(row[0], str):
            raise WireError("node facts: a neighbour is not [id, round trip]")
        rtt_ms = row[1]
        if isinstance(rtt_ms, bool) or not isinstance(rtt_ms, (int, float)) or not rtt_ms >= 0:
            raise WireError("node facts: a round trip is no number")
        rows[NodeId.parse(row[0])] = min(float(rtt_ms), 1e9) / 1000
    return rows


@dataclass(frozen=True)
class VmFacts:
    """A VM of this node. `move_bytes`: what the pause of a move has to carry.

    `since_move_s`: since it came or was started here. `migration_s`: how long its moves take, by
    the last one that this node saw. `previous`: where it was before, None if it was born here.
    """

    name: str
    vm_id: VmId
    memory_bytes: int
    move_bytes: int
    flows: tuple[Flow, ...]
    observed_s: float
    since_move_s: float
    migration_s: float
    previous: NodeId | None = None
    running: bool = True
    pinned: bool = False
    # Where its program would like to be, in words ("near text"), and the nodes that this means now.
    hint: str = ""
    wants: frozenset[NodeId] = frozenset()

    @property
    def stays(self) -> bool:
        """Its program asks not to be moved."""
        return self.hint == STAY
