"""What happened to the VMs of a node, for people: told at once, written soon.

A line of level info is written a moment later, with others, since who makes it is about to do what
somebody waits for, and a commit takes milliseconds of the one loop that serves all guests. A crash
may lose those of the last moment. Warnings and errors are on the medium when `note` returns, and
what was noted before them.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
import trio

from radics_mesh.clock import Wall
from radics_mesh.hosting.table import JournalRow, Table

log = structlog.get_logger(__name__)

SOON_S = 0.1


class Journal:
    """`run` it in a task of its own; `write` what is left at the end."""

    def __init__(self, table: Table, wall: Callable[[], Wall]) -> None:
        self._table = table
        self._wall = wall
        self._noted: list[tuple[float, str, str]] = []
        self._woken, self._grown = trio.Event(), trio.Event()

    def note(self, level: str, text: str) -> None:
        self._noted.append((self._wall(), level, text))
        if level != "info":
            self.write()
        getattr(log, level)("vm", text=text)
        self._woken.set()
        self._grown.set()
        self._grown = trio.Event()

    def rows(self, after: int = 0) -> list[JournalRow]:
        """Those with numbers above `after`, oldest first."""
        first = self._table.next_note()
        noted = [JournalRow(first + at, *line) for at, line in enumerate(self._noted)]
        return self._table.journal(after) + [row for row in noted if row.number > after]

    async def grown(self) -> None:
        await self._grown.wait()

    async def run(self) -> None:
        while True:
            await self._woken.wait()
            await trio.sleep(SOON_S)
            self._woken = trio.Event()
            self.write()

    def write(self) -> None:
        noted, self._noted = self._noted, []
        try:
            self._table.note(noted)
        except OSError as error:  # a full disk: the log has it, and the VMs come first
            log.warning("not in the journal", reason=str(error))
