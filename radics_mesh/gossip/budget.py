"""How much news of one signer is believed: a bucket each that fills by the second. Sans-IO.

Every word that is news goes to everybody in the view, many times over. Without a bound one member
that counts its incarnation up, or accuses the whole mesh, would set all of it talking.
"""

from __future__ import annotations

from collections import OrderedDict

SIGNERS_MAX = 2048


class Budget:
    """`burst` words at once, `per_s` on and on, for each signer."""

    def __init__(self, burst: float, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        # Signer: (what is left, as of when).
        self._left: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def take(self, signer: bytes, now: float) -> bool:
        """Whether one more word of it is believed."""
        left, when = self._left.pop(signer, (self._burst, now))
        left = min(self._burst, left + (now - when) * self._per_s)
        allowed = left >= 1.0
        self._left[signer] = (left - 1.0 if allowed else left, now)
        if len(self._left) > SIGNERS_MAX:
            self._left.popitem(last=False)
        return allowed
