"""Copies of mail for VMs whose checkpoints other nodes keep.

A keeper that goes on from a checkpoint lacks what its VM's host took since. So each message for
such a VM is copied as it is filed, in the same transaction; its host sends the copies to the
keepers (`copying`), and forgets one when a keeper has a later checkpoint. Keepers have theirs until
then, too. What a row is for is told by its epoch, of the tenure in which the message was taken:

  the VM is held here, in that epoch   a keeper may need it
  it is held here, in a later one      it came in a branch that counts no more: to be given again
  it is held elsewhere                 kept for who goes on; where somebody did, it is sent there

Nothing of it travels in checkpoints but `filed`: how far the copies go that are covered.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from radics_mesh.hosting.database import Database
from radics_mesh.hosting.kept import ROW_BYTES
from radics_mesh.ids import VmId
from radics_mesh.ownership import Ownership

# Of one VM. More is there only while no keeper answers; then the oldest are given up.
COPIES_MAX_BYTES = 16 << 20
# To count them is slow.
_COUNTED_EVERY = 64
SCHEMA = """
CREATE TABLE IF NOT EXISTS copy(
  number INTEGER PRIMARY KEY AUTOINCREMENT, vm_id BLOB, epoch INTEGER, place INTEGER, key BLOB,
  sender TEXT, service TEXT, payload BLOB, UNIQUE (vm_id, epoch, place, key));
"""
_COLUMNS = "epoch, place, key, sender, service, payload"
_SIZE = f"LENGTH(payload) + {ROW_BYTES}"
# What names a copy of a VM's mail at every node: the epoch in which it was taken, and its number
# where that was.
Name = tuple[int, int]


@dataclass(frozen=True)
class Copy:
    """`key` empty: a reply, which its guest tells from others itself."""

    epoch: int
    place: int
    key: bytes
    sender: str
    service: str
    payload: bytes

    @property
    def name(self) -> Name:
        return self.epoch, self.place


class Copies(Database):
    """Part of the node's table; every method is one transaction."""

    def __init__(self, path: Path, schema: str) -> None:
        super().__init__(path, schema + SCHEMA)

    def copied_vms(self) -> list[VmId]:
        with self._lock:
            found = self._db.execute("SELECT DISTINCT vm_id FROM copy").fetchall()
        return [VmId(vm) for (vm,) in found]

    def copies(
        self, vm_id: VmId, epochs: range, after: int = 0, limit: int = 64
    ) -> list[tuple[int, Copy]]:
        """Those taken in these epochs, oldest first, each with its number here."""
        of = (bytes(vm_id), epochs.start, epochs.stop, after, limit)
        with self._lock:
            found = self._db.execute(
                f"SELECT number, {_COLUMNS} FROM copy WHERE vm_id=? AND epoch>=? AND epoch<?"
                " AND number>? ORDER BY number LIMIT ?",
                of,
            ).fetchall()
        return [(number, Copy(*row)) for number, *row in found]

    def copy(self, vm_id: VmId, name: Name) -> Copy | None:
        with self._lock:
            row = self._db.execute(
                f"SELECT {_COLUMNS} FROM copy WHERE vm_id=? AND epoch=? AND place=?",
                (bytes(vm_id), *name),
            ).fetchone()
        return Copy(*row) if row else None

    def keep_copies(self, vm_id: VmId, copies: Iterable[Copy]) -> bool:
        """Of another node's mail. False: there is no room, and none of them is kept."""
        vm = bytes(vm_id)
        with self._transaction() as db:
            if _bytes(db, vm) > COPIES_MAX_BYTES:
                return False
            db.executemany(
                f"INSERT OR IGNORE INTO copy(vm_id, {_COLUMNS}) VALUES (?,?,?,?,?,?,?)",
                [(vm, *_fields(copy)) for copy in copies],
            )
        return True

    def drop_copies(self, vm_id: VmId, names: Iterable[Name] | None = None) -> None:
        """`names` None: all of a VM."""
        vm = bytes(vm_id)
        with self._transaction() as db:
            if names is None:
                drop(db, vm)
            else:
                db.executemany(
                    "DELETE FROM copy WHERE vm_id=? AND epoch=? AND place=?",
                    [(vm, *name) for name in names],
                )

    def copies_covered(self, vm_id: VmId, epochs: range, filed: int = 0) -> None:
        """There is a state, of the last of these epochs, that holds what came of the mail taken in
        the others, and in that one up to `filed`."""
        of = (bytes(vm_id), epochs.start, epochs.stop - 1, epochs.stop - 1, filed)
        with self._transaction() as db:
            db.execute(
                "DELETE FROM copy WHERE vm_id=?"
                " AND ((epoch>=? AND epoch<?) OR (epoch=? AND place<=?))",
                of,
            )


def branched_at(chain: Ownership) -> int:
    """The epoch in which its last branch began: what was taken before may be missing in it."""
    return max((link.epoch for link in chain.links if link.recovery), default=0)


def add(db: sqlite3.Connection, vm: bytes, copy: Copy) -> None:
    """Of a message that this node files now; `place` is found here."""
    number = db.execute(
        f"INSERT INTO copy(vm_id, {_COLUMNS}) VALUES (?,?,?,?,?,?,?)", (vm, *_fields(copy))
    ).lastrowid
    assert number is not None
    db.execute("UPDATE copy SET place=number WHERE number=?", (number,))
    while number % _COUNTED_EVERY == 0 and _bytes(db, vm) > COPIES_MAX_BYTES:
        db.execute(
            "DELETE FROM copy WHERE number=(SELECT MIN(number) FROM copy WHERE vm_id=?)", (vm,)
        )


def filed(db: sqlite3.Connection) -> int:
    """All copies of what was filed here so far have this place or a lower one."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name='copy'").fetchone()
    return int(row[0]) if row else 0


def drop(db: sqlite3.Connection, vm: bytes) -> None:
    db.execute("DELETE FROM copy WHERE vm_id=?", (vm,))


def _bytes(db: sqlite3.Connection, vm: bytes) -> int:
    [(size,)] = db.execute(
        f"SELECT COALESCE(SUM({_SIZE}), 0) FROM copy WHERE vm_id=?", (vm,)
    ).fetchall()
    return int(size)


def _fields(copy: Copy) -> tuple[object, ...]:
    return copy.epoch, copy.place, copy.key, copy.sender, copy.service, copy.payload
