"""The page of memory by which a recorded process is told what is to happen to it."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

# As struct page in record.c.
_FIELDS = ("steps", "kill_step", "kill_after", "growths", "full_from", "refused", "ahead_ns")
_U64 = struct.Struct("<q")


class Page:
    """`path` is on a tmpfs; the page begins as zeros."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(mmap.PAGESIZE))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def close(self) -> None:
        self._memory.close()

    def _get(self, name: str) -> int:
        value: int = _U64.unpack_from(self._memory, 8 * _FIELDS.index(name))[0]
        return value

    def _set(self, name: str, value: int) -> None:
        _U64.pack_into(self._memory, 8 * _FIELDS.index(name), value)

    @property
    def steps(self) -> int:
        """Durable steps so far: syncs, renames, removals."""
        return self._get("steps")

    @property
    def growths(self) -> int:
        """Writes so far that made a file larger."""
        return self._get("growths")

    @property
    def refused(self) -> int:
        """Writes that found the disk full."""
        return self._get("refused")

    def kill_in(self, steps: int, *, after: bool) -> None:
        """SIGKILL at the so-maniest durable step from now, before or after it is done."""
        self._set("kill_after", int(after))
        self._set("kill_step", self.steps + steps)

    def spare(self) -> None:
        self._set("kill_step", 0)

    def fill_in(self, growths: int) -> None:
        """No room on the disk any more, from the so-maniest growth of a file on."""
        self._set("full_from", self.growths + growths)

    def empty(self) -> None:
        """Room again."""
        self._set("full_from", 0)

    def advance(self, seconds: float) -> None:
        """The process's clocks are ahead by that much more."""
        self._set("ahead_ns", self._get("ahead_ns") + int(seconds * 1e9))
