"""When a VM's next checkpoint is due, sans-IO.

Four ask for one: the clock, as the user chose; the program; with `--commit output` what waits to be
sent; and mail that was taken and must be kept until one covers it. However many ask, the guest
stands still for no more than a quarter of the time.
"""

from __future__ import annotations

import math

from radics_mesh.hosting.commit import Commit

# A program that asks again and again gets one so often.
ASKED_EVERY_S = 1.0
# The guest waits for room, or much has piled up: soon, but not at once.
PRESSED_EVERY_S = 0.25
# Between two checkpoints, at least so many times the last one's pause.
REST = 3.0
# One that failed is tried again after this, doubled up to the last.
RETRY_FIRST_S, RETRY_LAST_S = 1.0, 60.0
# Of mail that was taken and is not covered, more than this asks for a checkpoint. To keep it has
# cost as many bytes of disk as the checkpoint will.
KEPT_MAX_BYTES = 16 << 20


class Schedule:
    """Of one VM. `asked`: the program's output that asked for a checkpoint which is still to come,
    0 when none did."""

    def __init__(self, commit: Commit, now: float) -> None:
        self.commit = commit
        self.asked = 0
        self._last_at = now
        self._rest_s = 0.0
        self._failures = 0
        # Since when something waits to be released; whether somebody waits for room.
        self._waiting_since: float | None = None
        self._pressed = False

    def due(self) -> float:
        """When; infinity: nobody wants one."""
        wishes = [math.inf]
        if self.asked:
            wishes.append(self._last_at + ASKED_EVERY_S)
        if self.commit.every_ms:
            wishes.append(self._last_at + self.commit.every_s)
        if self._waiting_since is not None:
            wishes.append(self._waiting_since + self.commit.within_s)
        if self._pressed:
            wishes.append(self._last_at + PRESSED_EVERY_S)
        return max(min(wishes), self._last_at + self._rest_s)

    def waits(self, now: float, *, pressed: bool = False) -> bool:
        """Something waits for a checkpoint; whether that is news."""
        news = self._waiting_since is None or (pressed and not self._pressed)
        if self._waiting_since is None:
            self._waiting_since = now
        self._pressed = self._pressed or pressed
        return news

    def begun(self) -> int:
        """What waits from now on waits for the next one. Returns the output that asked."""
        asked, self.asked = self.asked, 0
        self._waiting_since, self._pressed = None, False
        return asked

    def written(self, now: float, pause_s: float) -> None:
        self._last_at, self._rest_s, self._failures = now, REST * pause_s, 0

    def failed(self, now: float) -> None:
        """What waited for it still does."""
        self.waits(now)
        self._last_at = now
        self._rest_s = min(RETRY_FIRST_S * 2**self._failures, RETRY_LAST_S)
        self._failures += 1

    def started(self, now: float) -> None:
        """Its guest starts from a state that is safe."""
        self.begun()
        self._last_at, self._rest_s, self._failures = now, 0.0, 0
