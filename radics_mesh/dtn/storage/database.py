"""The bundle store's files: an SQLite database and, for large bundles, a file each.

  DIR/bundles.db           table bundle: index and, up to FILE_FROM_BYTES, the bundle itself
                           table delivered: identities (hashed) of what was delivered here
                           table meta: sequence numbers reserved so far, seconds of uptime so far
  DIR/large/KEY.bundle     a larger bundle
  DIR/isolated/            what turned out damaged: kept for people, never read again

WAL with synchronous=FULL: a transaction is on the medium when its commit returns. A large file is
on the medium before the row that names it; without such a row it is a leftover and is removed.
Every bundle carries a CRC, and so does its line of the index (`rows`), so that a torn or rotten one
is noticed when read.

Sync code: the store runs `Writer` in its own thread, and one reading connection in Trio's.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from radics_mesh.dtn.storage.rows import INDEX_COLUMNS, Row
from radics_mesh.dtn.storage.spool import Spooled
from radics_mesh.dtn.wire.bundle import ORDINARY
from radics_mesh.dtn.wire.content import Content, FileBytes, pieces
from radics_mesh.durable import sync_directory
from radics_mesh.errors import LinkError
from radics_mesh.ids import NONE_EID

# Above this a bundle is a file: SQLite would write it twice, to its log and to its table.
FILE_FROM_BYTES = 1 << 20
_T = TypeVar("_T")
# Columns that came later: added to every table that lacks them. A new one has them before `raw`, so
# that reading the index never goes through a bundle's bytes.
_ADDED = {
    "flags": f"INTEGER NOT NULL DEFAULT {ORDINARY}",
    "report_to": f"TEXT NOT NULL DEFAULT '{NONE_EID}'",
    "custodian": f"TEXT NOT NULL DEFAULT '{NONE_EID}'",
    "total": "INTEGER NOT NULL DEFAULT 0",
    "row_crc": "INTEGER",
}
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS bundle (
  key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, destination TEXT NOT NULL,
  priority INTEGER NOT NULL, lifetime_s INTEGER NOT NULL, age_us INTEGER NOT NULL,
  received_wall REAL NOT NULL, received_uptime REAL NOT NULL,
  previous BLOB, signer BLOB, size INTEGER NOT NULL,
  {", ".join(f"{name} {kind}" for name, kind in _ADDED.items())},
  crc INTEGER NOT NULL, raw BLOB);
CREATE TABLE IF NOT EXISTS delivered (
  id BLOB PRIMARY KEY, until_uptime REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS delivered_until ON delivered (until_uptime);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
"""
_NTH_DELIVERED = (
    "SELECT (SELECT until_uptime FROM delivered ORDER BY until_uptime DESC LIMIT 1 OFFSET ?)"
)
COLUMNS = f"{INDEX_COLUMNS}, crc, raw"
WIDTH = COLUMNS.count(",") + 1
# Rows in one statement: each execution costs a hand-over of Python's interpreter lock, and each
# distinct number of rows a prepared statement, of which the connection keeps 256.
_ROWS_MAX = 64


@dataclass(slots=True)
class Batch:
    """What one transaction changes."""

    added: list[tuple[Row, Content]] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    # Those of the removed ones that have files.
    unlinked: list[int] = field(default_factory=list)
    delivered: list[tuple[bytes, float]] = field(default_factory=list)
    meta: dict[str, float] = field(default_factory=dict)
    # Deliveries remembered until before this uptime are forgotten, if there are enough others.
    forget_before: float = 0.0

    def take(self, other: Batch) -> None:
        """Make the other's changes part of this one."""
        self.added += other.added
        self.removed += other.removed
        self.unlinked += other.unlinked
        self.delivered += other.delivered
        self.meta |= other.meta
        self.forget_before = max(self.forget_before, other.forget_before)


