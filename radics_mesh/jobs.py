"""Small tasks that nobody waits for, bounded in number and run by a few workers.

For what a synchronous handler must set off but cannot do itself. When too much waits already, a
job is not taken: whoever sets jobs off must be able to live without each of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable

import trio

Job = Callable[[], Awaitable[object]]
JOBS_MAX = 512


class Jobs:
    """Jobs may be started before `run`; they wait for it."""

    def __init__(self) -> None:
        self._in, self._out = trio.open_memory_channel[tuple[Hashable, Job]](JOBS_MAX)
        self._under_way: set[Hashable] = set()
        self.dropped = 0

    def start(self, job: Job, *, once: Hashable = None) -> bool:
        """Queue a job, unless one with the same `once` is queued or under way already."""
        if once is not None and once in self._under_way:
            return False
        try:
            self._in.send_nowait((once, job))
        except trio.WouldBlock:
            self.dropped += 1
            return False
        if once is not None:
            self._under_way.add(once)
        return True

    async def run(self, workers: int) -> None:
        """Work until cancelled. A job's exception ends this."""
        async with trio.open_nursery() as nursery:
            for _ in range(workers):
                nursery.start_soon(self._work)

    async def _work(self) -> None:
        async for once, job in self._out:
            try:
                await job()
            finally:
                self._under_way.discard(once)
