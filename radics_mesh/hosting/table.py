"""What this node must not forget about its VMs, in SQLite; their mail is in `boxes` and `kept`,
what they said and was not sent in `outbox`.

Every method is one transaction, durable when it returns; OSError: nothing of it counts. The hot
one, `outputs`, is called from a worker thread.
"""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from radics_mesh.codec import Fields, pack
from radics_mesh.hosting import copies, kept, outbox
from radics_mesh.hosting.boxes import BOX_TABLES, Boxes, bring_back, put_mail
from radics_mesh.hosting.outbox import Outbound
from radics_mesh.hosting.papers import Mailbox, Settings, Subscription
from radics_mesh.ids import NodeId, VmId
from radics_mesh.vmm.handoff_state import Tenure

JOURNAL_ROWS = 500

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vm(
  vm_id BLOB PRIMARY KEY, name TEXT NOT NULL, wanted TEXT NOT NULL, tenure BLOB NOT NULL,
  settings BLOB NOT NULL, output INTEGER NOT NULL, log_bytes INTEGER NOT NULL,
  next_mail INTEGER NOT NULL, clean INTEGER NOT NULL, parking INTEGER NOT NULL,
  ending BLOB NOT NULL, note TEXT NOT NULL, arrived REAL NOT NULL);
CREATE TABLE IF NOT EXISTS subscription(
  vm_id BLOB, source TEXT, publisher BLOB, ending INTEGER, PRIMARY KEY (vm_id, source));
CREATE TABLE IF NOT EXISTS journal(
  number INTEGER PRIMARY KEY AUTOINCREMENT, time REAL, level TEXT, text TEXT);
