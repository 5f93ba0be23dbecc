"""How much of something is let through a second: a bucket that fills up again, sans-IO."""

from __future__ import annotations


class Allowance:
    """`burst` at once, `rate` a second in the long run."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = 0.0

    def spend(self, amount: float, now: float) -> float:
        """Take so much, whether or not it is there; seconds to wait until it would be."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate) - amount
        self._at = now
        return max(0.0, -self._left / self._rate)
