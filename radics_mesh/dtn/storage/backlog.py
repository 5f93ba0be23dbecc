"""Which stored bundles are on disk only: all but the first few of each queue. Sans-IO.

A queue is what has one destination and one priority. Its first bundles are live: the rest of the
node has a Held of about 1 kB for each. What comes behind them is three numbers here, 24 bytes, and
gets its Held from the database when its turn comes: a store of 100,000 bundles for a node that is
away fits a small board.

Fragments and bundles in custody are always live: the ones must find each other wherever they stand
in the queue, the others have timers.
"""

from __future__ import annotations

import bisect
import itertools
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from radics_mesh.clock import Monotonic
from radics_mesh.ids import Eid

# Enough for what several contacts have in flight and a handler has before it.
LIVE_MAX = 256


class Lane(NamedTuple):
    """One queue."""

    destination: Eid
    priority: int


@dataclass(slots=True)
class _Queue:
    """Of those on disk only, in order of arrival: key, end of life, size."""

    keys: array[int] = field(default_factory=lambda: array("q"))
    deadlines: array[float] = field(default_factory=lambda: array("d"))
    sizes: array[int] = field(default_factory=lambda: array("q"))

    def find(self, key: int) -> int | None:
        at = bisect.bisect_left(self.keys, key)
        return at if at < len(self.keys) and self.keys[at] == key else None


class Backlog:
    """Counts what is live, and keeps what is not. When half of `live_max` are left in a queue, the
    next ones are fetched, many in one query."""

    def __init__(self, live_max: int) -> None:
        self._live_max = live_max
        self._live: Counter[Lane] = Counter()
        self._queues: dict[Lane, _Queue] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[int]:
        """All keys, each queue's in order of arrival."""
        for queue in self._queues.values():
            yield from queue.keys

    def lanes(self) -> list[Lane]:
        """Those with something in them."""
        return list(self._queues)

    def keys(self, lane: Lane) -> array[int]:
        """What waits there, in order of arrival: a copy."""
        queue = self._queues.get(lane)
        return queue.keys[:] if queue else array("q")

    def next(self, lane: Lane) -> list[int]:
        """Keys of those whose turn it is."""
        queue = self._queues.get(lane)
        return list(queue.keys[: self._live_max - self._live_max // 2]) if queue else []

    def holds(self, lane: Lane, key: int) -> bool:
        queue = self._queues.get(lane)
        return queue is not None and queue.find(key) is not None

    def is_due(self, lane: Lane) -> bool:
        """Whether a bundle that arrives now is live at once."""
        return lane not in self._queues and self._live[lane] < self._live_max

    def came_alive(self, lane: Lane) -> None:
        self._live[lane] += 1

    def left(self, lane: Lane) -> bool:
        """One that was live is gone; whether it is the turn of more."""
        self._live[lane] -= 1
        live = self._live[lane]
        if not live:
            del self._live[lane]
        return live <= self._live_max // 2 and lane in self._queues

    def put(self, lane: Lane, key: int, deadline: Monotonic, size_bytes: int) -> None:
        """Keys must rise within a lane."""
        queue = self._queues.get(lane)
        if queue is None:
            queue = self._queues[lane] = _Queue()
        queue.keys.append(key)
        queue.deadlines.append(deadline)
        queue.sizes.append(size_bytes)
        self._size += 1

    def remove(self, lane: Lane, key: int) -> int | None:
        """Its size; None when it is not in here."""
        queue = self._queues.get(lane)
        at = None if queue is None else queue.find(key)
        if queue is None or at is None:
            return None
        size_bytes = queue.sizes[at]
        del queue.keys[at], queue.deadlines[at], queue.sizes[at]
        self._size -= 1
        if not queue.keys:
            del self._queues[lane]
        return size_bytes

    def forget(self, key: int) -> int | None:
        """As `remove`, for a bundle of which nothing else is known any more."""
        sizes = (self.remove(lane, key) for lane in self.lanes())
        return next((size for size in sizes if size is not None), None)

    def expired(self, now: Monotonic, limit: int) -> list[int]:
        """Keys of some whose life is over."""
        over = (
            key
            for queue in self._queues.values()
            for key, deadline in zip(queue.keys, queue.deadlines, strict=True)
            if deadline <= now
        )
        return list(itertools.islice(over, limit))

    def least(self, below_priority: int) -> Iterator[tuple[int, Monotonic, int]]:
        """(priority, end of life, key) of all of lower priority."""
        for lane, queue in self._queues.items():
            if lane.priority < below_priority:
                for key, deadline in zip(queue.keys, queue.deadlines, strict=True):
                    yield lane.priority, Monotonic(deadline), key
