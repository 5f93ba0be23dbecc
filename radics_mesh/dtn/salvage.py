"""Opening a bundle store's database, whatever its state: what can still be read is taken over.

A damaged database file is moved to `isolated/` and a new one gets every row that can be read; the
sound part of the store goes on. Its index on identities lists the keys without touching the pages
that hold bundles, so one rotten page costs the bundles on it and no others.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from radics_mesh.dtn.database import (
    COLUMNS,
    Files,
    check_index,
    columns_of,
    connect,
    create_tables,
)


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
        return _salvage(files)
    try:
        create_tables(connection)
        check_index(connection)
        return Opened(connection, False, 0)
    except sqlite3.DatabaseError:
        connection.close()
        return _salvage(files)


def _salvage(files: Files) -> Opened:
    damaged = files.isolated / files.database.name
    for suffix in ("", "-wal", "-shm"):
        path = files.database.with_name(files.database.name + suffix)
        if path.exists():
            path.replace(damaged.with_name(damaged.name + suffix))
    connection = connect(files.database)
    create_tables(connection)
    old = sqlite3.connect(damaged, isolation_level=None)
    try:
        connection.execute("BEGIN")
        lost = _copy_bundles(old, connection)
        lost += _copy_pairs(old, connection, "delivered") + _copy_pairs(old, connection, "meta")
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


def _keys(old: sqlite3.Connection) -> list[int]:
    """By the index on identities, and by the table itself: either may be the damaged one."""
    keys: set[int] = set()
    for how in ("INDEXED BY sqlite_autoindex_bundle_1", "NOT INDEXED"):
        keys.update(key for (key,) in _until_damage(old, f"SELECT key FROM bundle {how}"))
    return sorted(keys)


def _copy_pairs(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> int:
    for values in _until_damage(old, f"SELECT * FROM {table}"):
        new.execute(f"INSERT OR IGNORE INTO {table} VALUES (?, ?)", values)
    return 0


def _until_damage(old: sqlite3.Connection, query: str) -> Iterator[tuple[int, ...]]:
    try:
        yield from old.execute(query)
    except sqlite3.DatabaseError:
        return
