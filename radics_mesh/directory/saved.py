"""The book on disk: read when the program starts, written now and then and when it ends."""

from __future__ import annotations

from pathlib import Path

import structlog

from radics_mesh.clock import Clock
from radics_mesh.durable import write_durably
from radics_mesh.errors import WireError
from radics_mesh.knowledge.book import RecordBook

log = structlog.get_logger(__name__)


class SavedBook:
    def __init__(self, path: Path, book: RecordBook, clock: Clock) -> None:
        self._path = path
        self._book = book
        self._clock = clock

    def load(self) -> None:
        """What is there, as far as it can be read; what cannot is logged."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        try:
            loaded = self._book.load(data, self._clock.monotonic(), self._clock.wall())
        except WireError as error:
            log.warning("records ignored", path=str(self._path), reason=str(error))
        else:
            log.info("records loaded", count=loaded)

    def save(self) -> None:
        """Everything, durably."""
        write_durably(self._path, self._book.dump(self._clock.monotonic(), self._clock.wall()))
