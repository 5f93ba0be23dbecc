"""Which bytes of a whole are there: spans, merged. Sans-IO.

As many spans as there are gaps, in order, found by bisection: a bundle of 100 MB may come in
100,000 fragments, in any order.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class Coverage:
    """Begins empty. A span is offset and length, in bytes."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    @property
    def spans(self) -> int:
        return len(self._starts)

    def add(self, offset: int, length: int) -> None:
        """Join it with all that it touches."""
        end = offset + length
        first = bisect_left(self._ends, offset)
        last = bisect_right(self._starts, end)
        if first < last:
            offset = min(offset, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [offset]
        self._ends[first:last] = [end]

    def covers(self, offset: int, length: int) -> bool:
        """Whether every byte of it is there; an empty span always is."""
        if length == 0:
            return True
        place = bisect_right(self._starts, offset) - 1
        return place >= 0 and offset + length <= self._ends[place]
