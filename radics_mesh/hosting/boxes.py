"""What waits for the VMs of this node: messages in boxes, numbered as their guests number them.

A box is a stream of the guest's. 0 is the mailbox; each service that the program serves has one of
its own, so that no stream stands in another's way; so have replies and standard input. A message
goes by its address: a reply's to the replies, a served service's to that service, else to the
mailbox. It is numbered once, when it is filed, and stays until the program has taken it and a
durable checkpoint covers that (`kept`).

The guest's memory is the truth about which boxes there are and how far each was taken (`align`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from radics_mesh.hosting import copies, kept
from radics_mesh.hosting.copies import Copies, Copy
from radics_mesh.hosting.kept import LETTER, ROW_BYTES
from radics_mesh.hosting.papers import KEY_BYTES, WINDOW_KEYS, Box, Mail, Mailbox
from radics_mesh.ids import VmId
from radics_mesh.vmm import abi
from radics_mesh.vmm.frames import StreamState
from radics_mesh.vmm.outputs import REPLY_PREFIX

MAILBOX = 0
# How many bundles back a repeated one is recognised here; what travels is less.
_REMEMBERED_KEYS = 16 * WINDOW_KEYS
BOX_TABLES = ("letter", "box", "seen", *kept.KEPT_TABLES)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS letter(
  vm_id BLOB, stream INTEGER, number INTEGER, key BLOB, sender TEXT, service TEXT, payload BLOB,
  ending INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (vm_id, stream, number));
CREATE TABLE IF NOT EXISTS box(
  vm_id BLOB, stream INTEGER, service TEXT, next_mail INTEGER NOT NULL,
  PRIMARY KEY (vm_id, stream));
CREATE TABLE IF NOT EXISTS seen(
  place INTEGER PRIMARY KEY AUTOINCREMENT, vm_id BLOB, key BLOB, UNIQUE (vm_id, key));
"""


