"""Rows of the database and Helds, each made from the other: dates become ages, and ages deadlines.

A row says how old its bundle was at arrival, and when that was: in seconds that this store has been
open, and by the wall clock. While the store is open a bundle ages by the monotonic clock only; the
time in which it was closed is what the wall clock says, when that can be true.
"""

from __future__ import annotations

import functools

from radics_mesh.clock import Clock, Monotonic, is_plausible
from radics_mesh.dtn.storage.held import Held, identity_in
from radics_mesh.dtn.storage.rows import Row
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.errors import WireError
from radics_mesh.ids import Eid, NodeId

# Lifetimes on the wire have 64 bits, SQLite's numbers 63.
LIFETIME_MAX_S = 1 << 40
_TOTAL_MAX = (1 << 63) - 1


class Ages:
    """`uptime_before`: seconds that the store had been open in its earlier lives."""

    def __init__(self, clock: Clock, uptime_before: float) -> None:
        self._clock = clock
        self._started = clock.monotonic()
        self._started_wall = clock.wall()
        self._uptime_before = uptime_before

    @property
    def uptime(self) -> float:
        """Seconds that a store in this directory has been open, all together."""
        return self._uptime_before + self._clock.monotonic() - self._started

    def row(self, held: Held) -> Row:
        wall = self._clock.wall()
        elapsed = self._clock.monotonic() - held.received
        return Row(
            key=held.key,
            id=held.name_text,
            destination=held.destination,
            priority=held.priority,
            lifetime_s=min(held.lifetime_s, LIFETIME_MAX_S),
            age_us=min(held.age_us, LIFETIME_MAX_S * 1_000_000),
            received_wall=wall - elapsed if is_plausible(wall) else 0.0,
            received_uptime=self.uptime - elapsed,
            previous=held.previous,
            signer=held.signer,
            size=held.size_bytes,
            flags=held.flags,
            report_to=held.report_to,
            custodian=held.custodian,
            total=min(held.total, _TOTAL_MAX),
        )

    def held(self, row: Row) -> Held | None:
        """None for a row that makes no sense: damage that SQLite did not notice."""
        if not row.is_intact:
            return None
        now = self._clock.monotonic()
        try:
            return Held(
                bundle_id=BundleId.parse(identity_in(row.id)),
                destination=eid(row.destination),
                priority=row.priority,
                lifetime_s=row.lifetime_s,
                age_us=row.age_us + int(self._since_s(row, now) * 1e6),
                received=now,
                previous=None if row.previous is None else NodeId(row.previous),
                signer=None if row.signer is None else NodeId(row.signer),
                size_bytes=row.size,
                key=row.key,
                flags=row.flags,
                report_to=eid(row.report_to),
                custodian=eid(row.custodian),
                total=row.total,
            )
        except (WireError, TypeError, AttributeError):
            return None

    def deadline(self, row: Row) -> Monotonic:
        """When its lifetime ends; TypeError for a row that makes no sense."""
        now = self._clock.monotonic()
        return Monotonic(now + row.lifetime_s - row.age_us / 1e6 - self._since_s(row, now))

    def _since_s(self, row: Row, now: Monotonic) -> float:
        """Seconds since its arrival."""
        open_s = now - self._started
        by_uptime = self._uptime_before - row.received_uptime
        if by_uptime < 0:  # it came in this life of the store
            return max(0.0, by_uptime + open_s)
        known = is_plausible(self._started_wall) and row.received_wall > 0
        by_wall = self._started_wall - row.received_wall if known else 0.0
        return max(0.0, by_uptime, by_wall) + open_s


@functools.lru_cache(maxsize=1024)
def eid(text: str) -> Eid:
    """Remembered: many rows name the same few; WireError."""
    return Eid(text)
