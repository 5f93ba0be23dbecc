"""The ledger from Trio."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

import structlog
import trio

from radics_mesh.errors import CapacityError
from radics_mesh.sources.ledger import Cursor, Ledger, Published

log = structlog.get_logger(__name__)

# What a full disk does not take is tried again after this.
FULL_WAIT_S = 1.0
Result = TypeVar("Result")


class Scribe:
    """One caller at a time, each in a worker thread: an fsync takes milliseconds.

    On a full disk what a user asks for is a CapacityError, and what a source needs waits. What is
    asked for after `close` waits until it is cancelled: it was not written, so nobody may be told.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._turn = trio.Lock()
        # Held while a thread writes; `_turn` also while one waits for room.
        self._pen = trio.Lock()
        self._closed = False
        # For room on the disk.
        self.is_waiting = False

    async def next_attachment(self, above: int = 0) -> int:
        async with self._turn:
            return await self._once_there_is_room(lambda: self.ledger.next_attachment(above))

    async def keep_publication(self, published: Published) -> None:
        async with self._turn:
            await self._now(lambda: self.ledger.keep_publication(published))

    async def drop_publication(self, name: str) -> None:
        async with self._turn:
            await self._now(lambda: self.ledger.drop_publication(name))

    async def keep(self, source: str, head: int, cursors: list[Cursor]) -> None:
        async with self._turn:
            await self._once_there_is_room(lambda: self.ledger.keep(source, head, cursors))

    async def _once_there_is_room(self, write: Callable[[], Result]) -> Result:
        while True:
            try:
                result = await self._write(write)
            except sqlite3.OperationalError as error:
                if not self.is_waiting:
                    log.error("the sources' ledger cannot be written", reason=str(error))
                self.is_waiting = True
                await trio.sleep(FULL_WAIT_S)
            else:
                self.is_waiting = False
                return result

    async def _now(self, write: Callable[[], None]) -> None:
        try:
            await self._write(write)
        except sqlite3.OperationalError as error:
            raise CapacityError(f"the sources' ledger cannot be written: {error}") from error

    async def _write(self, write: Callable[[], Result]) -> Result:
        async with self._pen:
            if not self._closed:
                return await trio.to_thread.run_sync(write)
        return await trio.sleep_forever()

    async def close(self) -> None:
        """Close the ledger, once no thread writes to it: SQLite crashes when that goes on."""
        with trio.CancelScope(shield=True):
            async with self._pen:
                self._closed = True
                self.ledger.close()