class Boxes(Copies):
    """The mailbox's next number is in the VM's own row, that of every other box in `box`."""

    def __init__(self, path: Path, schema: str) -> None:
        super().__init__(path, schema + _SCHEMA + kept.SCHEMA)
        # Bytes of what was taken and is not covered, by VM: asked for often, and slow to count.
        self._kept_bytes: dict[bytes, int] = {}
        with self._transaction() as db:
            _take_over(db)

    # --- filing ---

    def stream_of(self, vm_id: VmId, service: str) -> int:
        """The stream that a message to a service of the VM is for."""
        if service.startswith(REPLY_PREFIX):
            return abi.STREAM_REPLIES
        with self._lock:
            found = self._db.execute(
                "SELECT stream FROM box WHERE vm_id=? AND service=? AND stream<?",
                (bytes(vm_id), service, abi.STREAM_TIMERS),
            ).fetchone()
        return int(found[0]) if found and service else MAILBOX

    def post(
        self, vm_id: VmId, key: bytes, sender: str, service: str, payload: bytes, copy_of: int = 0
    ) -> bool:
        """Number a message and keep it; False when it was kept before. `copy_of`: an epoch, in
        which it is to be copied for keepers."""
        stream, vm = self.stream_of(vm_id, service), bytes(vm_id)
        mail = Mail(0, key, sender, service, payload, stream)
        with self._transaction() as db:
            if stream != MAILBOX or not kept.waits_aside(db, vm, service):
                new = _file(db, vm, mail)
            elif new := _is_new(db, vm, mail):
                kept.put_aside(db, vm, service, key, sender, payload)
            if new and copy_of:
                copies.add(db, vm, Copy(copy_of, 0, key, sender, service, payload))
            return new

    def feed(self, vm_id: VmId, data: bytes, *, end: bool) -> None:
        """More for standard input, or its end (without data)."""
        mail = Mail(0, bytes(KEY_BYTES), "", "", data, abi.STREAM_STDIN, end)
        with self._transaction() as db:
            _file(db, bytes(vm_id), mail)

    def has_stdin_ended(self, vm_id: VmId) -> bool:
        """Whether the end of standard input was ever filed."""
        with self._lock:
            found = self._db.execute(
                "SELECT service FROM box WHERE vm_id=? AND stream=?",
                (bytes(vm_id), abi.STREAM_STDIN),
            ).fetchone()
        return found is not None and found[0] == _ENDED

    # --- boxes ---

    def boxes(self, vm_id: VmId) -> list[Box]:
        """All but the mailbox."""
        with self._lock:
            found = self._db.execute(
                "SELECT stream, service, next_mail FROM box WHERE vm_id=? ORDER BY stream",
                (bytes(vm_id),),
            ).fetchall()
        return [Box(*row) for row in found]

    def serve(self, vm_id: VmId, stream: int, service: str) -> None:
        """The program serves this; a no-op when that is known. It gets what waited aside."""
        vm = bytes(vm_id)
        with self._transaction() as db:
            _open_box(db, vm, stream, service, 1)
            for row in kept.take_aside(db, vm, service):
                _put_letter(db, vm, stream, *row)

    def close_box(self, vm_id: VmId, stream: int) -> None:
        """The program serves it no more; what waited for it is gone, unless it is set back."""
        vm = bytes(vm_id)
        with self._transaction() as db:
            size = kept.keep(db, vm, stream)
            db.execute("DELETE FROM box WHERE vm_id=? AND stream=?", (vm, stream))
        self._keeps(vm, size)

    # --- what waits ---

    def mail(
        self, vm_id: VmId, after: int, limit: int = 64, *, stream: int = MAILBOX
    ) -> list[Mail]:
        """Messages of one box with numbers above `after`, in order."""
        with self._lock:
            found = self._db.execute(
                f"SELECT {LETTER} FROM letter WHERE vm_id=? AND stream=? AND number>?"
                " ORDER BY number LIMIT ?",
                (bytes(vm_id), stream, after, limit),
            ).fetchall()
        return [_mail(row) for row in found]

    def all_mail(self, vm_id: VmId) -> list[Mail]:
        with self._lock:
            found = self._db.execute(
                f"SELECT {LETTER} FROM letter WHERE vm_id=? ORDER BY stream, number",
                (bytes(vm_id),),
            ).fetchall()
        return [_mail(row) for row in found]

    def mail_bytes(self, vm_id: VmId, stream: int = MAILBOX) -> int:
        with self._lock:
            [(size,)] = self._db.execute(
                f"SELECT COALESCE(SUM(LENGTH(payload) + {ROW_BYTES}), 0) FROM letter"
                " WHERE vm_id=? AND stream=?",
                (bytes(vm_id), stream),
            ).fetchall()
            aside = kept.aside_bytes(self._db, bytes(vm_id)) if stream == MAILBOX else 0
        return int(size) + aside

    def all_mail_bytes(self, vm_id: VmId) -> int:
        """All that waits for a VM here, or is kept until a checkpoint covers it, here or at a
        keeper."""
        total = 0
        with self._lock:
            for table in ("letter", "kept", "copy"):
                [(size,)] = self._db.execute(
                    f"SELECT COALESCE(SUM(LENGTH(payload) + {ROW_BYTES}), 0) FROM {table}"
                    " WHERE vm_id=?",
                    (bytes(vm_id),),
                ).fetchall()
                total += int(size)
        return total

    def window(self, vm_id: VmId) -> tuple[bytes, ...]:
        """Keys of the last messages that came, oldest first."""
        with self._lock:
            seen = self._db.execute(
                "SELECT key FROM seen WHERE vm_id=? ORDER BY place DESC LIMIT ?",
                (bytes(vm_id), WINDOW_KEYS),
            ).fetchall()
        return tuple(key for (key,) in reversed(seen))

    # --- what the guest says ---

    def taken(self, vm_id: VmId, done: int, stream: int = MAILBOX) -> None:
        """The program has taken the messages of a box up to `done`."""
        vm = bytes(vm_id)
        with self._transaction() as db:
            size = kept.keep(db, vm, stream, done)
        self._keeps(vm, size)

    # --- what checkpoints cover ---

    def kept_bytes(self, vm_id: VmId) -> int:
        """What the guest has taken and no durable checkpoint covers."""
        vm = bytes(vm_id)
        with self._lock:
            if vm not in self._kept_bytes:
                self._kept_bytes[vm] = kept.kept_bytes(self._db, vm)
            return self._kept_bytes[vm]

    def _keeps(self, vm: bytes, more_bytes: int) -> None:
        if vm in self._kept_bytes:
            self._kept_bytes[vm] += more_bytes

    def settle(self, vm_id: VmId) -> None:
        """The VM may leave: what waits aside goes along as mail."""
        vm = bytes(vm_id)
        with self._transaction() as db:
            for row in kept.take_aside(db, vm, None):
                _put_letter(db, vm, MAILBOX, *row)

    def align(self, vm_id: VmId, told: Iterable[StreamState]) -> None:
        """Let the boxes be the guest's, and their numbering go on from what it has.

        Nothing changes unless the guest was set back to an earlier state of which not everything
        was kept: the rest moves up to close the gap, and what was filed to a service that it does
        not serve is mail again.
        """
        vm, guests = bytes(vm_id), {state.stream: state for state in told}
        self._kept_bytes.pop(vm, None)
        with self._transaction() as db:
            for stream, service in db.execute(
                "SELECT stream, service FROM box WHERE vm_id=?", (vm,)
            ).fetchall():
                known = guests.get(stream)
                is_service = stream < abi.STREAM_TIMERS
                gone = known is None and stream != abi.STREAM_STDIN
                if gone or (known and is_service and known.source != service):
                    _turn_into_mail(db, vm, stream)
            for state in guests.values():
                if state.stream != MAILBOX:
                    _open_box(db, vm, state.stream, state.source, state.have + 1)
                _renumber(db, vm, state)


