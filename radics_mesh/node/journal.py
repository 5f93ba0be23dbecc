"""The node's journal: what happened here lately, in words, for `events` and the status screen."""

from __future__ import annotations

from collections import deque

import trio

from radics_mesh.broadcast import Broadcast
from radics_mesh.clock import Clock
from radics_mesh.control_shapes.mesh import EventRow

KEPT = 500


class Journal:
    """Lines are numbered from 1 at each start of the node; the oldest fall out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: deque[EventRow] = deque(maxlen=KEPT)
        self._next = 1
        self._news: Broadcast[EventRow] = Broadcast()

    def note(self, text: str, level: str = "info", *, at: float | None = None) -> None:
        """`level`: info, warning or error. `at`: Unix time, None for now."""
        time = self._clock.wall() if at is None else at
        row = EventRow(number=self._next, time=time, level=level, text=text)
        self._next += 1
        self._rows.append(row)
        self._news.tell(row)

    def latest(self, count: int = KEPT) -> list[EventRow]:
        """Oldest first."""
        return list(self._rows)[-count:]

    def follow(self) -> trio.MemoryReceiveChannel[EventRow]:
        """Lines from now on; a slow reader loses the oldest."""
        return self._news.listen()
