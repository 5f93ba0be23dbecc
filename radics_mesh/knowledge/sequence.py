"""Sequence numbers of this node's records, growing over restarts, crashes and clock steps.

They follow the wall clock in milliseconds, so that they grow even when the state is lost. To sync
the disk once an hour instead of for each record, the file holds a ceiling below which all numbers
count as used.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from radics_mesh.clock import Clock
from radics_mesh.codec import Fields, pack
from radics_mesh.durable import write_durably
from radics_mesh.errors import WireError

log = structlog.get_logger(__name__)

RESERVED = 3_600_000
_MAX = 1 << 61


class SequenceNumbers:
    """`path` is read when made, and written (blocking) by some calls of `next`."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._ceiling = self._load()
        self._last = self._ceiling

    def _load(self) -> int:
        if not self._path.exists():
            return 0
        try:
            return Fields.parse(self._path.read_bytes(), "sequence").integer(0, _MAX)
        except WireError as error:
            log.warning("sequence file ignored", path=str(self._path), reason=str(error))
            return 0

    def next(self) -> int:
        """A number above all that were ever given or used; it is safe on disk before it returns."""
        self._last = max(self._last + 1, int(self._clock.wall() * 1000))
        if self._last > self._ceiling:
            self._ceiling = self._last + RESERVED
            write_durably(self._path, pack([self._ceiling]))
        return self._last

    def used(self, sequence: int) -> None:
        """A record of ours with this number exists (of an earlier life whose state is lost)."""
        if self._last < sequence < _MAX:
            self._last = sequence
