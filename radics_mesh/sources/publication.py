"""Sans-IO core of the publishing side: pace, back-pressure, fences, credit.

Theory. A publication has a length (messages in the log), a head (how many are produced) and
subscribers. For each subscriber

    acknowledged <= sent <= head <= length

- Production. The head moves at the pace, from the first message on, as long as there is an active
  subscriber and the slowest of them is not more than LAG_BYTES behind. Else the producer waits;
  it does not hurry afterwards. The log is kept whole, so a subscriber may begin anywhere.
- Credit. At most WINDOW_BYTES are sent beyond what is acknowledged.
- Fences. A subscriber speaks with (epoch, attachment). A higher fence supersedes: its `have` is
  the cursor, forward or backward (a VM that was restored from a checkpoint). A lower one is
  refused. Within one fence the acknowledged number never goes back.
- Loss. There is no timer here for lost data. The subscriber asks again when it misses something,
  and the publisher then goes back to what the subscriber says it has, unless what is under way
  can still be under way. Every request that was not overtaken is answered, if only by an empty
  DATA.

What may never happen: a message skipped for a fence; a cursor moved by a lower fence.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from radics_mesh.errors import PeerError
from radics_mesh.ids import Eid, NodeId
from radics_mesh.sources.ledger import Cursor
from radics_mesh.sources.messages import BATCH_MAX_BYTES, Fence
from radics_mesh.sources.meter import Meter

# Unacknowledged bytes under way to one subscriber. More: better use of a long thin path; less:
# less is sent twice after a loss, and the sooner a slow guest holds the producer.
WINDOW_BYTES = 256 * 1024
# How far, in bytes, the producer may be ahead of the slowest active subscriber.
LAG_BYTES = WINDOW_BYTES
# A subscriber that was not heard of for so long no longer holds up the others (nothing is lost
# for it: the log stays). Subscribers remind at least every SILENCE_MAX_S of `reception`.
LEASE_S = 600.0
# Production is counted in steps of this, so that messages share bundles.
TICK_S = 0.05
# After a stall (suspended laptop, stopped process) no more than this is made up for.
_CATCH_UP_S = 1.0
# Before anything was measured: how long DATA and its acknowledgement are taken to travel.
_FIRST_ROUND_TRIP_S = 1.0
# What was sent longer ago than this counts as lost once the subscriber asks for it.
_PATIENCE_MAX_S = 600.0


@dataclass
class Subscription:
    """One subscriber's standing. `flight`: (last number, bytes, when sent), oldest first."""

    subscriber: Eid
    node: NodeId
    fence: Fence
    serial: int
    acknowledged: int
    sent: int
    heard_at: float
    meter: Meter
    active: bool = True
    # A feed on this very node is open: it needs no bundles and no reminders.
    attached: bool = False
    answer_due: bool = False
    round_trip_s: float = _FIRST_ROUND_TRIP_S
    flight: deque[tuple[int, int, float]] = field(default_factory=deque)
    flight_bytes: int = 0

    @property
    def cursor(self) -> Cursor:
        return Cursor(
            self.subscriber,
            self.node,
            self.fence,
            self.serial,
            self.acknowledged,
            self.active,
        )

    def note_sent(self, last: int, size_bytes: int, now: float) -> None:
        """Messages up to `last` are on their way (or, `last` == sent, a sign of life is)."""
        self.answer_due = False
        if last <= self.sent:
            return
        self.sent = last
        self.flight.append((last, size_bytes, now))
        self.flight_bytes += size_bytes
        self.meter.add(size_bytes, now)

    def land(self, number: int, now: float) -> None:
        """Messages up to `number` are durable at the subscriber."""
        self.acknowledged = max(self.acknowledged, number)
        self.sent = max(self.sent, self.acknowledged)
        while self.flight and self.flight[0][0] <= self.acknowledged:
            _, size_bytes, sent_at = self.flight.popleft()
            self.flight_bytes -= size_bytes
            self.round_trip_s += (max(0.0, now - sent_at) - self.round_trip_s) / 8

    def go_back(self, have: int, now: float) -> None:
        """Send again from `have` + 1, if what was sent cannot be under way any more."""
        missing = next((entry for entry in self.flight if entry[0] > have), None)
        if missing is not None:
            patience_s = min(2 * self.round_trip_s, _PATIENCE_MAX_S)
            if now - missing[2] < patience_s:
                return
        if have != self.sent:
            self.restart(have)

    def restart(self, have: int) -> None:
        self.sent = have
        self.flight.clear()
        self.flight_bytes = 0


