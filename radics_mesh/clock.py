"""Three kinds of time that must never be mixed, and where they come from.

Monotonic seconds measure durations and never step. Wall seconds (Unix time) name moments and may
be wrong by years on a computer without a clock battery. DTN seconds count from 2000-01-01 UTC
(RFC 5050 section 4.5.1). Cores get `now` as an argument; only shells read a Clock.
"""

from __future__ import annotations

import time
from typing import NewType, Protocol

Monotonic = NewType("Monotonic", float)
Wall = NewType("Wall", float)
DtnTime = NewType("DtnTime", int)

DTN_EPOCH_UNIX_S = 946_684_800
# A wall clock before this moment has never been set: the machine thinks that it is 1970.
EARLIEST_PLAUSIBLE = Wall(1_700_000_000.0)


class Clock(Protocol):
    """A source of both times. Tests give one that they move by hand."""

    def monotonic(self) -> Monotonic: ...

    def wall(self) -> Wall: ...


class SystemClock:
    """The operating system's clocks."""

    def monotonic(self) -> Monotonic:
        return Monotonic(time.monotonic())

    def wall(self) -> Wall:
        return Wall(time.time())


def is_plausible(wall: Wall) -> bool:
    """Whether a wall clock can have been set at all."""
    return wall >= EARLIEST_PLAUSIBLE


def to_dtn(wall: Wall) -> DtnTime:
    """DTN seconds of a wall time, 0 ("unknown") for an implausible one."""
    return DtnTime(int(wall) - DTN_EPOCH_UNIX_S if is_plausible(wall) else 0)


def from_dtn(moment: DtnTime) -> Wall:
    return Wall(float(moment + DTN_EPOCH_UNIX_S))
