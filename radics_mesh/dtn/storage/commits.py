"""Group commit: one thread writes, and all that waits for it shares one transaction.

Bundles that leave are not worth a caller's waiting: when the transaction that takes them out
fails (a full disk), they go out with the next one.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
import trio

from radics_mesh.dtn.storage.database import Batch, Writer

log = structlog.get_logger(__name__)

# What one transaction takes at most: more would make the first in it wait too long.
_BATCH_BYTES = 8 << 20
_BATCH_WRITES = 512
# So many, or so much, is a transaction worth its sync, and is not held back for what else may come.
_ENOUGH_WRITES, _ENOUGH_BYTES = 8, 1 << 20


@dataclass(slots=True, eq=False)
class Write:
    """One caller's share of a transaction. `done` is set, and `then` called, in Trio's thread."""

    batch: Batch
    size_bytes: int = 0
    then: Callable[[], None] | None = None
    done: trio.Event = field(default_factory=trio.Event)
    error: str | None = None


@dataclass(slots=True, eq=False)
class _Waiting:
    write: Write
    token: trio.lowlevel.TrioToken | None


class Commits:
    """The queue and the thread behind it."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._queue: queue.SimpleQueue[list[_Waiting] | None] = queue.SimpleQueue()
        self._failed = Batch()
        # What has come in this step of Trio's scheduler, and is handed over with its end at latest:
        # if the thread began with the first bundle of many, that would be a transaction alone.
        self._gathered: list[_Waiting] = []
        self._gathered_bytes = 0
        self.transactions = 0
        # A daemon: a process that ends without close() loses nothing that was acknowledged.
        self._thread = threading.Thread(target=self._run, name="bundle-store", daemon=True)
        self._thread.start()

    def put(self, write: Write, *, with_next: bool = False) -> None:
        """Queue a write. Outside Trio nobody is woken. `with_next`: in one transaction with the
        next that is put in this step of Trio's scheduler, if one is."""
        try:
            token = trio.lowlevel.current_trio_token()
        except RuntimeError:
            token = None
        self._gathered.append(_Waiting(write, token))
        self._gathered_bytes += write.size_bytes
        enough = len(self._gathered) >= _ENOUGH_WRITES or self._gathered_bytes >= _ENOUGH_BYTES
        # What is handed over together is one transaction: see _gather.
        if (token is None or enough) and not with_next:
            self._hand_over()
        elif len(self._gathered) == 1 and token is not None:
            token.run_sync_soon(self._hand_over)

    def _hand_over(self) -> None:
        if self._gathered:
            gathered, self._gathered, self._gathered_bytes = self._gathered, [], 0
            self._queue.put(gathered)

    def close(self) -> None:
        """Blocks until all that was queued is on the medium."""
        self._hand_over()
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (first := self._queue.get()) is not None:
                waiting, closing = self._gather(first)
                self._commit(waiting)
                _wake(waiting)
                if closing:
                    return
        finally:
            self._writer.close()

    def _gather(self, first: list[_Waiting]) -> tuple[list[_Waiting], bool]:
        """Everything that waits, up to the bounds; and whether the end came with it."""
        waiting = first
        while len(waiting) < _BATCH_WRITES and _size_of(waiting) < _BATCH_BYTES:
            try:
                more = self._queue.get_nowait()
            except queue.Empty:
                break
            if more is None:
                return waiting, True
            waiting += more
        return waiting, False

    def _commit(self, waiting: list[_Waiting]) -> None:
        batch, self._failed = self._failed, Batch()
        for item in waiting:
            batch.take(item.write.batch)
        try:
            self._writer.apply(batch)
        except (sqlite3.Error, OSError) as error:
            log.error("bundle store cannot write", error=str(error))
            for item in waiting:
                item.write.error = f"the bundle store cannot write: {error}"
            self._failed = Batch(
                removed=batch.removed, unlinked=batch.unlinked, delivered=batch.delivered
            )
        else:
            self.transactions += 1


def _size_of(waiting: list[_Waiting]) -> int:
    return sum(item.write.size_bytes for item in waiting)


def _wake(waiting: list[_Waiting]) -> None:
    token = next((item.token for item in reversed(waiting) if item.token), None)
    if token is None:
        return
    try:
        token.run_sync_soon(_finish, [item.write for item in waiting])
    except trio.RunFinishedError:
        return  # the program ended while this was being written; nobody waits any more


def _finish(writes: list[Write]) -> None:
    for write in writes:
        if write.then is not None:
            write.then()
        write.done.set()