def put_mail(db: sqlite3.Connection, vm: bytes, box: Mailbox) -> None:
    """Everything that came with a VM."""
    for one in box.boxes:
        _open_box(db, vm, one.stream, one.service, one.next_mail)
    db.executemany(
        f"INSERT INTO letter(vm_id, {LETTER}) VALUES (?,?,?,?,?,?,?,?)",
        [(vm, m.stream, m.number, m.key, m.sender, m.service, m.payload, m.end) for m in box.mail],
    )
    db.executemany("INSERT INTO seen(vm_id, key) VALUES (?,?)", [(vm, key) for key in box.window])


def bring_back(db: sqlite3.Connection, vm: bytes, served: Iterable[Box]) -> None:
    """The guest is set back to when it had these boxes; what it took since comes again.

    Standard input stays: what was fed, and that it has ended.
    """
    then = [box for box in served if box.stream < abi.STREAM_TIMERS]
    last = kept.bring_back(db, vm, then)
    db.execute("DELETE FROM box WHERE vm_id=? AND stream<?", (vm, abi.STREAM_TIMERS))
    for box in then:
        _open_box(db, vm, box.stream, box.service, box.next_mail)
    for stream, number in last.items():
        after = (number + 1, vm)
        if stream == MAILBOX:
            db.execute("UPDATE vm SET next_mail=MAX(next_mail, ?) WHERE vm_id=?", after)
        else:
            db.execute(
                "UPDATE box SET next_mail=MAX(next_mail, ?) WHERE vm_id=? AND stream=?",
                (*after, stream),
            )


# The name of standard input's box, once nothing more may be fed.
_ENDED = "ended"


