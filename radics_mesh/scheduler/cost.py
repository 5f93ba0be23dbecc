"""C(vm, node): what it costs that a VM is on a node, and what a move costs.

One unit for everything, so that terms may be added: *bytes waiting*. By Little's law a flow of
r bytes/s over a path of latency l has r * l bytes under way at any moment; those are what being
far from the data costs. A move costs byte-seconds: bytes that wait, times how long.

  traffic  sum over sources of  bytes/s * path latency (s)                 [bytes]
  cpu      CPU_WEIGHT_BYTES * load / (1 - load), the queue of a busy CPU   [bytes]
  hint     HINT_BYTES, unless its program named no node, or this one       [bytes]
  move     bytes/s * pause^2 / 2  +  transfer time * LINK_WEIGHT_BYTES     [byte-seconds]

A move pays when the bytes it saves, over the horizon, are more than what it costs. A node's memory
and architecture, and pins, are hard constraints and stand in `decide`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from radics_mesh.ids import NodeId
from radics_mesh.scheduler.facts import NodeFacts, VmFacts
from radics_mesh.scheduler.paths import CONTACT_DELAY_S, Paths
from radics_mesh.scheduler.traffic import Flow

# What a CPU of load 0.5 is worth in bytes that wait: a VM that takes less than this over the
# difference in latency is moved for load, one that takes more for its data. More: VMs flee load
# sooner and leave their data for it.
CPU_WEIGHT_BYTES = 10.0
# The curve goes to infinity at 1, measured loads are blunt there.
_LOAD_CAP = 0.95
# What a program's wish is worth in bytes that wait: as much as a CPU of load 5/6. More: programs
# decide more, and loads and sources less.
HINT_BYTES = 50.0
# A second of a busy link, in bytes of others that wait. Keeps idle VMs from travelling for nothing.
LINK_WEIGHT_BYTES = 100.0
# Pause of a move beyond its transfer: park, write, verify, sign, warm start. Until measured.
PAUSE_S = 0.5
# Until measured: bundles over a local network.
BANDWIDTH_BYTES_S = 10e6


@dataclass(frozen=True)
class Cost:
    """Bytes waiting because a VM is on a node."""

    traffic: float
    cpu: float
    hint: float = 0.0

    @property
    def total(self) -> float:
        return self.traffic + self.cpu + self.hint


def traffic_cost(flows: Sequence[Flow], node: NodeId, paths: Paths) -> float:
    """A local source costs nothing; one that cannot be reached as much as waiting for a contact."""
    waiting_bytes = 0.0
    for flow in flows:
        if flow.publisher is not None and flow.publisher != node:
            latency_s = paths.latency_s(node, flow.publisher)
            waiting_bytes += flow.rate_bytes_s * (
                CONTACT_DELAY_S if latency_s is None else latency_s
            )
    return waiting_bytes


def cpu_cost(load: float) -> float:
    used = min(max(load, 0.0), _LOAD_CAP)
    return CPU_WEIGHT_BYTES * used / (1 - used)


def hint_cost(vm: VmFacts, node: NodeId) -> float:
    return HINT_BYTES if vm.wants and node not in vm.wants else 0.0


def own_share(here: NodeFacts) -> float:
    """About how many cores one of the host's VMs uses; a guest has one virtual CPU."""
    return min(1.0, here.load * here.cores / max(1, here.vms))


def cost_here(vm: VmFacts, here: NodeFacts, paths: Paths) -> Cost:
    traffic = traffic_cost(vm.flows, here.node, paths)
    return Cost(traffic, cpu_cost(here.load), hint_cost(vm, here.node))


def cost_there(vm: VmFacts, there: NodeFacts, share_cores: float, paths: Paths) -> Cost:
    """With the VM on it, so its own CPU comes on top of the load."""
    load = there.load + share_cores / there.cores
    traffic = traffic_cost(vm.flows, there.node, paths)
    return Cost(traffic, cpu_cost(load), hint_cost(vm, there.node))


def pause_s(vm: VmFacts, bandwidth_bytes_s: float) -> float:
    """Expected pause of a stop-and-copy move."""
    return PAUSE_S + vm.move_bytes / bandwidth_bytes_s


def move_cost(vm: VmFacts, bandwidth_bytes_s: float) -> float:
    """Byte-seconds."""
    rate_bytes_s = sum(flow.rate_bytes_s for flow in vm.flows)
    waiting = rate_bytes_s * pause_s(vm, bandwidth_bytes_s) ** 2 / 2
    return waiting + vm.move_bytes / bandwidth_bytes_s * LINK_WEIGHT_BYTES
