"""Mail that a guest has taken and no durable checkpoint covers yet: it may have to come again.

    letter --taken--> kept --covered by a durable checkpoint--> gone
      ^                 |
      +---- set back ---+         aside: until the program serves it again

A guest that is set back to a checkpoint takes again, in order and under the same numbers, what it
took since. What came for a service that it did not serve then waits aside until it serves that,
as it did the first time; in the mailbox the program would not look for it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from radics_mesh.hosting.papers import Box
from radics_mesh.vmm import abi

KEPT_TABLES = ("kept", "aside")
# What a message takes beside its payload, about.
ROW_BYTES = 512
LETTER = "stream, number, key, sender, service, payload, ending"
SCHEMA = """
CREATE TABLE IF NOT EXISTS kept(
  place INTEGER PRIMARY KEY AUTOINCREMENT, vm_id BLOB, stream INTEGER, number INTEGER, key BLOB,
  sender TEXT, service TEXT, payload BLOB, ending INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS kept_vm ON kept(vm_id, place);
CREATE TABLE IF NOT EXISTS aside(
  place INTEGER PRIMARY KEY AUTOINCREMENT, vm_id BLOB, service TEXT, key BLOB, sender TEXT,
  payload BLOB);
CREATE INDEX IF NOT EXISTS aside_vm ON aside(vm_id, service);
"""
_ASIDE = "INSERT INTO aside(vm_id, service, key, sender, payload)"


def keep(db: sqlite3.Connection, vm: bytes, stream: int, done: int | None = None) -> int:
    """The guest has taken the letters of a stream up to `done`; None: whatever they were. Returns
    how many bytes they take."""
    which = "vm_id=? AND stream=?" + ("" if done is None else " AND number<=?")
    of = (vm, stream) if done is None else (vm, stream, done)
    [(size,)] = db.execute(
        f"SELECT COALESCE(SUM(LENGTH(payload) + {ROW_BYTES}), 0) FROM letter WHERE {which}", of
    ).fetchall()
    if size:
        db.execute(
            f"INSERT INTO kept(vm_id, {LETTER}) SELECT vm_id, {LETTER} FROM letter WHERE {which}"
            " ORDER BY number",
            of,
        )
        db.execute(f"DELETE FROM letter WHERE {which}", of)
    return int(size)


def kept_bytes(db: sqlite3.Connection, vm: bytes) -> int:
    return _bytes(db, "kept", vm)


def aside_bytes(db: sqlite3.Connection, vm: bytes) -> int:
    return _bytes(db, "aside", vm)


def _bytes(db: sqlite3.Connection, table: str, vm: bytes) -> int:
    [(size,)] = db.execute(
        f"SELECT COALESCE(SUM(LENGTH(payload) + {ROW_BYTES}), 0) FROM {table} WHERE vm_id=?", (vm,)
    ).fetchall()
    return int(size)


def last_kept(db: sqlite3.Connection, vm: bytes) -> int:
    """What a checkpoint of a guest that stands still now covers: all up to this place."""
    [(place,)] = db.execute(
        "SELECT COALESCE(MAX(place), 0) FROM kept WHERE vm_id=?", (vm,)
    ).fetchall()
    return int(place)


def cover(db: sqlite3.Connection, vm: bytes, place: int) -> None:
    """A durable checkpoint holds what the guest made of it."""
    db.execute("DELETE FROM kept WHERE vm_id=? AND place<=?", (vm, place))


def bring_back(db: sqlite3.Connection, vm: bytes, served: Iterable[Box]) -> dict[int, int]:
    """The guest is set back to when it served these: what it took since becomes letters again.

    Their boxes are to be there afterwards. Returns the last number of each stream of letters.
    """
    then = {box.stream: box.service for box in served}
    rows = db.execute(f"SELECT {LETTER} FROM kept WHERE vm_id=? ORDER BY place", (vm,)).fetchall()
    rows += db.execute(
        f"SELECT {LETTER} FROM letter WHERE vm_id=? ORDER BY stream, number", (vm,)
    ).fetchall()
    for table in ("kept", "letter"):
        db.execute(f"DELETE FROM {table} WHERE vm_id=?", (vm,))
    last: dict[int, int] = {}
    for stream, number, key, sender, service, payload, ending in rows:
        if 0 < stream < abi.STREAM_TIMERS and then.get(stream) != service:
            put_aside(db, vm, service, key, sender, payload)
            continue
        # Numbers do not grow where a service was closed and served again since.
        last[stream] = max(number, last.get(stream, 0) + 1)
        letter = (vm, stream, last[stream], key, sender, service, payload, ending)
        db.execute(f"INSERT INTO letter(vm_id, {LETTER}) VALUES (?,?,?,?,?,?,?,?)", letter)
    return last


def put_aside(
    db: sqlite3.Connection, vm: bytes, service: str, key: bytes, sender: str, payload: bytes
) -> None:
    db.execute(f"{_ASIDE} VALUES (?,?,?,?,?)", (vm, service, key, sender, payload))


def waits_aside(db: sqlite3.Connection, vm: bytes, service: str) -> bool:
    found = db.execute("SELECT 1 FROM aside WHERE vm_id=? AND service=? LIMIT 1", (vm, service))
    return found.fetchone() is not None


def take_aside(
    db: sqlite3.Connection, vm: bytes, service: str | None
) -> list[tuple[bytes, str, str, bytes]]:
    """What waits for a service (None: for any), oldest first, as key, sender, service, payload."""
    which = "vm_id=?" + ("" if service is None else " AND service=?")
    of = (vm,) if service is None else (vm, service)
    rows = db.execute(
        f"SELECT key, sender, service, payload FROM aside WHERE {which} ORDER BY place", of
    ).fetchall()
    db.execute(f"DELETE FROM aside WHERE {which}", of)
    return rows
