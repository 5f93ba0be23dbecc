"""The ledger from Trio."""

from __future__ import annotations

import trio

from radics_mesh.sources.ledger import Cursor, Ledger, Published


class Scribe:
    """One caller at a time, each in a worker thread: an fsync takes milliseconds."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._turn = trio.Lock()

    async def next_attachment(self, above: int = 0) -> int:
        async with self._turn:
            return await trio.to_thread.run_sync(self.ledger.next_attachment, above)

    async def keep_publication(self, published: Published) -> None:
        async with self._turn:
            await trio.to_thread.run_sync(self.ledger.keep_publication, published)

    async def drop_publication(self, name: str) -> None:
        async with self._turn:
            await trio.to_thread.run_sync(self.ledger.drop_publication, name)

    async def keep(self, source: str, head: int, cursors: list[Cursor]) -> None:
        async with self._turn:
            await trio.to_thread.run_sync(self.ledger.keep, source, head, cursors)
