"""A QEMU that gets no more than its share of a processor, without any right to make control groups.

Every so often its CPU time is looked at; when it has had more than its share, it is stopped until
it has not. What it used too much is remembered, so the share holds in the long run, whatever the
intervals; what it did not use is not saved up for long. A guest that does little is never stopped.
Its clock goes on while it is stopped, as on a busy host.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import trio

from radics_mesh.vmm.process import Process

LOOK_S = 0.02
# Unused share that may be used at once, as time.
SAVED_S = 0.1


class Budget:
    """Sans-IO: how long to stop a process that may have `share` of a processor."""

    def __init__(self, share: float, used_s: float, now: float) -> None:
        self._share = share
        self._used_s = used_s
        self._now = now
        self._left_s = SAVED_S * share

    def stop_s(self, used_s: float, now: float) -> float:
        """It has used so much CPU time since its start."""
        granted = self._left_s + self._share * (now - self._now)
        self._left_s = min(granted, SAVED_S * self._share) - (used_s - self._used_s)
        self._used_s, self._now = used_s, now
        return max(0.0, -self._left_s / self._share)


async def throttle(process: Process, share: float, is_held: Callable[[], bool]) -> None:
    """Until it ends. `is_held`: somebody else has stopped it, for good."""
    clock = ~process.pid << 3 | 2  # as clock_getcpuclockid: what all its threads have used
    try:
        budget = Budget(share, time.clock_gettime(clock), trio.current_time())
        while not process.has_ended:
            await trio.sleep(LOOK_S)
            stop_s = budget.stop_s(time.clock_gettime(clock), trio.current_time())
            if stop_s > 0:
                await _stop(process, stop_s, is_held)
    except OSError:  # it is gone
        return


async def _stop(process: Process, stop_s: float, is_held: Callable[[], bool]) -> None:
    process.signal(signal.SIGSTOP)
    try:
        await trio.sleep(stop_s)
    finally:
        if not is_held():
            process.signal(signal.SIGCONT)
