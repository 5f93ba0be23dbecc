"""What each VM takes from which source, bytes a second, from counters that only grow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from radics_mesh.ids import NodeId, VmId
from radics_mesh.sources.meter import Meter

# Long enough to even out batches, short enough that a pull is decided within seconds.
TIME_CONSTANT_S = 8.0


@dataclass(frozen=True)
class Flow:
    """What one VM takes from one source. `publisher` None: nobody knows yet who publishes it."""

    source: str
    publisher: NodeId | None
    rate_bytes_s: float


@dataclass
class _Counted:
    meter: Meter
    publisher: NodeId | None
    total_bytes: int


class Traffic:
    """Meters by VM and source. A counter that went back was begun anew (the VM was moved)."""

    def __init__(self) -> None:
        self._counted: dict[VmId, dict[str, _Counted]] = {}

    def observe(
        self, vm: VmId, source: str, publisher: NodeId | None, total_bytes: int, now: float
    ) -> None:
        """The feed's counter as of `now`. What it held when first seen is not counted."""
        sources = self._counted.setdefault(vm, {})
        known = sources.get(source)
        if known is None:
            meter = Meter(now, time_constant_s=TIME_CONSTANT_S)
            sources[source] = _Counted(meter, publisher, total_bytes)
            return
        fresh_bytes = total_bytes - known.total_bytes
        known.meter.add(fresh_bytes if fresh_bytes >= 0 else total_bytes, now)
        known.total_bytes = total_bytes
        known.publisher = publisher

    def flows(self, vm: VmId, now: float) -> list[Flow]:
        return [
            Flow(source, counted.publisher, counted.meter.rate(now))
            for source, counted in sorted(self._counted.get(vm, {}).items())
        ]

    def rate(self, vm: VmId, now: float) -> float:
        """Bytes a second from all sources."""
        return sum(flow.rate_bytes_s for flow in self.flows(vm, now))

    def observed_s(self, vm: VmId, now: float) -> float:
        """How long this VM's oldest meter has been counting."""
        ages = [c.meter.age_s(now) for c in self._counted.get(vm, {}).values()]
        return max(ages, default=0.0)

    def keep_only(self, vms: Iterable[VmId]) -> None:
        """Forget VMs that are not here any more."""
        here = set(vms)
        self._counted = {vm: sources for vm, sources in self._counted.items() if vm in here}
