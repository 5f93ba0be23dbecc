"""What an agent says about bundles, and hears about its own: status reports and custody signals.

A thin Trio shell over `reports` and `custody`. The agent tells what happens to each bundle, before
the store is asked for what follows (an addition, a removal): the record is made at once and is in
the same transaction, so that a crash keeps both or neither. A record for which the store has no
room is missed by people only: a custodian that hears nothing sends the bundle again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import structlog
import trio

from radics_mesh.clock import Clock
from radics_mesh.dtn.rules.custody import Custody, asks_for_custody
from radics_mesh.dtn.rules.processing import Delivery
from radics_mesh.dtn.rules.reports import Reports
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.wire import admin_records
from radics_mesh.dtn.wire.admin_records import (
    NOTHING,
    AdminRecord,
    CustodySignal,
    Moment,
    Reason,
    Status,
    StatusReport,
)
from radics_mesh.dtn.wire.bundle import ADMINISTRATIVE, BULK, BundleId
from radics_mesh.errors import CapacityError, UsageError, WireError
from radics_mesh.ids import NONE_EID, Eid, NodeId
from radics_mesh.me import Me

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AdminBundle:
    """One to be made: an administrative bundle asks for nothing (RFC 5050 section 4.2)."""

    destination: Eid
    record: AdminRecord
    lifetime_s: int
    priority: int


Emit = Callable[[AdminBundle], None]
Reported = Callable[[StatusReport, Eid], None]


class Administration:
    """`again` puts a bundle where it belongs now; `emit` sends a record.

    `of_ibr` says of which EIDs it is known that an IBR-DTN is behind them.
    """

    def __init__(
        self,
        *,
        me: Me,
        store: BundleStore,
        clock: Clock,
        counters: Counter[str],
        emit: Emit,
        again: Callable[[Held], None],
        of_ibr: Callable[[Eid], bool],
    ) -> None:
        self._me = me
        self._store = store
        self._clock = clock
        self._counters = counters
        self._emit = emit
        self._again = again
        self._of_ibr = of_ibr
        self._reports = Reports()
        self.custody = Custody(me.names, quota_bytes=store.quota_bytes, is_held=store.__contains__)
        self._sooner = trio.Event()
        # Who hears of status reports that come to this node's own endpoint, and from whom.
        self.on_report: list[Reported] = []

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send again what has waited long enough for a custody signal."""
        task_status.started()
        while True:
            self._sooner = trio.Event()
            now = self._clock.monotonic()
            for held in self.custody.due(now):
                self._counters["custody_retried"] += 1
                self._again(held)
            deadline = self.custody.deadline
            wait_s = math.inf if deadline == math.inf else max(0.0, deadline - now)
            with trio.move_on_after(wait_s):
                await self._sooner.wait()

    # --- what happens to bundles ---

    def take_custody(self, held: Held) -> Eid | None:
        """Before it is stored: make this node its custodian if it may be. Who was before, if so."""
        if not self.custody.wants(held):
            return None
        before = held.custodian
        held.custodian = self._me.name_towards(held.destination, self._me.identity.eid)
        return before

    def stored(self, held: Held) -> None:
        """It is in the store, new or after a restart."""
        if self.custody.has(held):
            self.custody.take(held)

    def arrived(self, held: Held, before: Eid | None, *, unintelligible: bool) -> None:
        """It came from a neighbour, and is about to be stored. `before`: what `take_custody`
        returned. `unintelligible`: it has a block that this node was to report."""
        status = Status.RECEIVED
        if before is not None:
            status |= Status.CUSTODY_ACCEPTED
            self._counters["custody_taken"] += 1
            self._signal(held, before, succeeded=True)
        if unintelligible:  # RFC 5050 section 5.6 step 3
            self._report(held, status, reason=Reason.UNINTELLIGIBLE_BLOCK, unasked=Status.RECEIVED)
        else:
            self._report(held, status)

    def originated(self, held: Held) -> None:
        """This node's own, about to be stored: nothing was received (RFC 5050 section 5.2)."""
        if self.custody.has(held):
            self._report(held, Status.CUSTODY_ACCEPTED)

    def duplicate(self, arrived: Held) -> None:
        """It came again; `arrived` was not stored (RFC 5050 section 5.6 step 4)."""
        if not asks_for_custody(arrived):
            return
        if self._answers_for(arrived.bundle_id):
            self._counters["custody_redundant"] += 1
            self._signal(arrived, arrived.custodian, succeeded=False, reason=Reason.REDUNDANT)

    def _answers_for(self, bundle_id: BundleId) -> bool:
        """Whether it was delivered here, as itself or as a part of its whole, or is in custody.

        Not so for a fragment whose bytes came in others that this node has no custody of.
        """
        for one in (bundle_id, bundle_id.whole):
            here = self._store.find(one)
            if self._store.has_delivered(one) or (here is not None and self.custody.has(here)):
                return True
        return False

    def forwarded(self, held: Held, peer: object) -> bool:
        """A neighbour has it. Whether it stays here nevertheless, in custody."""
        self._report(held, Status.FORWARDED)
        stays = self.custody.handed_on(held, peer, self._clock.monotonic())
        if stays:
            self._sooner.set()
        return stays

    def delivered(self, held: Held, *, accepted: bool) -> None:
        """Its endpoint has had it, and has `accepted` it or not; it leaves the store next."""
        if accepted:
            self._report(held, Status.DELIVERED)
        else:
            self._report(held, Status.DELETED)
        if self.custody.has(held):
            self.custody.let_go(held)
        elif asks_for_custody(held):  # RFC 5050 section 5.7
            self._signal(held, held.custodian, succeeded=True)

    def deleted(self, held: Held, reason: Reason) -> None:
        """Its life ends here (RFC 5050 section 5.13)."""
        in_custody = self.custody.has(held) and held in self.custody
        unasked = Status.DELETED if in_custody else NOTHING
        self._report(held, Status.DELETED, reason=reason, unasked=unasked)
        self.custody.let_go(held)

    def refused(self, held: Held, *, reported: bool) -> None:
        """A block of it demanded that it be deleted where it is not understood."""
        unasked = Status.RECEIVED if reported else NOTHING
        self._report(held, Status.DELETED, reason=Reason.UNINTELLIGIBLE_BLOCK, unasked=unasked)
        if asks_for_custody(held):
            self._signal(held, held.custodian, succeeded=False, reason=Reason.UNINTELLIGIBLE_BLOCK)

    # --- what comes in ---

    async def handle(self, delivery: Delivery) -> None:
        """A bundle for this node's own endpoint; WireError for what is no administrative record."""
        if not delivery.flags & ADMINISTRATIVE:
            raise WireError("not an administrative record")
        of_ibr = delivery.signer is None and self._of_ibr(delivery.source)
        record = admin_records.parse(delivery.payload, of_ibr=of_ibr)
        if isinstance(record, CustodySignal):
            self._heed(record, delivery.signer, delivery.source)
            return
        self._counters["reports_received"] += 1
        for hear in list(self.on_report):
            hear(record, delivery.source)

    def _heed(self, signal: CustodySignal, signer: NodeId | None, source: Eid) -> None:
        peer = None if signer is not None else source
        now = self._clock.monotonic()
        self._counters["custody_signals"] += 1
        for held in self.custody.signalled(signal, peer, now):
            self._counters["custody_released"] += 1
            if held in self._store:
                self._store.drop(held)
        self._sooner.set()

    # --- what goes out ---

    def _report(
        self,
        held: Held,
        status: Status,
        *,
        reason: Reason = Reason.NONE,
        unasked: Status = NOTHING,
    ) -> None:
        if held.report_to == NONE_EID:  # nearly all of them
            return
        now, wall = self._clock.monotonic(), self._clock.wall()
        report = self._reports.about(
            held, status, now=now, wall=wall, reason=reason, unasked=unasked
        )
        self._counters["reports_suppressed"] = self._reports.suppressed
        if report is not None:
            # Behind whatever carries data: reports tell people, and nothing waits for them.
            self._put(AdminBundle(held.report_to, report, held.lifetime_s, BULK))

    def _signal(
        self, held: Held, custodian: Eid, *, succeeded: bool, reason: Reason = Reason.NONE
    ) -> None:
        if custodian in (NONE_EID, *self._me.names):
            return
        time = Moment.of(self._clock.wall())
        signal = CustodySignal(held.bundle_id, succeeded, reason, time)
        self._put(AdminBundle(custodian, signal, held.lifetime_s, held.priority))

    def _put(self, bundle: AdminBundle) -> None:
        try:
            self._emit(bundle)
        except (CapacityError, UsageError) as error:
            self._counters["admin_records_lost"] += 1
            log.info("no record sent", to=bundle.destination, reason=str(error))