class Files:
    """The paths below a store's directory, and what may be done with them."""

    def __init__(self, directory: Path) -> None:
        self.database = directory / "bundles.db"
        self.large = directory / "large"
        self.isolated = directory / "isolated"
        for path in (directory, self.large, self.isolated):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def of(self, key: int) -> Path:
        return self.large / f"{key}.bundle"

    def write(self, key: int, content: Content) -> int:
        """On return the bytes and the name are on the medium; a torn one has no row yet. Their
        CRC."""
        if isinstance(content, Spooled):
            content.sync()
            content.path.replace(self.of(key))
            crc = content.crc
        else:
            crc = self._write_new(self.of(key), content)
        sync_directory(self.large)
        return crc

    def _write_new(self, path: Path, content: Content) -> int:
        crc = 0
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            for piece in pieces(content):
                crc = zlib.crc32(piece, crc)
                left = memoryview(piece)
                while left:
                    left = left[file.write(left) :]
            os.fsync(file.fileno())
        return crc

    def withdraw(self, key: int, content: Content) -> None:
        """Undo a `write`, as far as it came."""
        if len(content) > FILE_FROM_BYTES:
            self.remove(key)
        if isinstance(content, Spooled):
            content.path.unlink(missing_ok=True)

    def remove(self, key: int) -> None:
        self.of(key).unlink(missing_ok=True)

    def isolate(self, path: Path) -> None:
        """Put a damaged file where nothing reads it."""
        for number in itertools.count():
            target = self.isolated / f"{path.name}.{number}"
            if not target.exists():
                path.replace(target)
                return

    def remove_leftovers(self, keys: set[int]) -> None:
        """Files whose row was never committed, or was removed before they were."""
        for path in self.large.iterdir():
            if not path.stem.isdigit() or int(path.stem) not in keys:
                path.unlink()


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    # Fewer, larger pages for 64 KB bundles; not so large that one small commit writes much.
    connection.execute("PRAGMA page_size=8192")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def create_tables(connection: sqlite3.Connection) -> None:
    """Also brings a database of an earlier version up to date, in one transaction."""
    connection.executescript(_SCHEMA)
    missing = _ADDED.keys() - columns_of(connection)
    if missing:
        changes = "; ".join(
            f"ALTER TABLE bundle ADD COLUMN {name} {kind}"
            for name, kind in _ADDED.items()
            if name in missing
        )
        connection.executescript(f"BEGIN; {changes}; COMMIT")


def columns_of(connection: sqlite3.Connection) -> set[str]:
    """Of the table of bundles; fewer when an earlier version has made it."""
    return {str(row[1]) for row in connection.execute("PRAGMA table_info(bundle)")}


def read_index(connection: sqlite3.Connection) -> Iterator[Row]:
    """The whole index, in order of arrival; sqlite3.DatabaseError where it is damaged."""
    yield from map(Row._make, _index(connection))


def check(connection: sqlite3.Connection) -> None:
    """sqlite3.DatabaseError when reading all but the bundles' bytes raises it, or when an index and
    its table differ: SQLite would find that out at some removal, and refuse all that comes after.
    """
    deque(_index(connection), maxlen=0)
    deque(connection.execute("SELECT * FROM meta"), maxlen=0)
    for columns, table, index, key in (
        ("key, id", "bundle", "sqlite_autoindex_bundle_1", "key"),
        ("id, until_uptime", "delivered", "delivered_until", "id"),
    ):
        by_table = f"SELECT {columns} FROM {table} NOT INDEXED ORDER BY {key}"
        by_index = f"SELECT {columns} FROM {table} INDEXED BY {index}"
        if _sum(connection.execute(by_table)) != _sum(connection.execute(by_index)):
            raise sqlite3.DatabaseError(f"{index} is not the index of its table")


def _sum(rows: Iterable[tuple[object, ...]]) -> tuple[int, int]:
    """The same for the same rows in any order."""
    count = mixed = 0
    for row in rows:
        count += 1
        mixed ^= hash(row)
    return count, mixed


def _index(connection: sqlite3.Connection) -> sqlite3.Cursor:
    return connection.execute(f"SELECT {INDEX_COLUMNS} FROM bundle ORDER BY key")


def read_rows(connection: sqlite3.Connection, keys: list[int]) -> list[Row]:
    """Those of them that are there, in order of arrival; sqlite3.DatabaseError."""
    rows: list[Row] = []
    for some in _chunks(sorted(keys)):
        places = ", ".join("?" * len(some))
        query = f"SELECT {INDEX_COLUMNS} FROM bundle WHERE key IN ({places}) ORDER BY key"
        rows += map(Row._make, connection.execute(query, some))
    return rows


def find_key(connection: sqlite3.Connection, bundle_id: str) -> int | None:
    found = connection.execute("SELECT key FROM bundle WHERE id = ?", (bundle_id,)).fetchone()
    return None if found is None else int(found[0])


def read_meta(connection: sqlite3.Connection, name: str) -> float | None:
    found = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if found is None else float(found[0])


def read_delivered(connection: sqlite3.Connection) -> Iterator[bytes]:
    for (hashed,) in connection.execute("SELECT id FROM delivered"):
        if isinstance(hashed, bytes):
            yield hashed


