"""A Bloom filter over hashes: says "certainly not" without asking the database.

Two in a thousand wrong "maybe"s at 500,000 entries, for one megabyte, whatever the number of
entries; a set would take a hundred times that.
"""

from __future__ import annotations

from collections.abc import Iterable

_BITS = 8 << 20
_PROBES = 4


class Filter:
    """Takes hashes of at least 16 uniformly random bytes."""

    def __init__(self, hashes: Iterable[bytes] = ()) -> None:
        self._bits = bytearray(_BITS // 8)
        for hashed in hashes:
            self.add(hashed)

    def add(self, hashed: bytes) -> None:
        for place in _places(hashed):
            self._bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, hashed: bytes) -> bool:
        """False: never added. True: very likely added."""
        return all(self._bits[place >> 3] >> (place & 7) & 1 for place in _places(hashed))


def _places(hashed: bytes) -> list[int]:
    return [
        int.from_bytes(hashed[4 * probe : 4 * probe + 4], "little") % _BITS
        for probe in range(_PROBES)
    ]
