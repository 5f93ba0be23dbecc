"""How much a store may hold: in all, and of one source. Sans-IO.

A source is a node, a VM or a foreign peer, whatever its endpoint.
"""

from __future__ import annotations

import functools
from collections import Counter

from radics_mesh.errors import CapacityError
from radics_mesh.ids import Eid


class Quotas:
    """`source_bytes` None: one source may have all that there is."""

    def __init__(self, total_bytes: int, source_bytes: int | None = None) -> None:
        self.total_bytes = total_bytes
        self.source_bytes = source_bytes
        self.held_bytes = 0
        self._of: Counter[str] = Counter()

    def of(self, source: Eid) -> int:
        """Bytes that it has here."""
        return self._of[_owner(source)]

    def short_bytes(self, size_bytes: int) -> int:
        """How much must go so that so much more fits in all; 0 or less: nothing."""
        return self.held_bytes + size_bytes - self.total_bytes

    def check(self, source: Eid, size_bytes: int) -> None:
        """CapacityError when so much more of this source does not fit."""
        if self.source_bytes is not None and self.of(source) + size_bytes > self.source_bytes:
            raise CapacityError(
                f"{_owner(source)} has used up its quota of {self.source_bytes} bytes here"
            )
        if self.short_bytes(size_bytes) > 0:
            raise CapacityError(f"the bundle store's quota of {self.total_bytes} bytes is used up")

    def take(self, source: Eid, size_bytes: int) -> None:
        self.held_bytes += size_bytes
        self._of[_owner(source)] += size_bytes

    def give_back(self, source: Eid, size_bytes: int) -> None:
        self.held_bytes -= size_bytes
        owner = _owner(source)
        self._of[owner] -= size_bytes
        if self._of[owner] <= 0:
            del self._of[owner]


@functools.lru_cache(maxsize=1024)
def _owner(source: Eid) -> str:
    """`dtn://node` of `dtn://node/service`, `ipn:20` of `ipn:20.1`."""
    if source.scheme == "ipn":
        return source.partition(".")[0]
    return f"{source.scheme}://{source.authority}" if source.authority else str(source)
