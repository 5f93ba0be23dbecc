"""What a VM has said and its host has not sent yet: it waits for a durable checkpoint.

With `--commit output` nothing leaves before the state that it came from is safe; a guest that is
set back then never said what it says now in other words.

    output -> held, durable -> (checkpoint) -> covered -> sent, and forgotten here
                  |
                  +---- set back to before it ----> forgotten, unsent

A message keeps its name (creation time of the branch, number of the output), whoever sends it, so
one that two hosts send, or one host twice, is one message.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from radics_mesh.codec import Fields
from radics_mesh.vmm import abi

# Of what is held, more than this stops the guest until its next checkpoint.
HELD_MAX_BYTES = 4 << 20
_ROW_BYTES = 512
SCHEMA = """
CREATE TABLE IF NOT EXISTS outbound(
  vm_id BLOB, created INTEGER, number INTEGER, source TEXT, destination TEXT, payload BLOB,
  lifetime_s INTEGER, covered INTEGER NOT NULL, PRIMARY KEY (vm_id, created, number));
"""
_MESSAGE = "created, number, source, destination, payload, lifetime_s"


@dataclass(frozen=True)
class Outbound:
    """`created`, `number`: its bundle's creation time and sequence number. `lifetime_s` 0: the
    node's own."""

    created: int
    number: int
    source: str
    destination: str
    payload: bytes
    lifetime_s: int = 0

    @property
    def row_bytes(self) -> int:
        return len(self.payload) + _ROW_BYTES

    def fields(self) -> list[object]:
        return [
            self.created,
            self.number,
            self.source,
            self.destination,
            self.payload,
            self.lifetime_s,
        ]

    @classmethod
    def of(cls, value: object) -> Outbound:
        """Inverse of `fields`; WireError for anything else."""
        fields = Fields(value, "outbound message")
        message = cls(
            created=fields.integer(0, 1 << 62),
            number=fields.integer(1, 1 << 62),
            source=fields.text(limit=abi.NAME_MAX * 2),
            destination=fields.text(limit=abi.NAME_MAX),
            payload=fields.blob(limit=abi.MESSAGE_MAX),
            lifetime_s=fields.integer(0, (1 << 32) - 1),
        )
        fields.end()
        return message


def hold(
    db: sqlite3.Connection, vm: bytes, messages: Iterable[Outbound], *, covered: bool = False
) -> None:
    """Keep messages; one that was kept before is the same."""
    db.executemany(
        f"INSERT OR IGNORE INTO outbound(vm_id, {_MESSAGE}, covered) VALUES (?,?,?,?,?,?,?,?)",
        [(vm, *m.fields(), covered) for m in messages],
    )


def cover(db: sqlite3.Connection, vm: bytes, output: int | None = None) -> None:
    """A durable state has said all up to this output; None: all, for the guest has ended."""
    which = "vm_id=?" + ("" if output is None else " AND number<=?")
    db.execute(
        f"UPDATE outbound SET covered=1 WHERE {which}", (vm,) if output is None else (vm, output)
    )


def set_back(db: sqlite3.Connection, vm: bytes, output: int) -> None:
    """The guest is set back to when it had said this much."""
    cover(db, vm, output)
    db.execute("DELETE FROM outbound WHERE vm_id=? AND NOT covered", (vm,))


def messages(
    db: sqlite3.Connection, vm: bytes, *, covered: bool = False, limit: int = -1
) -> list[Outbound]:
    """In the order in which they were said; `covered`: only those that may be sent."""
    which = "vm_id=?" + (" AND covered" if covered else "")
    rows = db.execute(
        f"SELECT {_MESSAGE} FROM outbound WHERE {which} ORDER BY created, number LIMIT ?",
        (vm, limit),
    ).fetchall()
    return [Outbound(*row) for row in rows]


def sent(db: sqlite3.Connection, vm: bytes, messages: Sequence[Outbound]) -> None:
    db.executemany(
        "DELETE FROM outbound WHERE vm_id=? AND created=? AND number=?",
        [(vm, m.created, m.number) for m in messages],
    )


def held_bytes(db: sqlite3.Connection, vm: bytes) -> int:
    """What waits for a checkpoint."""
    [(size,)] = db.execute(
        f"SELECT COALESCE(SUM(LENGTH(payload) + {_ROW_BYTES}), 0) FROM outbound"
        " WHERE vm_id=? AND NOT covered",
        (vm,),
    ).fetchall()
    return int(size)