"""
_COLUMNS = (
    "vm_id, name, wanted, tenure, settings, output, log_bytes, next_mail, clean, parking, "
    "ending, note, arrived"
)
_COUNTED = frozenset({"output", "log_bytes", "next_mail"})


class Wanted(enum.StrEnum):
    """What is to become of a VM that this node holds, or what became of it."""

    RUNNING = "running"
    SAVED = "saved"
    STOPPED = "stopped"
    EXITED = "exited"
    FAILED = "failed"
    MOVED = "moved"  # not held here any more; the tenure points to who has it


ENDED = frozenset({Wanted.STOPPED, Wanted.EXITED, Wanted.FAILED})


@dataclass(frozen=True)
class Ending:
    """How a program ended (as radics_mesh.vmm.outputs.Exit)."""

    how: int
    status: int
    why: str

    @property
    def code(self) -> int:
        """As a shell has it: the exit status, or 128 and the signal."""
        return self.status if self.how == 0 else 128 + self.status

    def pack(self) -> bytes:
        return pack([self.how, self.status, self.why[:500]])


@dataclass(frozen=True)
class VmRow:
    """`clean`: the snapshot is the very latest state, no guest has executed since. `parking`: a
    park was begun; the guest may be parked. `log_bytes`: the part of the log that counts."""

    vm_id: VmId
    name: str
    wanted: Wanted
    tenure: Tenure
    settings: Settings
    output: int = 0
    log_bytes: int = 0
    next_mail: int = 1
    clean: bool = False
    parking: bool = False
    ending: Ending | None = None
    note: str = ""
    # Unix time of the start or arrival here.
    arrived: float = 0.0

    def columns(self) -> tuple[object, ...]:
        return (
            bytes(self.vm_id),
            self.name,
            self.wanted.value,
            self.tenure.pack(),
            self.settings.pack(),
            self.output,
            self.log_bytes,
            self.next_mail,
            self.clean,
            self.parking,
            self.ending.pack() if self.ending else b"",
            self.note,
            self.arrived,
        )

    @classmethod
    def of(cls, row: tuple[object, ...]) -> VmRow:
        """Our own bytes, so a WireError here means a damaged database."""
        fields = Fields(row, "vm row")
        return cls(
            vm_id=VmId(fields.blob(20)),
            name=fields.text(),
            wanted=Wanted(fields.text()),
            tenure=Tenure.parse(fields.blob()),
            settings=Settings.parse(fields.blob()),
            output=fields.integer(),
            log_bytes=fields.integer(),
            next_mail=fields.integer(),
            clean=bool(fields.integer()),
            parking=bool(fields.integer()),
            ending=_ending(fields.blob()),
            note=fields.text(limit=2000),
            arrived=fields.number(),
        )


def _ending(raw: bytes) -> Ending | None:
    if not raw:
        return None
    fields = Fields.parse(raw, "ending")
    return Ending(fields.integer(), fields.integer(), fields.text(limit=2000))


@dataclass(frozen=True)
class JournalRow:
    number: int
    time: float
    level: str
    text: str


class Table(Boxes):
    """See the module."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA + outbox.SCHEMA)

    # --- VMs ---

    def rows(self) -> list[VmRow]:
        with self._lock:
            found = self._db.execute(f"SELECT {_COLUMNS} FROM vm ORDER BY arrived").fetchall()
        return [VmRow.of(row) for row in found]

    def row(self, vm_id: VmId) -> VmRow | None:
        with self._lock:
            found = self._db.execute(
                f"SELECT {_COLUMNS} FROM vm WHERE vm_id=?", (bytes(vm_id),)
            ).fetchone()
        return VmRow.of(found) if found else None

    def reached(self, vm_id: VmId) -> tuple[int, int]:
        """Its last output that is durable, and the part of its log that counts."""
        query = "SELECT output, log_bytes FROM vm WHERE vm_id=?"
        with self._lock:
            output, log_bytes = self._db.execute(query, (bytes(vm_id),)).fetchone() or (0, 0)
        return int(output), int(log_bytes)

    def keep(self, row: VmRow) -> None:
        """Insert a VM's row, or renew it but for what only guests move on (`_COUNTED`), an exit
        among that: whoever writes a row may not have heard of it yet."""
        vm = (bytes(row.vm_id), Wanted.EXITED.value)
        with self._transaction() as db:
            ended = db.execute("SELECT 1 FROM vm WHERE vm_id=? AND wanted=?", vm).fetchone()
            _put_row(db, row, but=_COUNTED | {"wanted", "ending"} if ended else _COUNTED)

    def set_back(self, row: VmRow, then: Mailbox) -> None:
        """Renew a row whole: the guest starts again from an earlier state, counters and all, and
        gets again what it took since `then`."""
        vm = bytes(row.vm_id)
        self._kept_bytes.pop(vm, None)
        with self._transaction() as db:
            _put_row(db, row)
            bring_back(db, vm, then.boxes)
            outbox.set_back(db, vm, then.output)
            db.execute("DELETE FROM subscription WHERE vm_id=?", (vm,))
            for subscription in then.subscriptions:
                _put_subscription(db, row.vm_id, subscription)

    def begin_anew(self, row: VmRow) -> None:
        """Renew a row whole: the guest has ended, and another one starts. What it said may be sent,
        what it took is done with; the rest of its mail is the next one's."""
        vm = bytes(row.vm_id)
        self._kept_bytes.pop(vm, None)
        with self._transaction() as db:
            _put_row(db, row)
            outbox.cover(db, vm)
            db.execute("DELETE FROM kept WHERE vm_id=?", (vm,))
            bring_back(db, vm, ())
            db.execute("DELETE FROM subscription WHERE vm_id=?", (vm,))

    def receive(self, row: VmRow, box: Mailbox) -> None:
        """A VM is here from now on, with its mailbox; whatever was known of it is replaced."""
        with self._transaction() as db:
            _clear(db, row.vm_id)
            _put_row(db, row)
            vm = bytes(row.vm_id)
            put_mail(db, vm, box)
            outbox.hold(db, vm, box.outbound, covered=True)
            for subscription in box.subscriptions:
                _put_subscription(db, row.vm_id, subscription)

    def give_up(self, row: VmRow, *, released: bool) -> None:
        """The VM is another node's: its row stays as a pointer, its mailbox does not; nor do copies
        of that, if it was `released` with all that came for it."""
        with self._transaction() as db:
            _clear(db, row.vm_id)
            _put_row(db, row)
            if released:
                copies.drop(db, bytes(row.vm_id))

    def remove(self, vm_id: VmId) -> None:
        with self._transaction() as db:
            _clear(db, vm_id)
            copies.drop(db, bytes(vm_id))

    def tenure(self, tenure: Tenure) -> None:
        with self._transaction() as db:
            db.execute("UPDATE vm SET tenure=? WHERE vm_id=?", (tenure.pack(), bytes(tenure.vm_id)))

    def outputs(
        self,
        vm_id: VmId,
        output: int,
        log_bytes: int,
        ending: Ending | None = None,
        held: Sequence[Outbound] = (),
    ) -> None:
        """Outputs up to this one have had their effect, durably, or are `held`; `ending`: it was
        the last, and nothing is held any more."""
        with self._transaction() as db:
            outbox.hold(db, bytes(vm_id), held)
            db.execute(
                "UPDATE vm SET output=?, log_bytes=? WHERE vm_id=?",
                (output, log_bytes, bytes(vm_id)),
            )
            if ending is not None:
                db.execute(
                    "UPDATE vm SET ending=?, wanted=? WHERE vm_id=?",
                    (ending.pack(), Wanted.EXITED.value, bytes(vm_id)),
                )
                outbox.cover(db, bytes(vm_id))

    # --- what checkpoints cover ---

    def last_kept(self, vm_id: VmId) -> int:
        """For `cover`, of a guest that stands still."""
        with self._lock:
            return kept.last_kept(self._db, bytes(vm_id))

    def cover(self, vm_id: VmId, place: int, output: int) -> None:
        """A durable checkpoint holds what came of mail kept up to `place`, and was said up to
        `output`."""
        self._kept_bytes.pop(bytes(vm_id), None)
        with self._transaction() as db:
            kept.cover(db, bytes(vm_id), place)
            outbox.cover(db, bytes(vm_id), output)

    def let_go(self, vm_id: VmId) -> None:
        """The guest has ended for good: what it said may be sent."""
        with self._transaction() as db:
            outbox.cover(db, bytes(vm_id))

    def held_bytes(self, vm_id: VmId) -> int:
        with self._lock:
            return outbox.held_bytes(self._db, bytes(vm_id))

    def to_send(self, vm_id: VmId, limit: int) -> list[Outbound]:
        """What is covered and was not sent yet."""
        with self._lock:
            return outbox.messages(self._db, bytes(vm_id), covered=True, limit=limit)

    def sent(self, vm_id: VmId, messages: Sequence[Outbound]) -> None:
        with self._transaction() as db:
            outbox.sent(db, bytes(vm_id), messages)

    # --- what travels ---

    def mailbox(self, vm_id: VmId) -> Mailbox:
        """All of it, as it travels."""
        with self._lock:
            outbound = outbox.messages(self._db, bytes(vm_id))
            [(output, next_mail)] = self._db.execute(
                "SELECT output, next_mail FROM vm WHERE vm_id=?", (bytes(vm_id),)
            ).fetchall()
            filed = copies.filed(self._db)
        return Mailbox(
            output=output,
            next_mail=next_mail,
            mail=tuple(self.all_mail(vm_id)),
            window=self.window(vm_id),
            subscriptions=tuple(self.subscriptions(vm_id).values()),
            boxes=tuple(self.boxes(vm_id)),
            outbound=tuple(outbound),
            filed=filed,
        )

    # --- subscriptions ---

    def subscriptions(self, vm_id: VmId) -> dict[str, Subscription]:
        with self._lock:
            found = self._db.execute(
                "SELECT source, publisher, ending FROM subscription WHERE vm_id=?",
                (bytes(vm_id),),
            ).fetchall()
        return {
            source: Subscription(source, NodeId(publisher) if publisher else None, end)
            for source, publisher, end in found
        }

    def subscribe(self, vm_id: VmId, subscription: Subscription) -> None:
        with self._transaction() as db:
            _put_subscription(db, vm_id, subscription)

    def unsubscribe(self, vm_id: VmId, source: str) -> None:
        vm = (bytes(vm_id), source)
        with self._transaction() as db:
            db.execute("DELETE FROM subscription WHERE vm_id=? AND source=?", vm)

    # --- journal ---

    def note(self, lines: Sequence[tuple[float, str, str]]) -> None:
        """Each a time, a level, a text."""
        if not lines:
            return
        with self._transaction() as db:
            db.executemany("INSERT INTO journal(time, level, text) VALUES (?,?,?)", lines)
            [(number,)] = db.execute("SELECT MAX(number) FROM journal").fetchall()
            db.execute("DELETE FROM journal WHERE number<=?", (number - JOURNAL_ROWS,))

    def next_note(self) -> int:
        """The number of the next line."""
        with self._lock:
            row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name='journal'")
            return int((row.fetchone() or (0,))[0]) + 1

    def journal(self, after: int = 0) -> list[JournalRow]:
        """Lines with numbers above `after`."""
        with self._lock:
            found = self._db.execute(
                "SELECT number, time, level, text FROM journal WHERE number>? ORDER BY number",
                (after,),
            ).fetchall()
        return [JournalRow(*row) for row in found]


def _put_row(db: sqlite3.Connection, row: VmRow, but: frozenset[str] = frozenset()) -> None:
    places = ",".join("?" * len(row.columns()))
    renewed = ", ".join(
        f"{name}=excluded.{name}" for name in _COLUMNS.split(", ")[1:] if name not in but
    )
    db.execute(
        f"INSERT INTO vm({_COLUMNS}) VALUES ({places}) ON CONFLICT(vm_id) DO UPDATE SET {renewed}",
        row.columns(),
    )


def _put_subscription(db: sqlite3.Connection, vm_id: VmId, subscription: Subscription) -> None:
    publisher = bytes(subscription.publisher) if subscription.publisher else None
    db.execute(
        "INSERT OR REPLACE INTO subscription VALUES (?,?,?,?)",
        (bytes(vm_id), subscription.source, publisher, subscription.end),
    )


def _clear(db: sqlite3.Connection, vm_id: VmId) -> None:
    for table in ("vm", *BOX_TABLES, "outbound", "subscription"):
        db.execute(f"DELETE FROM {table} WHERE vm_id=?", (bytes(vm_id),))
