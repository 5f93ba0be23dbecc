"""A limit on bytes a second that is kept over any stretch of time, not only on average."""

from __future__ import annotations

import trio


class Pace:
    """`limit` bytes a second; None: as fast as it goes."""

    def __init__(self, limit: float | None = None) -> None:
        self.limit = limit
        self._free_at = 0.0

    async def wait(self, size_bytes: int) -> None:
        """Until so many bytes may go; they are then taken to be on their way."""
        if self.limit is None:
            return
        begin = max(self._free_at, trio.current_time())
        self._free_at = begin + size_bytes / self.limit
        await trio.sleep_until(begin)
