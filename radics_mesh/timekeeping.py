"""How much the wall clock is worth, and what time certificates are judged by. Sans-IO.

TRUSTED  NTP keeps this machine's clock, a battery set it, or its owner vouches for it
MESH     the median of what at least SOURCES_MIN members with trusted clocks have said lately
NONE     neither. Certificates are judged by the highest time that was ever known here, which goes
         on with the monotonic clock and is kept over restarts; the wall clock is not asked

Of three sayings of which one is a lie the median is an honest one, or lies between two that are. So
with fewer than three nobody is believed. What a member says is trusted time only, never what it
has from others: else one wrong time could go round for ever.

Bundles and records do not come here: their ages are monotonic, and no step of any clock ends them.
"""

from __future__ import annotations

import enum
import statistics

from radics_mesh.clock import Clock, Monotonic, Wall, is_plausible
from radics_mesh.ids import NodeId

SOURCES_MIN = 3
# What was said longer ago does not count: quartz drifts by some seconds a day.
SAID_MAX_S = 86_400.0
# An answer that took longer says too little about now.
ROUND_TRIP_MAX_S = 60.0
SOURCES_MAX = 64
# Beyond that this node's user is told that its clock and the others' differ.
APART_S = 300.0


NEVER = Wall(0.0)


class Quality(enum.StrEnum):
    TRUSTED = "trusted"
    MESH = "mesh"
    NONE = "none"


class Timekeeper:
    """`vouched`: whether this machine's clock is known to be right, however it was set; `mark` is
    the highest time that was ever known here, 0 for none."""

    def __init__(self, clock: Clock, *, vouched: bool = False, mark: Wall = NEVER) -> None:
        self.vouched = vouched
        self._clock = clock
        self._mark, self._marked = mark, clock.monotonic()
        # By member: when it was said, and its time minus our monotonic clock.
        self._said: dict[NodeId, tuple[Monotonic, float]] = {}

    def quality(self) -> Quality:
        if self.vouched and is_plausible(self._clock.wall()):
            return Quality.TRUSTED
        return Quality.NONE if self._median() is None else Quality.MESH

    def judged(self, wall: Wall) -> Wall:
        """The time by which certificates are judged when the wall clock says `wall`."""
        now, median = self._clock.monotonic(), self._median()
        if self.vouched and is_plausible(wall):
            return self._reached(wall)
        if median is not None:
            return self._reached(Wall(now + median))
        if not self._mark:
            return NEVER
        return Wall(self._mark + now - self._marked)

    @property
    def mark(self) -> Wall:
        """As of now, to be kept."""
        self.judged(self._clock.wall())
        return self._mark

    def _reached(self, wall: Wall) -> Wall:
        if wall > self._mark + self._clock.monotonic() - self._marked:
            self._mark, self._marked = wall, self._clock.monotonic()
        return wall

    def hear(self, node: NodeId, wall: Wall, asked: Monotonic) -> bool:
        """A member's trusted time, asked for at `asked`; whether it says something about now."""
        now = self._clock.monotonic()
        if now - asked > ROUND_TRIP_MAX_S or not is_plausible(wall):
            return False
        self._said.pop(node, None)
        self._said[node] = now, wall + (now - asked) / 2 - now
        while len(self._said) > SOURCES_MAX:
            del self._said[next(iter(self._said))]
        return True

    def apart_s(self) -> float | None:
        """How far the wall clock is ahead of the others'; None: not enough of them have spoken."""
        median = self._median()
        return None if median is None else self._clock.wall() - self._clock.monotonic() - median

    def _median(self) -> float | None:
        oldest = self._clock.monotonic() - SAID_MAX_S
        offsets = [offset for at, offset in self._said.values() if at >= oldest]
        # Of an even number the lower one of the middle: the mean could be half a lie.
        return statistics.median_low(offsets) if len(offsets) >= SOURCES_MIN else None


class SureClock:
    """As the node's clock, but its wall time is one that can be relied on, or 0, as if it had never
    been set. For ages over a restart: what was added to a wrong clock would be subtracted from what
    still has time to live."""

    def __init__(self, clock: Clock, keeper: Timekeeper) -> None:
        self._clock = clock
        self._keeper = keeper

    def monotonic(self) -> Monotonic:
        return self._clock.monotonic()

    def wall(self) -> Wall:
        if self._keeper.quality() is Quality.NONE:
            return NEVER
        return self._keeper.judged(self._clock.wall())
