"""Opening a bundle store's database, whatever its state: what can still be read is taken over.

A damaged database file is moved to `isolated/` and a new one gets every row that can be read; the
sound part of the store goes on. Its index on identities lists the keys without touching the pages
that hold bundles, and `carving` finds bundles to which no index leads, so one rotten page costs the
bundles on it and no others.
"""

from __future__ import annotations

import mmap
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from radics_mesh.dtn.storage.carving import Pages, rows_in
from radics_mesh.dtn.storage.database import (
    COLUMNS,
    WIDTH,
    Files,
    check,
    columns_of,
    connect,
    create_tables,
    was_delivered,
)
from radics_mesh.dtn.storage.index import hashed_text
from radics_mesh.dtn.storage.rows import Row


@dataclass(frozen=True)
class Opened:
    """`lost` counts rows (at least) that could not be read; `salvaged`: a new file was begun."""

    connection: sqlite3.Connection
    salvaged: bool
    lost: int


def open_database(files: Files) -> Opened:
    try:
        connection = connect(files.database)
    except sqlite3.DatabaseError:
        return salvage(files)
    try:
        create_tables(connection)
        check(connection)
        return Opened(connection, False, 0)
    except sqlite3.DatabaseError:
        connection.close()
        return salvage(files)


def salvage(files: Files) -> Opened:
    """Nobody may write there meanwhile."""
    damaged = files.isolated / files.database.name
    for suffix in ("", "-wal", "-shm"):
        path = files.database.with_name(files.database.name + suffix)
        if path.exists():
            path.replace(damaged.with_name(damaged.name + suffix))
    connection = connect(files.database)
    create_tables(connection)
    log = damaged.with_name(f"{damaged.name}-wal")
    pages = Pages(_mapped(damaged), log.read_bytes() if log.exists() else b"")
    old = sqlite3.connect(damaged, isolation_level=None)
    try:
        connection.execute("BEGIN")
        _copy_pairs(old, connection, "delivered")
        _copy_pairs(old, connection, "meta")
        lost = max(0, _copy_bundles(old, connection) - _copy_carved(pages, connection))
        connection.execute("COMMIT")
    finally:
        old.close()
    for suffix in ("", "-wal", "-shm"):
        path = damaged.with_name(damaged.name + suffix)
        if path.exists():
            files.isolate(path)
    return Opened(connection, True, lost)


def _copy_bundles(old: sqlite3.Connection, new: sqlite3.Connection) -> int:
    lost = 0
    try:
        there = columns_of(old)
    except sqlite3.DatabaseError:
        return 0  # not even a list of tables: nothing is known to be lost
    columns = ", ".join(name for name in COLUMNS.split(", ") if name in there)
    places = ", ".join("?" * (columns.count(",") + 1))
    for key in _keys(old):
        try:
            values = old.execute(f"SELECT {columns} FROM bundle WHERE key = ?", (key,)).fetchone()
        except sqlite3.DatabaseError:
            values = None
        if values is None:
            lost += 1
        else:
            new.execute(f"INSERT OR IGNORE INTO bundle ({columns}) VALUES ({places})", values)
    return lost


def _copy_carved(pages: Pages, new: sqlite3.Connection) -> int:
    """Bundles on sound pages to which the table no longer leads; how many they are."""
    places = ", ".join("?" * WIDTH)
    before = new.total_changes
    for values in rows_in(pages, WIDTH):
        bundle_id = values[Row._fields.index("id")]
        if not isinstance(bundle_id, str) or was_delivered(new, hashed_text(bundle_id)):
            continue
        with suppress(sqlite3.DatabaseError):  # a row that does not fit: damage, or no bundle
            new.execute(f"INSERT OR IGNORE INTO bundle ({COLUMNS}) VALUES ({places})", values)
    return new.total_changes - before


def _mapped(path: Path) -> bytes | mmap.mmap:
    if not path.stat().st_size:
        return b""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _keys(old: sqlite3.Connection) -> list[int]:
    """By the index on identities, and by the table itself: either may be the damaged one."""
    keys: set[int] = set()
    for how in ("INDEXED BY sqlite_autoindex_bundle_1", "NOT INDEXED"):
        keys.update(key for (key,) in _until_damage(old, f"SELECT key FROM bundle {how}"))
    return sorted(keys)


def _copy_pairs(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> None:
    """From both ends, up to the damage."""
    for order in ("ASC", "DESC"):
        for values in _until_damage(old, f"SELECT * FROM {table} ORDER BY 1 {order}"):
            new.execute(f"INSERT OR IGNORE INTO {table} VALUES (?, ?)", values)


def _until_damage(old: sqlite3.Connection, query: str) -> Iterator[tuple[int, ...]]:
    try:
        yield from old.execute(query)
    except sqlite3.DatabaseError:
        return
