"""What status reports have told of bundles: which node saw them, doing what, and when.

Kept in memory, for people who trace a bundle or wait for it. Any member can write such a report, so
they are bounded: the oldest bundles are forgotten first, and of one bundle no more than a path's
worth is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from radics_mesh.broadcast import Broadcast
from radics_mesh.clock import DtnTime, from_dtn
from radics_mesh.dtn.wire.admin_records import Reason, Status, StatusReport
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.ids import Eid, same_node

BUNDLES_MAX = 4096
OF_ONE_MAX = 256
# Of one node at one moment, in the order in which these happen.
_ORDER = (
    Status.RECEIVED,
    Status.CUSTODY_ACCEPTED,
    Status.FORWARDED,
    Status.DELIVERED,
    Status.DELETED,
)
WORDS = {
    Status.RECEIVED: "received",
    Status.CUSTODY_ACCEPTED: "custody",
    Status.FORWARDED: "forwarded",
    Status.DELIVERED: "delivered",
    Status.DELETED: "deleted",
}
_REASONS = {
    Reason.EXPIRED: "its lifetime ended",
    Reason.UNIDIRECTIONAL: "over a one-way link",
    Reason.CANCELLED: "cancelled",
    Reason.DEPLETED_STORAGE: "no room",
    Reason.UNINTELLIGIBLE_EID: "its destination makes no sense there",
    Reason.NO_ROUTE: "no route",
    Reason.NO_CONTACT: "no timely contact",
    Reason.UNINTELLIGIBLE_BLOCK: "a block that makes no sense there",
}


@dataclass(frozen=True)
class Sighting:
    """`at`: Unix seconds by that node's clock; None: it has none. `bundle_id`: of the fragment,
    where it was one."""

    bundle_id: BundleId
    node: Eid
    what: Status
    reason: str
    at: float | None

    @property
    def is_end(self) -> bool:
        """Whether a sender need not wait for more: it was delivered as a whole, or deleted."""
        return self.what in (Status.DELIVERED, Status.DELETED) and self.bundle_id.offset is None


class Sightings:
    def __init__(self) -> None:
        self._of: dict[BundleId, list[Sighting]] = {}
        # The whole bundle that a report was about.
        self.news: Broadcast[BundleId] = Broadcast()

    def hear(self, report: StatusReport, source: Eid) -> None:
        """As `Agent.watch_reports` wants it."""
        whole = report.subject.whole
        seen = self._of.pop(whole, [])
        self._of[whole] = seen  # the one that was heard of longest ago is first
        if len(self._of) > BUNDLES_MAX:
            del self._of[next(iter(self._of))]
        bits = [bit for bit in Status if report.status & bit]
        for bit, moment in zip(bits, report.times, strict=True):
            at = None
            if moment.seconds:
                at = from_dtn(DtnTime(moment.seconds)) + moment.nanoseconds / 1e9
            sighting = Sighting(report.subject, source, bit, _reason(bit, report.reason), at)
            if len(seen) < OF_ONE_MAX and sighting not in seen:
                seen.append(sighting)
        self.news.tell(whole)

    def of(self, bundle_id: BundleId) -> Sequence[Sighting]:
        """As they came."""
        return tuple(self._of.get(bundle_id.whole, ()))


def path(sightings: Sequence[Sighting]) -> list[Sighting]:
    """Node by node, its source first, then in the order in which it came to them by their own
    clocks; a node without a clock comes after what was heard before it.

    A node calls a bundle forwarded when the next one has answered for it, which by the clock is
    later than what that one did with it.
    """
    first: dict[Eid, float] = {}
    latest = 0.0
    for sighting in sightings:
        latest = latest if sighting.at is None else sighting.at
        if same_node(sighting.node, sighting.bundle_id.source):
            first[sighting.node] = -1.0
            continue
        first[sighting.node] = min(first.get(sighting.node, latest), latest)
    order = {node: (at, number) for number, (node, at) in enumerate(first.items())}
    return sorted(sightings, key=lambda s: (*order[s.node], _ORDER.index(s.what)))


def holders(sightings: Sequence[Sighting]) -> dict[Eid, float | None]:
    """Nodes that have told that they got it, and not that they let go of it: since when."""
    held: dict[Eid, float | None] = {}
    for sighting in path(sightings):
        if sighting.what in (Status.RECEIVED, Status.CUSTODY_ACCEPTED):
            held.setdefault(sighting.node, sighting.at)
        else:
            held.pop(sighting.node, None)
    return held


def _reason(what: Status, reason: int) -> str:
    if reason == Reason.NONE or (what is not Status.DELETED and reason == Reason.UNIDIRECTIONAL):
        return ""
    known = {int(key): text for key, text in _REASONS.items()}
    return known.get(reason, f"reason {reason}")
