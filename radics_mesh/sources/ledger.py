"""What the sources of a node must still know after a power cut (SQLite).

  publication  name, file, pace, what the file held, how far production has come
  subscriber   of each publication: node, fence, serial, acknowledged, active
  attachment   the last attachment number given out on this node

Fences and publications are written before anyone is told. Heads and cursors are flushed a few
times a second: one that is a little old after a crash only makes the publisher send again what a
subscriber then drops. WAL with synchronous=FULL: a committed transaction survives power loss.

Blocking, one caller at a time: the shell runs it in a worker thread under a lock.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from radics_mesh.ids import Digest, Eid, NodeId
from radics_mesh.sources.log import Content
from radics_mesh.sources.messages import Fence

_SCHEMA = """
CREATE TABLE IF NOT EXISTS publication (
    name TEXT PRIMARY KEY, path BLOB NOT NULL, rate REAL, size_bytes INTEGER NOT NULL,
    digest BLOB NOT NULL, length INTEGER NOT NULL, head INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS subscriber (
    source TEXT NOT NULL REFERENCES publication(name) ON DELETE CASCADE,
    eid TEXT NOT NULL, node BLOB NOT NULL, epoch INTEGER NOT NULL, attachment INTEGER NOT NULL,
    serial INTEGER NOT NULL, acknowledged INTEGER NOT NULL, active INTEGER NOT NULL,
    PRIMARY KEY (source, eid)
) STRICT;
CREATE TABLE IF NOT EXISTS attachment (last INTEGER NOT NULL) STRICT;
"""


@dataclass(frozen=True)
class Published:
    """A publication as it is kept. `rate`: messages a second, None as fast as they are taken."""

    name: str
    path: Path
    rate: float | None
    content: Content
    head: int = 0


@dataclass(frozen=True)
class Cursor:
    """A subscriber's standing at a publication as it is kept."""

    subscriber: Eid
    node: NodeId
    fence: Fence
    serial: int
    acknowledged: int
    active: bool


class Ledger:
    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("PRAGMA foreign_keys = ON")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        self._database.close()

    def publications(self) -> list[Published]:
        rows = self._database.execute(
            "SELECT name, path, rate, size_bytes, digest, length, head FROM publication"
        )
        return [
            Published(
                name,
                Path(os.fsdecode(path)),
                rate,
                Content(size_bytes, Digest(digest), length),
                head,
            )
            for name, path, rate, size_bytes, digest, length, head in rows
        ]

    def cursors(self, source: str) -> list[Cursor]:
        rows = self._database.execute(
            "SELECT eid, node, epoch, attachment, serial, acknowledged, active"
            " FROM subscriber WHERE source = ?",
            (source,),
        )
        return [
            Cursor(Eid(eid), NodeId(node), Fence(epoch, attachment), serial, acked, bool(active))
            for eid, node, epoch, attachment, serial, acked, active in rows
        ]

    def keep_publication(self, published: Published) -> None:
        self._database.execute(
            "INSERT INTO publication VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET rate = excluded.rate, path = excluded.path",
            (
                published.name,
                os.fsencode(published.path),
                published.rate,
                published.content.size_bytes,
                bytes(published.content.digest),
                published.content.length,
                published.head,
            ),
        )

    def drop_publication(self, name: str) -> None:
        self._database.execute("DELETE FROM publication WHERE name = ?", (name,))

    def keep(self, source: str, head: int, cursors: Iterable[Cursor]) -> None:
        """A publication's head and some of its cursors, in one transaction."""
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute("UPDATE publication SET head = ? WHERE name = ?", (head, source))
            self._database.executemany(
                "INSERT OR REPLACE INTO subscriber SELECT ?, ?, ?, ?, ?, ?, ?, ?"
                " WHERE EXISTS (SELECT 1 FROM publication WHERE name = ?)",
                [
                    (
                        source,
                        str(cursor.subscriber),
                        bytes(cursor.node),
                        cursor.fence.epoch,
                        cursor.fence.attachment,
                        cursor.serial,
                        cursor.acknowledged,
                        cursor.active,
                        source,
                    )
                    for cursor in cursors
                ],
            )

    def next_attachment(self, above: int = 0) -> int:
        """A number never given out before on this node, and greater than `above`."""
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            row = self._database.execute("SELECT last FROM attachment").fetchone()
            number = max(above, row[0] if row else 0) + 1
            self._database.execute("DELETE FROM attachment")
            self._database.execute("INSERT INTO attachment VALUES (?)", (number,))
        return number
