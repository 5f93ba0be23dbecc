"""A Decision as lines for people: `why NAME`."""

from __future__ import annotations

from radics_mesh.scheduler.cost import Cost
from radics_mesh.scheduler.decide import Candidate, Decision


def explain(decision: Decision, now: float) -> list[str]:
    """Verdict, what the VM takes, the cost here, then every candidate with its terms."""
    vm, age_s = decision.vm_facts, max(0.0, now - decision.at)
    target = next((c for c in decision.candidates if c.node == decision.target), None)
    verdict = "stays" if target is None else f"moves to {target.name} ({target.node.short})"
    lines = [
        f"{decision.vm} {verdict}: {decision.reason}; decided {age_s:.0f} s ago",
        f"here for {vm.since_move_s:.0f} s, memory {vm.memory_bytes >> 20} MiB, "
        f"a move carries {vm.move_bytes} bytes and takes {vm.migration_s:.1f} s",
    ]
    for flow in vm.flows:
        where = "nobody known" if flow.publisher is None else flow.publisher.short
        lines.append(f"takes {flow.rate_bytes_s:.0f} bytes/s of {flow.source} from {where}")
    if vm.hint:
        known = vm.wants or vm.stays
        lines.append(
            f"its program asks for: {vm.hint}{'' if known else ', which is not known here'}"
        )
    overloaded = ", overloaded" if decision.overloaded else ""
    lines.append(f"here: {_terms(decision.here)}{overloaded}")
    lines += [_candidate(candidate) for candidate in decision.candidates]
    lines.append("costs are bytes waiting: bytes/s times seconds of path, and the CPU's queue")
    return lines


def _terms(cost: Cost) -> str:
    hint = f" + hint {cost.hint:.0f}" if cost.hint else ""
    return f"traffic {cost.traffic:.0f} + cpu {cost.cpu:.0f}{hint} = {cost.total:.0f}"


def _candidate(candidate: Candidate) -> str:
    head = f"{candidate.name} ({candidate.node.short}, facts {candidate.facts_age_s:.0f} s old)"
    if candidate.cost is None:
        return f"{head}: {candidate.against}"
    terms = f"{_terms(candidate.cost)}, gain {candidate.gain:.0f}, move {candidate.move_cost:.0f}"
    return f"{head}: {terms}: {candidate.against or 'best'}"
