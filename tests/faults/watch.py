"""Which guests execute, and when: seen from their memory, whatever their nodes say of them.

The ticker counts in its memory. A RAM file in which the count grows is a guest that executes. Two
that have grown by turns were alive at the same time.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path

import trio

MARK = b"RADiCS-ticker-" + b"lives-here"
EVERY_S = 0.004
SEARCH_EVERY_S = 0.03
_TICKS = struct.Struct("<Q")
_STEP_BYTES = 1 << 20
# More than this between two looks is no counting, but a memory that was laid down.
_COUNTED_MAX = 64


@dataclass
class Copy:
    """One QEMU's guest. It has executed at `first` (or a bit before it) and, later, at `last`."""

    host: str
    file: int
    offsets: tuple[int, ...] = ()
    ticks: dict[int, int] = field(default_factory=dict)
    first: float | None = None
    last: float | None = None
    looked: float = 0.0
    next_search: float = 0.0


@dataclass
class Watch:
    """`places`: host to the directory of its guests' RAM files."""

    places: dict[str, Path]
    copies: dict[Path, Copy] = field(default_factory=dict)
    looks: int = 0

    async def run(self) -> None:
        try:
            while True:
                self.look(trio.current_time())
                await trio.sleep(EVERY_S)
        finally:
            for copy in self.copies.values():
                os.close(copy.file)

    def look(self, now: float) -> None:
        self.looks += 1
        for host, place in self.places.items():
            for path in place.glob("*.ram"):
                if path not in self.copies:
                    try:
                        self.copies[path] = Copy(host, os.open(path, os.O_RDONLY))
                    except FileNotFoundError:
                        continue
        for copy in self.copies.values():
            self._look_at(copy, now)

    def _look_at(self, copy: Copy, now: float) -> None:
        if copy.first is None and now >= copy.next_search:
            # The image lies there too, and the program moves to a place of its own.
            copy.next_search = now + SEARCH_EVERY_S
            copy.offsets = tuple(_marks(copy.file))
        for offset in copy.offsets:
            (ticks,) = _TICKS.unpack(os.pread(copy.file, 8, offset + len(MARK)))
            before = copy.ticks.get(offset)
            copy.ticks[offset] = ticks
            if before and before < ticks <= before + _COUNTED_MAX:
                if copy.first is None:
                    copy.first = now
                copy.last = copy.looked
        copy.looked = now

    def executing(self, host: str, since: float) -> bool:
        """Whether a guest on that host has executed at that time or later."""
        return any(
            c.host == host and c.last is not None and c.last >= since for c in self.copies.values()
        )

    def has_executed(self, host: str) -> bool:
        return any(c.host == host and c.first is not None for c in self.copies.values())

    def last_executed(self, host: str) -> float:
        """When a guest on that host was last seen to execute; 0: never."""
        return max((c.last or 0.0 for c in self.copies.values() if c.host == host), default=0.0)

    def first_executed(self, host: str) -> float:
        """When a guest on that host was first seen to execute."""
        return min(c.first for c in self.copies.values() if c.host == host and c.first is not None)

    def two_live(self, since: float = 0.0) -> list[str]:
        """Pairs of copies that executed at the same time, then or later; there must be none."""
        lives = [
            (max(since, copy.first), copy.last, copy.host)
            for copy in self.copies.values()
            if copy.first is not None
            and copy.last is not None
            and copy.last > max(since, copy.first)
        ]
        lives.sort()
        return [
            f"{one[2]} until {one[1]:.3f} and {other[2]} from {other[0]:.3f}"
            for at, one in enumerate(lives)
            for other in lives[at + 1 :]
            if other[0] < one[1]
        ]


def _marks(file: int) -> list[int]:
    """Where the mark lies. Holes are not touched: they are what a snapshot leaves out."""
    found, at, size = [], 0, os.fstat(file).st_size
    while at < size:
        try:
            at = os.lseek(file, at, os.SEEK_DATA)
        except OSError:
            break
        hole = min(os.lseek(file, at, os.SEEK_HOLE), at + _STEP_BYTES)
        content = os.pread(file, hole - at + 64, at)
        place = content.find(MARK)
        while place >= 0:
            found.append(at + place)
            place = content.find(MARK, place + 1)
        at = hole
    return sorted(set(found))
