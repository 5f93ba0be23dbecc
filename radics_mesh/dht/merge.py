"""The best value of every publisher, out of what several holders say of one key. Sans-IO."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from radics_mesh.dht.store import Contents, Slot
from radics_mesh.errors import CapacityError, PeerError, WireError


class Merge:
    """`contents` weighs the values; None: nobody does, and none counts."""

    def __init__(self, key: bytes, contents: Contents | None) -> None:
        self._key = key
        self._contents = contents
        self.best: dict[bytes, tuple[Slot, bytes]] = {}
        self._said: dict[Hashable, dict[bytes, int]] = {}

    def offer(self, holder: Hashable, values: Sequence[bytes]) -> int:
        """Weigh a holder's values; how many do not count under this key."""
        said = self._said.setdefault(holder, {})
        refused = 0
        for value in values:
            try:
                slot = self._admit(value)
            except (WireError, PeerError, CapacityError):
                refused += 1
                continue
            said[slot.owner] = slot.sequence
            best = self.best.get(slot.owner)
            if best is None or slot.sequence > best[0].sequence:
                self.best[slot.owner] = (slot, value)
        return refused

    def _admit(self, value: bytes) -> Slot:
        if self._contents is None:
            raise CapacityError("nobody judges values yet")
        return self._contents.admit(self._key, value)

    def missing(self, holder: Hashable) -> list[bytes]:
        """The best values that this holder has older or not at all."""
        said = self._said.get(holder, {})
        return [
            value
            for owner, (slot, value) in self.best.items()
            if said.get(owner, -1) < slot.sequence
        ]

    def values(self) -> list[bytes]:
        return [value for _, value in self.best.values()]
