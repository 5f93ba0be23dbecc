"""What is wrong with a guest's frames, over all its connections: counted, and told a few at a time.

What the guest tells of ours is counted too; nothing follows from it.
"""

from __future__ import annotations

from collections import Counter

from radics_mesh.clock import Monotonic
from radics_mesh.vmm import abi
from radics_mesh.vmm.frames import Complaint

# What a frame that means nothing costs us beside its bytes; a repeated one costs little.
_BAD_FRAME_COST, _DUPLICATE_COST = 256, 16

_COMPLAINTS = {
    abi.E_FRAME: "frame",
    abi.E_TYPE: "type",
    abi.E_BODY: "body",
    abi.E_SEQUENCE: "sequence",
    abi.E_STREAM: "stream",
}


class Faults:
    """`bad_frames` meant nothing; `garbage_bytes`: what they cost, repetitions count a little."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.bad_frames = self.garbage_bytes = 0
        self._errors = abi.ERRORS_BURST
        self._errors_at = Monotonic(0.0)

    def count(self, reason: str) -> None:
        self.counters[reason] += 1

    def bad(self, reason: str, now: Monotonic) -> None:
        """A frame that meant nothing."""
        self.count(reason)
        self.bad_frames += 1
        self.garbage_bytes += _BAD_FRAME_COST
        grown = int(now - self._errors_at)
        if grown > 0:
            self._errors_at = Monotonic(self._errors_at + grown)
            self._errors = min(abi.ERRORS_BURST, self._errors + grown)

    def repeated(self) -> None:
        """A frame that said what we knew."""
        self.garbage_bytes += _DUPLICATE_COST

    def complained(self, complaint: Complaint) -> None:
        self.count(f"guest complains: {_COMPLAINTS.get(complaint.code, 'otherwise')}")

    def may_tell(self) -> bool:
        """Whether the guest may be told of one more; that is then counted as done."""
        if not self._errors:
            return False
        self._errors -= 1
        return True
