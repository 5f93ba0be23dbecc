"""Which pages a guest says have changed: CHANGED frames put together (radics_abi.h).

What a guest says about its pages harms nobody but itself: a snapshot that misses a page is its own.
Memory is bounded by one map of MEMORY_MAX_BYTES of RAM.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from radics_mesh.errors import WireError
from radics_mesh.vmm import abi

PAGES_MAX = (1 << 36) // 4096
_FRAME_PAGES = 8 * abi.CHANGED_MAX
_BITS = [tuple(bit for bit in range(8) if byte >> bit & 1) for byte in range(256)]


@dataclass(frozen=True)
class Changed:
    """Pages that may differ from what they were at stage `since` (0: when the VM started here).

    `stage` is this report's own number. `pages`: of the whole RAM; `bits`: one each.
    """

    stage: int
    since: int
    pages: int
    bits: bytes = field(repr=False)

    def numbers(self, start: int = 0) -> Iterator[int]:
        """The pages' numbers from `start` on, ascending."""
        for at in range(start // 8, len(self.bits)):
            for bit in _BITS[self.bits[at]]:
                number = 8 * at + bit
                if start <= number < self.pages:
                    yield number


@dataclass(frozen=True)
class ChangedFrame:
    """One piece of a report. WireError when it cannot be one."""

    nonce: int
    since: int
    pages: int
    first: int
    bits: bytes = field(repr=False)

    def __post_init__(self) -> None:
        left = self.pages - self.first
        if not 0 < left <= self.pages <= PAGES_MAX or self.first % _FRAME_PAGES:
            raise WireError("changed: pages out of range")
        # The map's last word may be longer than the memory.
        if len(self.bits) != min(-(-left // 64) * 8, abi.CHANGED_MAX):
            raise WireError("changed: map of another length")


class Assembly:
    """Puts the frames of one report together; begins anew with a frame that does not follow."""

    def __init__(self) -> None:
        self._head: tuple[int, int, int] | None = None
        self._bits = bytearray()

    def add(self, frame: ChangedFrame) -> Changed | None:
        """The report, once its last frame has come."""
        head = (frame.nonce, frame.since, frame.pages)
        if frame.first == 0:
            self._head = head
            self._bits.clear()
        if head != self._head or frame.first != 8 * len(self._bits):
            self._head = None
            return None
        self._bits += frame.bits
        if 8 * len(self._bits) < frame.pages:
            return None
        self._head = None
        return Changed(frame.nonce, frame.since, frame.pages, bytes(self._bits))
