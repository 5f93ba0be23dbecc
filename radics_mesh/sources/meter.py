"""Bytes a second, smoothed over a time constant; time is the caller's."""

from __future__ import annotations

import math

TIME_CONSTANT_S = 5.0
# A younger meter has too little to divide by: one batch would look like a flood.
_SHORTEST_S = 1.0


class Meter:
    """Exponentially weighted rate of a counted stream.

    Each byte weighs exp(-age / time constant). The sum is divided by the weight that a steady
    stream since the start would have, so a young meter is noisy but not too low.
    """

    def __init__(self, now: float, *, time_constant_s: float = TIME_CONSTANT_S) -> None:
        self._time_constant_s = time_constant_s
        self._since = now
        self._last = now
        self._weighted_bytes = 0.0

    def add(self, count_bytes: int, now: float) -> None:
        self._decay(now)
        self._weighted_bytes += count_bytes

    def rate(self, now: float) -> float:
        """Bytes a second as of `now`."""
        self._decay(now)
        age_s = max(self._last - self._since, _SHORTEST_S)
        full = self._time_constant_s * -math.expm1(-age_s / self._time_constant_s)
        return self._weighted_bytes / full

    def age_s(self, now: float) -> float:
        """How long it has been counting."""
        return max(0.0, now - self._since)

    def _decay(self, now: float) -> None:
        passed_s = max(0.0, now - self._last)
        self._weighted_bytes *= math.exp(-passed_s / self._time_constant_s)
        self._last = max(self._last, now)
