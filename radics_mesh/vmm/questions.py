"""What a guest is asked until it answers, sans-IO: to park, and which pages have changed.

`channel` writes what is returned, and asks for a stage again when `again_at` has come.
"""

from __future__ import annotations

from collections.abc import Callable

from radics_mesh.clock import Monotonic
from radics_mesh.vmm import frames
from radics_mesh.vmm.changed import Assembly, Changed, ChangedFrame
from radics_mesh.vmm.events import Parked

# A guest answers a stage as soon as it is in its kernel; a lost answer is asked for again.
_STAGE_AGAIN_S = 1.0


class Questions:
    """`number` makes the number that a question goes by, and its answer."""

    def __init__(self, number: Callable[[], int]) -> None:
        self.again_at: Monotonic | None = None
        self._number = number
        self._park_nonce: int | None = None
        self._park_known = 0
        # The last one that was answered: that answer is repeated until the guest goes on.
        self.parked_as: int | None = None
        self._stage: tuple[int, int] | None = None  # own and known nonce of what is asked
        self._assembly = Assembly()
        self._last_changed: Changed | None = None

    def park(self, known: int) -> bytes:
        """The same question however often it is asked, until it is answered."""
        if self._park_nonce is None:
            self._park_nonce = self._number()
        self._park_known = known
        return frames.encode_park(self._park_nonce, known)

    def stage(self, known: int, now: Monotonic) -> bytes:
        """Which pages have changed since the stage `known`; an earlier question is forgotten."""
        self._stage = 0, known
        return self.stage_again(now)

    def stage_again(self, now: Monotonic) -> bytes:
        """Each time under another number: parts of two answers must not be taken for one."""
        assert self._stage is not None
        self._stage = self._number(), self._stage[1]
        self.again_at = Monotonic(now + _STAGE_AGAIN_S)
        return frames.encode_stage(*self._stage)

    def again(self, now: Monotonic) -> bytes:
        """What is unanswered, for a new connection."""
        if self._park_nonce is not None:
            return self.park(self._park_known)
        return b"" if self._stage is None else self.stage_again(now)

    def parked(self, frame: frames.ParkedFrame) -> Parked | None:
        """None: it was not asked."""
        if self._park_nonce is None or frame.nonce != self._park_nonce:
            return None
        changed, parked = self._last_changed, self._park_nonce
        self.parked_as, self._park_nonce, self._last_changed = parked, None, None
        matches = changed is not None and changed.stage == parked
        return Parked(frame.memory_bytes, changed if matches else None, parked)

    def changed(self, frame: ChangedFrame) -> Changed | None:
        """The answer to a stage, once all of it is here. What comes with a park is kept for it."""
        asked = frame.nonce in (self._park_nonce, self._stage[0] if self._stage else None)
        report = self._assembly.add(frame) if asked else None
        if report is None:
            return None
        if report.stage == self._park_nonce:
            self._last_changed = report  # it comes just before PARKED
            return None
        self._stage = self.again_at = None
        return report
