"""How much others may ask of this node: token buckets, one for each address that is proved to be
somebody's, and one for all others together, whose addresses may be made up. Sans-IO."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from radics_mesh.link import SocketAddress

# What one address may ask for: a value to store or a call is one. A second's worth costs a tenth of
# a Raspberry Pi's core where every value has a signature to check.
RATE_PER_S = 200.0
BURST = 1000.0
# All strangers together: a thousand nodes may start at once.
STRANGERS_RATE_PER_S = 500.0
STRANGERS_BURST = 4000.0
_ADDRESSES_MAX = 2048


@dataclass
class _Bucket:
    level: float
    at: float

    def take(self, cost: float, now: float, rate: float, burst: float) -> bool:
        self.level = min(burst, self.level + (now - self.at) * rate)
        self.at = now
        if self.level < cost:
            return False
        self.level -= cost
        return True


class Limits:
    """`now` is any clock that does not step."""

    def __init__(self) -> None:
        self._known: OrderedDict[SocketAddress, _Bucket] = OrderedDict()
        self._strangers = _Bucket(STRANGERS_BURST, 0.0)

    def allows(self, address: SocketAddress, *, proved: bool, now: float, cost: float = 1) -> bool:
        """Whether it may be served; counts as served."""
        if not proved:
            return self._strangers.take(cost, now, STRANGERS_RATE_PER_S, STRANGERS_BURST)
        bucket = self._known.get(address)
        if bucket is None:
            bucket = self._known[address] = _Bucket(BURST, now)
            if len(self._known) > _ADDRESSES_MAX:
                self._known.popitem(last=False)
        return bucket.take(cost, now, RATE_PER_S, BURST)
