"""The real mailbox of a VM, called once for each distinct (mailbox, input).

One table in memory serves for all: a mailbox is put in as when a VM arrives, has one thing done to
it, and is taken out as when it leaves, through its wire form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from radics_mesh.hosting.papers import Mailbox, Papers, Settings, mail_key
from radics_mesh.hosting.table import Table, VmRow, Wanted
from radics_mesh.ids import VmId
from radics_mesh.vmm.frames import StreamState
from radics_mesh.vmm.handoff_state import Tenure
from tests.exploration.world import Interned

_VM = VmId(bytes(20))
_MAILBOX = 0


class Mailroom:
    """`table` is the code under test. Mailboxes are numbers of interned ones."""

    def __init__(self, table: type[Table]) -> None:
        self._table = table(Path(":memory:"))
        self._steps: dict[tuple[int, str, int], int] = {}
        self.mailboxes: Interned[Mailbox] = Interned()
        self.empty = self.mailboxes.number(Mailbox())

    def post(self, mailbox: int, message: int) -> int:
        """A bundle from outside is filed, or was before."""
        key = mail_key(f"bundle {message}")
        return self._step(
            mailbox, "post", message, lambda: self._table.post(_VM, key, "", "", b"%d" % message)
        )

    def taken(self, mailbox: int, done: int) -> int:
        return self._step(mailbox, "taken", done, lambda: self._table.taken(_VM, done))

    def align(self, mailbox: int, done: int) -> int:
        """A guest says how far it got."""
        told = [StreamState(_MAILBOX, done, done)]
        return self._step(mailbox, "align", done, lambda: self._table.align(_VM, told))

    def outputs(self, mailbox: int, number: int) -> int:
        return self._step(mailbox, "outputs", number, lambda: self._table.outputs(_VM, number, 0))

    def travel(self, mailbox: int) -> int:
        """What the target makes of it."""
        return self._step(mailbox, "travel", 0, lambda: None)

    def next_mail(self, mailbox: int, done: int) -> int | None:
        """The message that a guest which has taken `done` gets next. It takes them in order."""
        ahead = [m for m in self.mailboxes.values[mailbox].mail if m.number > done]
        return int(ahead[0].payload) if ahead and ahead[0].number == done + 1 else None

    def output(self, mailbox: int) -> int:
        return self.mailboxes.values[mailbox].output

    def _step(self, mailbox: int, kind: str, argument: int, act: Callable[[], object]) -> int:
        known = self._steps.get((mailbox, kind, argument))
        if known is None:
            self._put(self.mailboxes.values[mailbox])
            act()
            # What a mutant forgets to take along is still here until then.
            taking = type(self._table) if kind == "travel" else Table
            packed = Papers(Settings(1), taking.mailbox(self._table, _VM)).pack()
            known = self.mailboxes.number(Papers.parse(packed).mailbox)
            self._steps[mailbox, kind, argument] = known
        return known

    def _put(self, mailbox: Mailbox) -> None:
        row = VmRow(_VM, "vm", Wanted.RUNNING, Tenure(_VM), Settings(1))
        counted = replace(row, output=mailbox.output, next_mail=mailbox.next_mail)
        self._table.receive(counted, mailbox)
