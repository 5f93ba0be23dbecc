"""One SQLite connection and its transactions (WAL, synchronous=FULL).

Every transaction is durable when it ends; OSError: nothing of it counts, as on a full disk. They
block for a commit, a few milliseconds; a lock keeps the ones of worker threads apart.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Database:
    """One connection, one transaction a call."""

    def __init__(self, path: Path, schema: str) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(schema)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:  # some errors have rolled it back already
                        self._db.execute("ROLLBACK")
                    raise
        except sqlite3.OperationalError as error:
            raise OSError(f"the table of VMs cannot be written: {error}") from error
