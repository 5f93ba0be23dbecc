"""A Bloom filter over hashes: says "certainly not" without asking the database.

Two in a thousand wrong "maybe"s at 500,000 entries, for one megabyte, whatever the number of
entries; a set would take a hundred times that.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

_BYTES = 1 << 20
_MASK = _BYTES - 1
# Four bits for each hash.
_PLACES = struct.Struct("<4I")


class Filter:
    """Takes hashes of at least 16 uniformly random bytes."""

    def __init__(self, hashes: Iterable[bytes] = ()) -> None:
        self._bits = bytearray(_BYTES)
        for hashed in hashes:
            self.add(hashed)

    def add(self, hashed: bytes) -> None:
        bits = self._bits
        for place in _PLACES.unpack_from(hashed):
            bits[place >> 3 & _MASK] |= 1 << (place & 7)

    def __contains__(self, hashed: bytes) -> bool:
        """False: never added. True: very likely added."""
        bits = self._bits
        for place in _PLACES.unpack_from(hashed):
            if not bits[place >> 3 & _MASK] >> (place & 7) & 1:
                return False
        return True
