"""How often this node was started, and what it has seen of others: durable, so that a state
directory put back from an old copy is found out.

Every start has a number and a random nonce. The last HISTORY starts go to each peer, which
remembers the latest that it has seen of a node. What was seen and is not in the history that the
node shows now was forgotten: its disk is an older one. A copy that was restarted until its number
is high enough shows other nonces. Beside that, the best ownership chain known of each VM is
remembered, for the node that has forgotten it.

What this cannot find out: a copy that meets none of those who saw more, and one that was made after
the last meeting.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from radics_mesh.hosting.database import Database
from radics_mesh.ids import NodeId, VmId
from radics_mesh.ownership import Ownership

HISTORY = 64
NONCE_BYTES = 8
_VMS_MAX = 4096
_NODES_MAX = 4096
_SCHEMA = """
CREATE TABLE IF NOT EXISTS own(number INTEGER PRIMARY KEY, nonce BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS seen(
  node BLOB PRIMARY KEY, number INTEGER NOT NULL, nonce BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS chain(
  place INTEGER PRIMARY KEY AUTOINCREMENT, vm_id BLOB UNIQUE, chain BLOB NOT NULL);
"""


@dataclass(frozen=True)
class Boot:
    """One start of a node."""

    number: int
    nonce: bytes


class Boots(Database):
    """Blocking; what it returns from is durable. OSError: nothing of it counts."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA)

    # --- this node ------------------------------------------------------------------------------

    def begin(self, forgotten: Boot | None = None) -> Boot:
        """A start, with a number above all before. `forgotten`: a start that a peer saw; from now
        on it is in the history, as that peer wants to see it there."""
        with self._transaction() as db:
            if forgotten is not None:
                values = (forgotten.number, forgotten.nonce)
                db.execute("INSERT OR REPLACE INTO own VALUES (?,?)", values)
            [(last,)] = db.execute("SELECT coalesce(max(number), 0) FROM own").fetchall()
            boot = Boot(last + 1, os.urandom(NONCE_BYTES))
            db.execute("INSERT INTO own VALUES (?,?)", (boot.number, boot.nonce))
            db.execute(
                "DELETE FROM own WHERE number NOT IN"
                " (SELECT number FROM own ORDER BY number DESC LIMIT ?)",
                (HISTORY,),
            )
        return boot

    def history(self) -> list[Boot]:
        """The latest first; empty before the first start."""
        with self._lock:
            rows = self._db.execute("SELECT number, nonce FROM own ORDER BY number DESC").fetchall()
        return [Boot(*row) for row in rows]

    # --- others ---------------------------------------------------------------------------------

    def witness(self, node: NodeId, history: list[Boot]) -> Boot:
        """What was seen of a node: its latest start, from now on, unless it has forgotten one that
        was seen before; then that."""
        latest, seen = history[0], self.seen(node)
        if seen is not None and has_forgotten(history, seen):
            return seen
        if latest != seen:
            with self._transaction() as db:
                values = (bytes(node), latest.number, latest.nonce)
                db.execute("INSERT OR REPLACE INTO seen VALUES (?,?,?)", values)
                db.execute(
                    "DELETE FROM seen WHERE rowid IN"
                    " (SELECT rowid FROM seen ORDER BY rowid DESC LIMIT -1 OFFSET ?)",
                    (_NODES_MAX,),
                )
        return latest

    def seen(self, node: NodeId) -> Boot | None:
        with self._lock:
            row = self._db.execute(
                "SELECT number, nonce FROM seen WHERE node=?", (bytes(node),)
            ).fetchone()
        return Boot(*row) if row else None

    # --- chains ---------------------------------------------------------------------------------

    def remember(self, chain: Ownership) -> None:
        """The best chain of each VM, the latest VMS_MAX of them."""
        known = self.chain(chain.vm_id)
        if known is not None and not chain.beats(known):
            return
        with self._transaction() as db:
            values = (bytes(chain.vm_id), chain.pack())
            db.execute("INSERT OR REPLACE INTO chain(vm_id, chain) VALUES (?,?)", values)
            db.execute(
                "DELETE FROM chain WHERE place IN"
                " (SELECT place FROM chain ORDER BY place DESC LIMIT -1 OFFSET ?)",
                (_VMS_MAX,),
            )

    def chain(self, vm_id: VmId) -> Ownership | None:
        with self._lock:
            row = self._db.execute(
                "SELECT chain FROM chain WHERE vm_id=?", (bytes(vm_id),)
            ).fetchone()
        return Ownership.parse(row[0]) if row else None

    def chains(self) -> list[Ownership]:
        with self._lock:
            rows = self._db.execute("SELECT chain FROM chain ORDER BY place").fetchall()
        return [Ownership.parse(chain) for (chain,) in rows]


def has_forgotten(history: Iterable[Boot], seen: Boot) -> bool:
    """Whether a node that shows this history was seen in a start that it does not know."""
    boots = {boot.number: boot.nonce for boot in history}
    if not boots or seen.number > max(boots):
        return True
    # Older than all that it shows: nothing can be said.
    return seen.number >= min(boots) and boots.get(seen.number) != seen.nonce