class Publication:
    """The subscribers of one source and its production head.

    `position(n)`: about how many bytes the messages up to n take.
    """

    def __init__(
        self,
        name: str,
        length: int,
        rate: float | None,
        position: Callable[[int], int],
        *,
        head: int = 0,
        cursors: Iterable[Cursor] = (),
        now: float,
    ) -> None:
        self.name = name
        self.length = length
        self.rate = rate
        self.head = min(head, length)
        self.subscriptions: dict[Eid, Subscription] = {}
        self._position = position
        # The moment up to which production is counted; None while the producer waits.
        self._produced_until: float | None = None
        self._next_step = 0.0
        for cursor in cursors:
            self._restore(cursor, now)

    def _restore(self, cursor: Cursor, now: float) -> None:
        at = min(cursor.acknowledged, self.length)
        self.subscriptions[cursor.subscriber] = Subscription(
            cursor.subscriber,
            cursor.node,
            cursor.fence,
            cursor.serial,
            at,
            at,
            now,
            Meter(now),
            active=cursor.active,
        )
        self.head = max(self.head, at)

    # --- production -----------------------------------------------------------------------------

    def produce(self, now: float) -> float | None:
        """Move the head to where it should be by `now`; when to call again, None: at a change."""
        limit = self._limit(now)
        if self.head >= min(limit, self.length):
            self._produced_until = None
            # Waiting for the slowest: its lease may end without anybody saying so.
            return now + LEASE_S / 10 if 0 < limit < self.length else None
        if self.rate is None:
            self.head = self.length
            return None
        if self._produced_until is None:
            self._produced_until = self._next_step = now
        if now < self._next_step:
            return self._next_step
        self._produced_until = max(self._produced_until, now - _CATCH_UP_S - 1 / self.rate)
        due = int((now - self._produced_until) * self.rate + 1e-9)
        self._produced_until += due / self.rate
        self.head = min(self.head + due, limit, self.length)
        self._next_step = max(self._produced_until + 1 / self.rate, now + TICK_S)
        return self._next_step

    def _limit(self, now: float) -> int:
        """Up to where may be produced, for the slowest's sake; 0 without active subscribers."""
        active = [s.acknowledged for s in self.subscriptions.values() if self._counts(s, now)]
        if not active:
            return 0
        slowest = min(active)
        limit_bytes = self._position(slowest) + LAG_BYTES
        # At least one message beyond the slowest, however long.
        numbers = range(slowest + 1, self.length + 1)
        return slowest + max(1, bisect_right(numbers, limit_bytes, key=self._position))

    def _counts(self, subscription: Subscription, now: float) -> bool:
        return subscription.active and (
            subscription.attached or now - subscription.heard_at < LEASE_S
        )

    # --- what subscribers say -------------------------------------------------------------------

    def held(self, subscriber: Eid) -> Fence | None:
        subscription = self.subscriptions.get(subscriber)
        return None if subscription is None else subscription.fence

    def subscribe(
        self,
        subscriber: Eid,
        node: NodeId,
        fence: Fence,
        *,
        serial: int,
        acknowledged: int,
        have: int,
        now: float,
    ) -> Subscription:
        """A new subscriber, a superseding one, or a reminder. PeerError for a lower fence.

        Whoever calls has proved that `node` holds the subscriber at this epoch.
        """
        if have > self.length:
            raise PeerError(f"{subscriber} has {have} of {self.length} messages of {self.name}")
        known = self.subscriptions.get(subscriber)
        if known is not None and fence < known.fence:
            raise PeerError(f"{subscriber} subscribed to {self.name} at a higher epoch")
        if known is None or fence > known.fence:
            meter = Meter(now) if known is None or known.node != node else known.meter
            known = Subscription(
                subscriber, node, fence, serial, acknowledged, have, now, meter, answer_due=True
            )
            self.subscriptions[subscriber] = known
            self.head = max(self.head, have)
        elif serial > known.serial:
            self._remind(known, serial, acknowledged, have, now)
        return known

    def _remind(
        self, known: Subscription, serial: int, acknowledged: int, have: int, now: float
    ) -> None:
        known.serial = serial
        known.active = True
        known.answer_due = True
        known.heard_at = now
        known.land(acknowledged, now)
        known.go_back(max(have, known.acknowledged), now)
        self.head = max(self.head, have)

    def acknowledge(self, subscriber: Eid, fence: Fence, number: int, now: float) -> None:
        """PeerError from anyone who is not this subscription's present holder."""
        subscription = self._present(subscriber, fence)
        if number > self.length:
            raise PeerError(f"{subscriber} acknowledges what {self.name} does not have")
        subscription.heard_at = now
        subscription.land(number, now)
        self.head = max(self.head, subscription.acknowledged)

    def unsubscribe(
        self, subscriber: Eid, fence: Fence, serial: int, acknowledged: int, now: float
    ) -> None:
        self.acknowledge(subscriber, fence, acknowledged, now)
        subscription = self.subscriptions[subscriber]
        subscription.serial = max(subscription.serial, serial)
        subscription.active = False

    def _present(self, subscriber: Eid, fence: Fence) -> Subscription:
        subscription = self.subscriptions.get(subscriber)
        if subscription is None or subscription.fence != fence:
            raise PeerError(f"{subscriber} does not hold this subscription to {self.name}")
        return subscription

    # --- what is to be sent ---------------------------------------------------------------------

    def due(self, subscription: Subscription) -> tuple[int, int, int] | None:
        """(first, last, bytes at most) of the next DATA; last < first for an empty one."""
        if subscription.attached or not subscription.active:
            return None
        room_bytes = WINDOW_BYTES - subscription.flight_bytes
        if subscription.sent < self.head and room_bytes > 0:
            return (subscription.sent + 1, self.head, min(room_bytes, BATCH_MAX_BYTES))
        if subscription.answer_due:
            return (subscription.sent + 1, subscription.sent, 0)
        return None
