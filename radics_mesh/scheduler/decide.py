"""Pure: facts and time in, a Decision with all its terms out.

Rules, in this order:
- A VM that is pinned, not running, too young here (dwell) or measured for too short a time stays.
- A node is a candidate if its facts are fresh, bundles reach it now, its architecture is the
  host's, its memory suffices, it is not throttled, it did not just refuse, and the VM did not
  leave it within RETURN_BAN_S (no A -> B -> A).
- A VM whose program asks to stay does, as one that is pinned; where a program asks to be counts as
  a cost everywhere else.
- Gain: what the VM costs here minus what it would cost there. Less CPU load there counts as a gain
  only while this host is overloaded (k of n samples), so that loads that merely differ, or are old,
  move nothing; more load there always counts against it.
- The best candidate wins if gain * horizon > (1 + hysteresis) * cost of the move, and the cost
  there is lower by the share of hysteresis too.
- One outbound move a node at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from radics_mesh.ids import NodeId
from radics_mesh.scheduler.cost import (
    Cost,
    cost_here,
    cost_there,
    move_cost,
    own_share,
)
from radics_mesh.scheduler.facts import NodeFacts, VmFacts
from radics_mesh.scheduler.paths import Paths

# Of a big mesh, the nodes nearest to a VM's sources are enough.
CANDIDATES_MAX = 64
RETURN_BAN_S = 600.0
# A VM stays where it came to for four migration times, and not less than a few seconds' move over
# bundles would ask for, since nobody here may have seen it move yet.
DWELL_MIN_S = 15.0
DWELL_MIGRATIONS = 4.0
# Traffic seen for a shorter time says little.
OBSERVE_MIN_S = 3.0


@dataclass(frozen=True)
class Settings:
    """The scheduler's part of `Config`; see there for meanings."""

    hysteresis: float
    horizon_s: float
    enabled: bool = True
    observe_s: float = OBSERVE_MIN_S
    dwell_s: float = DWELL_MIN_S


@dataclass(frozen=True)
class Candidate:
    """One node that was looked at. `against` is why it was not taken, empty for the one taken."""

    node: NodeId
    name: str
    facts_age_s: float
    cost: Cost | None
    gain: float
    move_cost: float
    against: str


@dataclass(frozen=True)
class Decision:
    """`target` None: the VM stays. Costs in bytes waiting, see `cost`."""

    vm: str
    at: float
    target: NodeId | None
    reason: str
    here: Cost
    overloaded: bool
    vm_facts: VmFacts
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True)
class Situation:
    """All that is the same for every VM of a host at one moment.

    `bandwidth`: bytes/s to a node. `refused`: whether a node lately refused this VM (name, node).
    """

    here: NodeFacts
    others: tuple[NodeFacts, ...]
    paths: Paths
    settings: Settings
    overloaded: bool
    busy: bool
    bandwidth: Callable[[NodeId], float]
    refused: Callable[[str, NodeId], bool]


class Hotspot:
    """Whether a host is overloaded: at least `k` of the last `n` samples above the limit."""

    def __init__(self, limit: float, *, k: int = 8, n: int = 12) -> None:
        self._limit = limit
        self._k = k
        self._samples: deque[bool] = deque(maxlen=n)

    def observe(self, load: float) -> bool:
        self._samples.append(load > self._limit)
        return sum(self._samples) >= self._k

    def restart(self) -> None:
        """Something was done about it: judge anew."""
        self._samples.clear()


def decide(vm: VmFacts, situation: Situation, now: float) -> Decision:
    here = cost_here(vm, situation.here, situation.paths)
    candidates = [_weigh(vm, there, here, situation) for there in _nearest(vm, situation)]
    candidates.sort(key=lambda c: (bool(c.against), -c.gain))
    best = candidates[0] if candidates and not candidates[0].against else None
    reason = _why_stay(vm, situation, best)
    if best is not None and not reason:
        reason = f"saves {best.gain:.0f} bytes waiting of {here.total:.0f}"
    elif best is not None:
        best = None
    return Decision(
        vm=vm.name,
        at=now,
        target=None if best is None else best.node,
        reason=reason,
        here=here,
        overloaded=situation.overloaded,
        vm_facts=vm,
        candidates=tuple(candidates),
    )


def _why_stay(vm: VmFacts, situation: Situation, best: Candidate | None) -> str:
    """Empty: nothing keeps it here."""
    dwell_s = max(situation.settings.dwell_s, DWELL_MIGRATIONS * vm.migration_s)
    for holds, reason in (
        (vm.pinned, "pinned"),
        (vm.stays, "its program asks to stay"),
        (not vm.running, "not running"),
        (best is None, "no other node is better"),
        (vm.since_move_s < dwell_s, f"dwells at least {dwell_s:.0f} s"),
        (
            vm.observed_s < situation.settings.observe_s and vm.flows,
            "its traffic is still being measured",
        ),
        (situation.busy, "another VM is being moved from here"),
        (not situation.settings.enabled, "the scheduler is off"),
    ):
        if holds:
            return reason
    return ""


def _nearest(vm: VmFacts, situation: Situation) -> Iterable[NodeFacts]:
    """The nodes its program wants, then those nearest to its sources; without sources, to here."""
    publishers = [flow.publisher for flow in vm.flows if flow.publisher is not None]

    def distance(facts: NodeFacts) -> tuple[bool, float, NodeId]:
        ends = publishers or [situation.here.node]
        found = [situation.paths.latency_s(facts.node, end) for end in ends]
        nearest = min((s for s in found if s is not None), default=float("inf"))
        return facts.node not in vm.wants, nearest, facts.node

    return sorted(situation.others, key=distance)[:CANDIDATES_MAX]


def _weigh(vm: VmFacts, there: NodeFacts, here: Cost, situation: Situation) -> Candidate:
    against = _barred(vm, there, situation)
    if against:
        return Candidate(there.node, there.name, there.age_s, None, 0.0, 0.0, against)
    cost = cost_there(vm, there, own_share(situation.here), situation.paths)
    cpu_gain = here.cpu - cost.cpu
    if not situation.overloaded:
        cpu_gain = min(0.0, cpu_gain)
    gain = here.traffic - cost.traffic + cpu_gain + here.hint - cost.hint
    price = move_cost(vm, situation.bandwidth(there.node))
    against = _too_little(gain, price, here, situation.settings)
    return Candidate(there.node, there.name, there.age_s, cost, gain, price, against)


def _too_little(gain: float, price: float, here: Cost, settings: Settings) -> str:
    if gain <= 0:
        return "costs no less"
    if gain * settings.horizon_s <= (1 + settings.hysteresis) * price:
        return "the move costs more than it saves"
    if gain <= settings.hysteresis * here.total:
        return "too little better"
    return ""


def _barred(vm: VmFacts, there: NodeFacts, situation: Situation) -> str:
    """Why a node cannot have the VM at all; empty if it can."""
    reached = situation.paths.latency_s(there.node, situation.here.node) is not None
    for holds, reason in (
        (there.stale, "its facts are stale"),
        (not reached, "no bundle reaches it now"),
        (there.arch != situation.here.arch, f"is {there.arch}"),
        (there.memory_free_bytes < vm.memory_bytes, "has too little memory"),
        (there.throttled, "is throttled"),
        (
            there.node == vm.previous and vm.since_move_s < RETURN_BAN_S,
            "the VM came from there",
        ),
        (situation.refused(vm.name, there.node), "refused it lately"),
    ):
        if holds:
            return reason
    return ""
