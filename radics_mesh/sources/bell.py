"""Waking tasks that wait for a change.

Rung bells wake all who wait now and remember nothing, so a waiter looks at the state first and
then waits, with no await in between.
"""

from __future__ import annotations

import trio


class Bell:
    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        self._event.set()
        self._event = trio.Event()

    async def wait(self, timeout_s: float | None = None) -> None:
        """Until rung, or until `timeout_s` has passed."""
        with trio.move_on_after(float("inf") if timeout_s is None else max(0.0, timeout_s)):
            await self._event.wait()
