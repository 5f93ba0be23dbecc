"""The real mailbox of a VM, called once for each distinct (mailbox, input).

One table in memory serves for all: a mailbox is put in, row by row, has one thing done to it, and
is taken out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from radics_mesh.hosting.outbox import Outbound
from radics_mesh.hosting.papers import Mailbox, Papers, Settings, mail_key
from radics_mesh.hosting.table import Table, VmRow, Wanted
from radics_mesh.ids import VmId
from radics_mesh.vmm.frames import StreamState
from radics_mesh.vmm.handoff_state import Tenure
from tests.exploration.world import Interned

_VM = VmId(bytes(20))
_ROW = VmRow(_VM, "vm", Wanted.RUNNING, Tenure(_VM), Settings(1))
_MAILBOX = 0
# What a mailbox consists of, and in which order; numbers that only order the rows are left out.
_LETTER = "stream, number, key, sender, service, payload, ending"
_TABLES = (
    ("letter", _LETTER, "stream, number"),
    ("kept", _LETTER, "place"),
    ("box", "stream, service, next_mail", "stream"),
    ("seen", "key", "place"),
    ("aside", "service, key, sender, payload", "place"),
    ("outbound", "created, number, source, destination, payload, lifetime_s, covered", "number"),
)

Rows = tuple[tuple[object, ...], ...]


class Kept(NamedTuple):
    """All that a node has on disk of a VM's mail; `tables` in the order of _TABLES."""

    output: int
    next_mail: int
    tables: tuple[Rows, ...]


class Room(Table):
    """A table whose rows can be seen and put."""

    def put(self, kept: Kept) -> None:
        self.receive(replace(_ROW, output=kept.output, next_mail=kept.next_mail), Mailbox())
        with self._transaction() as db:
            db.execute("DELETE FROM sqlite_sequence")
            for (name, columns, _), rows in zip(_TABLES, kept.tables, strict=True):
                places = ",".join("?" * len(columns.split(",")))
                insert = f"INSERT INTO {name}(vm_id, {columns}) VALUES (?, {places})"
                db.executemany(insert, [(bytes(_VM), *row) for row in rows])

    def look(self) -> Kept:
        with self._lock:
            [(output, next_mail)] = self._db.execute("SELECT output, next_mail FROM vm").fetchall()
            tables = tuple(
                tuple(self._db.execute(f"SELECT {columns} FROM {name} ORDER BY {order}").fetchall())
                for name, columns, order in _TABLES
            )
        return Kept(output, next_mail, tables)


class Mailroom:
    """`room` is the code under test. Mailboxes are numbers of interned ones."""

    def __init__(self, room: type[Room]) -> None:
        self._room = room(Path(":memory:"))
        self._steps: dict[tuple[int, str, int], int] = {}
        self.mailboxes: Interned[Kept] = Interned()
        self.empty = self.mailboxes.number(Kept(0, 1, ((),) * len(_TABLES)))

    def post(self, mailbox: int, message: int) -> int:
        """A bundle from outside is filed, or was before."""
        key = mail_key(f"bundle {message}")
        return self._step(
            mailbox, "post", message, lambda: self._room.post(_VM, key, "", "", b"%d" % message)
        )

    def taken(self, mailbox: int, done: int) -> int:
        return self._step(mailbox, "taken", done, lambda: self._room.taken(_VM, done))

    def align(self, mailbox: int, done: int) -> int:
        """A guest says how far it got."""
        told = [StreamState(_MAILBOX, done, done)]
        return self._step(mailbox, "align", done, lambda: self._room.align(_VM, told))

    def outputs(self, mailbox: int, number: int, *, held: bool) -> int:
        messages = [Outbound(1, number, "", "", b"")] if held else []
        return self._step(
            mailbox,
            "outputs",
            number,
            lambda: self._room.outputs(_VM, number, 0, held=messages),
        )

    def cover(self, mailbox: int) -> int:
        """A checkpoint of the guest that stands still is durable."""
        output = self.mailboxes.values[mailbox].output
        return self._step(
            mailbox,
            "cover",
            0,
            lambda: self._room.cover(_VM, self._room.last_kept(_VM), output),
        )

    def to_send(self, mailbox: int) -> list[int]:
        """The numbers of the outputs that a checkpoint covers."""
        *_, outbound = self.mailboxes.values[mailbox].tables
        return [int(str(row[1])) for row in outbound if row[-1]]

    def held(self, mailbox: int) -> set[int]:
        """The numbers of all that is not sent."""
        *_, outbound = self.mailboxes.values[mailbox].tables
        return {int(str(row[1])) for row in outbound}

    def sent(self, mailbox: int) -> int:
        """All that a checkpoint covers."""

        def forget() -> None:
            self._room.sent(_VM, self._room.to_send(_VM, 64))

        return self._step(mailbox, "sent", 0, forget)

    def travel(self, mailbox: int) -> int:
        """What the target makes of it: it goes by its wire form."""

        def arrive() -> None:
            travels = Papers.parse(Papers(Settings(1), self._room.mailbox(_VM)).pack()).mailbox
            row = replace(_ROW, output=travels.output, next_mail=travels.next_mail)
            self._room.receive(row, travels)

        return self._step(mailbox, "travel", 0, arrive)

    def set_back(self, mailbox: int, then: int) -> int:
        """The guest starts from an earlier state, whose mailbox was `then`."""
        self._room.put(self.mailboxes.values[then])
        earlier = Papers.parse(Papers(Settings(1), self._room.mailbox(_VM)).pack()).mailbox
        row = replace(
            _ROW, output=earlier.output, next_mail=self.mailboxes.values[mailbox].next_mail
        )
        return self._step(mailbox, "set back", then, lambda: self._room.set_back(row, earlier))

    def next_mail(self, mailbox: int, done: int) -> int | None:
        """The message that a guest which has taken `done` gets next. It takes them in order."""
        for stream, number, _, _, _, payload, _ in self.mailboxes.values[mailbox].tables[0]:
            if (stream, number) == (_MAILBOX, done + 1):
                assert isinstance(payload, bytes)
                return int(payload)
        return None

    def output(self, mailbox: int) -> int:
        return self.mailboxes.values[mailbox].output

    def _step(self, mailbox: int, kind: str, argument: int, act: Callable[[], object]) -> int:
        known = self._steps.get((mailbox, kind, argument))
        if known is None:
            self._room.put(self.mailboxes.values[mailbox])
            act()
            known = self.mailboxes.number(self._room.look())
            self._steps[mailbox, kind, argument] = known
        return known