def _take_over(db: sqlite3.Connection) -> None:
    """The mailboxes of a node of version 0.1."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name='mail'").fetchone():
        db.execute(
            "INSERT OR IGNORE INTO letter SELECT vm_id, 0, number, key, sender, service, payload, 0"
            " FROM mail"
        )
        db.execute("DROP TABLE mail")


def _mail(row: tuple[int, int, bytes, str, str, bytes, int]) -> Mail:
    stream, number, key, sender, service, payload, ending = row
    return Mail(number, key, sender, service, payload, stream, bool(ending))


def _open_box(db: sqlite3.Connection, vm: bytes, stream: int, service: str, first: int) -> None:
    db.execute("INSERT OR IGNORE INTO box VALUES (?,?,?,?)", (vm, stream, service, first))


def _next_number(db: sqlite3.Connection, vm: bytes, stream: int) -> int:
    if stream == MAILBOX:
        number = db.execute("SELECT next_mail FROM vm WHERE vm_id=?", (vm,)).fetchone()
        db.execute("UPDATE vm SET next_mail = next_mail + 1 WHERE vm_id=?", (vm,))
        return int(number[0]) if number else 1
    _open_box(db, vm, stream, "", 1)
    of = (vm, stream)
    number = db.execute("SELECT next_mail FROM box WHERE vm_id=? AND stream=?", of).fetchone()
    db.execute("UPDATE box SET next_mail = next_mail + 1 WHERE vm_id=? AND stream=?", of)
    return int(number[0])


def _is_new(db: sqlite3.Connection, vm: bytes, mail: Mail) -> bool:
    """Whether a message did not come before. Replies the guest tells apart by itself, and what is
    fed to standard input comes from this very node."""
    if mail.stream in (abi.STREAM_REPLIES, abi.STREAM_STDIN):
        return True
    if db.execute("SELECT 1 FROM seen WHERE vm_id=? AND key=?", (vm, mail.key)).fetchone():
        return False
    db.execute("INSERT INTO seen(vm_id, key) VALUES (?,?)", (vm, mail.key))
    db.execute(
        "DELETE FROM seen WHERE vm_id=? AND place <= (SELECT place FROM seen"
        " WHERE vm_id=? ORDER BY place DESC LIMIT 1 OFFSET ?)",
        (vm, vm, _REMEMBERED_KEYS),
    )
    return True


def _file(db: sqlite3.Connection, vm: bytes, mail: Mail) -> bool:
    if not _is_new(db, vm, mail):
        return False
    _put_letter(
        db, vm, mail.stream, mail.key, mail.sender, mail.service, mail.payload, end=mail.end
    )
    if mail.end:
        db.execute("UPDATE box SET service=? WHERE vm_id=? AND stream=?", (_ENDED, vm, mail.stream))
    return True


def _put_letter(
    db: sqlite3.Connection,
    vm: bytes,
    stream: int,
    key: bytes,
    sender: str,
    service: str,
    payload: bytes,
    *,
    end: bool = False,
) -> None:
    """Under the stream's next number."""
    number = _next_number(db, vm, stream)
    db.execute(
        f"INSERT INTO letter(vm_id, {LETTER}) VALUES (?,?,?,?,?,?,?,?)",
        (vm, stream, number, key, sender, service, payload, end),
    )


def _turn_into_mail(db: sqlite3.Connection, vm: bytes, stream: int) -> None:
    numbers = db.execute(
        "SELECT number FROM letter WHERE vm_id=? AND stream=? ORDER BY number", (vm, stream)
    ).fetchall()
    for (number,) in numbers:
        db.execute(
            "UPDATE letter SET stream=?, number=? WHERE vm_id=? AND stream=? AND number=?",
            (MAILBOX, _next_number(db, vm, MAILBOX), vm, stream, number),
        )
    db.execute("DELETE FROM box WHERE vm_id=? AND stream=?", (vm, stream))


def _renumber(db: sqlite3.Connection, vm: bytes, told: StreamState) -> None:
    stream = told.stream
    kept.keep(db, vm, stream, told.done)
    rest = [
        number
        for (number,) in db.execute(
            "SELECT number FROM letter WHERE vm_id=? AND stream=? AND number>? ORDER BY number",
            (vm, stream, told.have),
        ).fetchall()
    ]
    for place, number in enumerate(rest, start=told.have + 1):
        db.execute(
            "UPDATE letter SET number=? WHERE vm_id=? AND stream=? AND number=?",
            (place, vm, stream, number),
        )
    following = told.have + 1 + len(rest)
    if stream == abi.STREAM_STDIN and _lost_its_end(db, vm, following):
        db.execute("UPDATE box SET next_mail=? WHERE vm_id=? AND stream=?", (following, vm, stream))
        _file(db, vm, Mail(0, bytes(KEY_BYTES), "", "", b"", stream, True))
    elif stream == MAILBOX:
        db.execute("UPDATE vm SET next_mail=? WHERE vm_id=?", (following, vm))
    else:
        db.execute("UPDATE box SET next_mail=? WHERE vm_id=? AND stream=?", (following, vm, stream))


def _lost_its_end(db: sqlite3.Connection, vm: bytes, following: int) -> bool:
    """Whether the end of standard input was taken by a guest that was then set back: it would wait
    for ever."""
    service, following_before = db.execute(
        "SELECT service, next_mail FROM box WHERE vm_id=? AND stream=?", (vm, abi.STREAM_STDIN)
    ).fetchone()
    left = db.execute(
        "SELECT 1 FROM letter WHERE vm_id=? AND stream=? AND ending", (vm, abi.STREAM_STDIN)
    ).fetchone()
    return service == _ENDED and following < following_before and left is None
