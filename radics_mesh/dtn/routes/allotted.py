"""How many copies of which bundle are left here to hand on, on disk (spray-and-wait).

  FILE   table allotted: identity of a bundle, copies

Written are only bundles that came with several copies or of which some were handed on. A note is
taken at once and written with the next `flushed`: who sends copies waits for that, so that no crash
makes more of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import structlog
import trio

from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.errors import CapacityError, WireError

log = structlog.get_logger(__name__)

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS allotted (id TEXT PRIMARY KEY, copies INTEGER NOT NULL)"
    " WITHOUT ROWID"
)


class Allotted:
    """Opening blocks; `close` it. One an agent."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.left: dict[BundleId, int] = {}
        self._notes: dict[BundleId, int | None] = {}
        self._writing = trio.Lock()
        self._connection = self._open(path)

    def _open(self, path: Path) -> sqlite3.Connection:
        """A file that is damaged is begun anew: every bundle then has one copy left."""
        try:
            return self._load(path)
        except sqlite3.DatabaseError as error:
            log.error("notes about copies were damaged", path=str(path), error=str(error))
            self.left.clear()
            for name in (
                path,
                path.with_name(f"{path.name}-wal"),
                path.with_name(f"{path.name}-shm"),
            ):
                name.unlink(missing_ok=True)
            return self._load(path)

    def _load(self, path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(_SCHEMA)
            for text, copies in connection.execute("SELECT id, copies FROM allotted"):
                self.left[BundleId.parse(text)] = int(copies)
        except (sqlite3.DatabaseError, WireError, TypeError, ValueError) as error:
            connection.close()
            raise sqlite3.DatabaseError(str(error)) from error
        return connection

    def forget_others(self, is_held: Callable[[BundleId], bool]) -> None:
        """Bundles whose lives ended while the node was down."""
        for bundle_id in [one for one in self.left if not is_held(one)]:
            del self.left[bundle_id]
            self.note(bundle_id, None)

    def note(self, bundle_id: BundleId, copies: int | None) -> None:
        """None: the bundle is no longer here."""
        self._notes[bundle_id] = copies

    async def flushed(self) -> None:
        """All that was noted before is on the medium. CapacityError: it cannot be written."""
        async with self._writing:
            notes, self._notes = self._notes, {}
            written = not notes
            try:
                if notes:
                    await trio.to_thread.run_sync(self._write, notes)
                    written = True
            except sqlite3.Error as error:
                raise CapacityError(f"cannot note copies: {error}") from error
            finally:
                if not written:  # or cancelled before it began: whoever waits behind needs them
                    self._notes = notes | self._notes

    def _write(self, notes: dict[BundleId, int | None]) -> None:
        kept = [(str(one), copies) for one, copies in notes.items() if copies is not None]
        gone = [(str(one),) for one, copies in notes.items() if copies is None]
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany("INSERT OR REPLACE INTO allotted VALUES (?, ?)", kept)
            self._connection.executemany("DELETE FROM allotted WHERE id = ?", gone)
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Write what was noted, as far as that can be done, and release the file."""
        try:
            self._write(self._notes)
        except sqlite3.Error as error:
            log.error("notes about copies cannot be written", error=str(error))
        self._connection.close()