def was_delivered(connection: sqlite3.Connection, hashed: bytes) -> bool:
    found = connection.execute("SELECT 1 FROM delivered WHERE id = ?", (hashed,)).fetchone()
    return found is not None


def read_raw(connection: sqlite3.Connection, key: int) -> bytes | None:
    """A bundle's bytes from the database, None when they are damaged or gone."""
    try:
        found = connection.execute("SELECT crc, raw FROM bundle WHERE key = ?", (key,)).fetchone()
    except sqlite3.DatabaseError:
        return None
    intact = found and isinstance(found[1], bytes) and zlib.crc32(found[1]) == found[0]
    return found[1] if intact else None


def read_file(connection: sqlite3.Connection, files: Files, key: int) -> FileBytes | None:
    """A large bundle, gone through once; None when it is damaged or gone."""
    try:
        found = connection.execute("SELECT crc FROM bundle WHERE key = ?", (key,)).fetchone()
        if found is None:
            return None
        content, crc = FileBytes.of(files.of(key)), 0
        for piece in pieces(content):
            crc = zlib.crc32(piece, crc)
    except (sqlite3.DatabaseError, OSError, LinkError):
        return None
    return content if crc == found[0] else None


class Reader:
    """A connection to read by, opened anew when the file is another one."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._connection = connect(files.database)
        self._stale = False

    @property
    def connection(self) -> sqlite3.Connection:
        if self._stale:
            self._stale = False
            self._connection = connect(self._files.database)
        return self._connection

    def renew(self) -> None:
        """In any thread."""
        self._stale = True

    def close(self) -> None:
        self._connection.close()


class Writer:
    """Applies batches; every method blocks. Used by one thread."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        files: Files,
        remembered: int,
        repair: Callable[[], sqlite3.Connection],
    ) -> None:
        """`remembered`: so many deliveries are never forgotten, 1 at least. `repair` makes a new
        database of what can be read of this one: without that, one torn page that a removal needs
        would stop all writing."""
        self._remembered = remembered
        self._repair = repair
        self._connection = connection
        self._files = files

    def apply(self, batch: Batch) -> None:
        """On return the batch is on the medium; sqlite3.Error or OSError: nothing of it counts."""
        try:
            values = [self._values(row, raw) for row, raw in batch.added]
            try:
                self._transact(batch, values)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._connection.close()
                self._connection = self._repair()
                self._transact(batch, values)
        except (sqlite3.Error, OSError):
            for row, raw in batch.added:
                self._files.withdraw(row.key, raw)
            raise
        for key in batch.unlinked:
            self._files.remove(key)

    def _transact(self, batch: Batch, rows: list[tuple[object, ...]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._change(batch, rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _values(self, row: Row, raw: Content) -> tuple[object, ...]:
        row = row.checked()
        if row.size > FILE_FROM_BYTES:
            return (*row, self._files.write(row.key, raw), None)
        raw = bytes(raw)
        return (*row, zlib.crc32(raw), raw)

    def _change(self, batch: Batch, rows: list[tuple[object, ...]]) -> None:
        """Removals first: a bundle that left may have come back in the same batch."""
        for some in _chunks(batch.removed):
            places = ", ".join("?" * len(some))
            self._connection.execute(f"DELETE FROM bundle WHERE key IN ({places})", some)
        self._insert(f"INSERT INTO bundle ({COLUMNS}) VALUES", WIDTH, rows)
        self._insert("INSERT OR REPLACE INTO delivered VALUES", 2, batch.delivered)
        self._insert("INSERT OR REPLACE INTO meta VALUES", 2, batch.meta.items())
        if batch.forget_before:
            self._forget(batch.forget_before)

    def _forget(self, before: float) -> None:
        """Deliveries remembered until before then, but not the last ones."""
        (enough,) = self._connection.execute(_NTH_DELIVERED, (self._remembered - 1,)).fetchone()
        if enough is not None:
            values = (min(before, enough),)
            self._connection.execute("DELETE FROM delivered WHERE until_uptime < ?", values)

    def _insert(self, statement: str, width: int, rows: Iterable[tuple[object, ...]]) -> None:
        place = "(" + ", ".join("?" * width) + ")"
        for some in _chunks(list(rows)):
            values = ", ".join([place] * len(some))
            flat = list(itertools.chain.from_iterable(some))
            self._connection.execute(f"{statement} {values}", flat)

    def close(self) -> None:
        self._connection.close()


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without what extends it
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _chunks(items: list[_T]) -> Iterator[list[_T]]:
    for start in range(0, len(items), _ROWS_MAX):
        yield items[start : start + _ROWS_MAX]
