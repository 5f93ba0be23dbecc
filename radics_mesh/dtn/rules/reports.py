"""Which status reports to make (RFC 5050 sections 5 and 6.1.1). Sans-IO.

Nothing here may start a storm. So there is never a report
- about an administrative record, or about a bundle from nobody (RFC 5050 section 4.2 forbids both
  to ask for one; who asks anyway is not heard), nor to `dtn:none`;
- that itself asks for reports or for custody;
- beyond a rate for each node reported to: one forged or foolish sender can name a victim as its
  bundles' report-to, and every node on their way would write to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.wire.admin_records import NOTHING, Moment, Reason, Status, StatusReport
from radics_mesh.dtn.wire.bundle import (
    REPORT_CUSTODY,
    REPORT_DELETION,
    REPORT_DELIVERY,
    REPORT_FORWARDING,
    REPORT_RECEPTION,
)
from radics_mesh.ids import NONE_EID

_WANTED_BY = {
    Status.RECEIVED: REPORT_RECEPTION,
    Status.CUSTODY_ACCEPTED: REPORT_CUSTODY,
    Status.FORWARDED: REPORT_FORWARDING,
    Status.DELIVERED: REPORT_DELIVERY,
    Status.DELETED: REPORT_DELETION,
}
# To one node: so many at once, then so many a second.
BURST, PER_SECOND = 256.0, 16.0
# Nodes whose rates are remembered.
_TARGETS_MAX = 1024


@dataclass(slots=True)
class _Allowance:
    """A token bucket."""

    left: float
    since: Monotonic

    def take(self, now: Monotonic) -> bool:
        self.left = min(BURST, self.left + (now - self.since) * PER_SECOND)
        self.since = now
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True


def asked_for(status: Status) -> int:
    """The processing flags that ask for reports on these things."""
    return sum(_WANTED_BY[bit] for bit in status)


class Reports:
    """Makes the reports of one node."""

    def __init__(self) -> None:
        self._allowances: dict[str, _Allowance] = {}
        # Reports that the rate forbade.
        self.suppressed = 0

    def about(
        self,
        held: Held,
        status: Status,
        *,
        now: Monotonic,
        wall: Wall,
        reason: Reason = Reason.NONE,
        unasked: Status = NOTHING,
    ) -> StatusReport | None:
        """The one report on everything in `status` that the bundle asks for; None for no report.

        `unasked` is reported though the bundle's flags do not ask: a block's flags do, or custody
        of the bundle ends with its deletion (RFC 5050 sections 5.6 step 3 and 5.13).
        """
        if may_not_ask(held) or held.report_to == NONE_EID:
            return None
        said = unasked
        for bit in status:
            if held.flags & _WANTED_BY[bit]:
                said |= bit
        if not said or not self._allowed(held, now):
            return None
        times = tuple(Moment.of(wall) for _ in said)
        return StatusReport(held.bundle_id, said, reason, times)

    def _allowed(self, held: Held, now: Monotonic) -> bool:
        target = held.report_to.authority or held.report_to
        allowance = self._allowances.pop(target, None) or _Allowance(BURST, now)
        self._allowances[target] = allowance  # the least recently used one is first
        if len(self._allowances) > _TARGETS_MAX:
            del self._allowances[next(iter(self._allowances))]
        if allowance.take(now):
            return True
        self.suppressed += 1
        return False


def may_not_ask(held: Held) -> bool:
    """Whether its requests for reports and custody are void (RFC 5050 section 4.2)."""
    return held.is_administrative or held.bundle_id.source == NONE_EID
