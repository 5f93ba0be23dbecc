"""Trio shell of one published source: reads the log, runs the core, sends what is due."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
import trio

from radics_mesh.clock import Clock
from radics_mesh.errors import CapacityError, UsageError
from radics_mesh.ids import NodeId
from radics_mesh.sources.bell import Bell
from radics_mesh.sources.ledger import Cursor, Published
from radics_mesh.sources.log import FileLog
from radics_mesh.sources.messages import Data, Key, Message
from radics_mesh.sources.publication import Publication, Subscription
from radics_mesh.sources.scribe import Scribe

log = structlog.get_logger(__name__)

Send = Callable[[NodeId, Message], Awaitable[None]]
# A full store or an unreadable file is tried again after this.
RETRY_S = 2.0


class PublishedSource:
    """A source of this node. `changed` wakes the sender, `produced` wakes local feeds.

    `trouble` says why the file cannot be served at the moment, None when it can.
    """

    def __init__(
        self, kept: Published, file: FileLog, cursors: list[Cursor], scribe: Scribe, clock: Clock
    ) -> None:
        self.kept = kept
        self.file = file
        self.changed = Bell()
        self.produced = Bell()
        self.trouble: str | None = None
        self.core = Publication(
            kept.name,
            file.length,
            kept.rate,
            file.position,
            head=kept.head,
            cursors=cursors,
            now=clock.monotonic(),
        )
        self.stopped = trio.CancelScope()
        self._scribe = scribe
        self._clock = clock
        self._flushed: tuple[int, list[Cursor]] = (kept.head, cursors)

    @property
    def bytes_a_second(self) -> int:
        """What the pace means on average; 0 for a source without a pace."""
        if self.kept.rate is None or not self.file.length:
            return 0
        return int(self.kept.rate * self.file.content.size_bytes / self.file.length)

    def republish(self, kept: Published, file: FileLog) -> None:
        """The same messages, perhaps from another path or at another rate."""
        self.kept, self.file = kept, file
        self.core.rate = kept.rate
        self.changed.ring()

    async def read(self, first: int, last: int, max_bytes: int) -> list[bytes] | None:
        """Messages of the log; None, and `trouble` set, when the file is not what it was."""
        try:
            messages = await trio.to_thread.run_sync(self.file.read, first, last, max_bytes)
        except UsageError as error:
            if self.trouble is None:
                log.error("source unreadable", source=self.kept.name, reason=str(error))
            self.trouble = str(error)
            return None
        if self.trouble is not None:
            log.info("source readable again", source=self.kept.name)
            self.trouble = None
        return messages

    async def run(self, send: Send) -> None:
        """Produce and send until cancelled."""
        while True:
            head = self.core.head
            now = self._clock.monotonic()
            next_at = self.core.produce(now)
            if self.core.head != head:
                self.produced.ring()
            # Nothing is awaited between finding nothing to send and waiting, so no ring is lost.
            if not await self._send_due(send):
                await self.changed.wait(None if next_at is None else next_at - now)

    async def _send_due(self, send: Send) -> bool:
        """Send each subscriber at most one DATA; False when there was nothing to do."""
        worked = False
        for subscription in list(self.core.subscriptions.values()):
            if (due := self.core.due(subscription)) is not None:
                worked = True
                if not await self._send_to(subscription, *due, send):
                    await trio.sleep(RETRY_S)
        return worked

    async def _send_to(
        self, subscription: Subscription, first: int, last: int, max_bytes: int, send: Send
    ) -> bool:
        messages: list[bytes] = []
        if last >= first:
            read = await self.read(first, last, max_bytes)
            if read is None:
                return False
            messages = read
            if self.core.due(subscription) is None or subscription.sent != first - 1:
                return True  # it acknowledged, moved or left meanwhile
        last = first + len(messages) - 1
        size_bytes = sum(map(len, messages))
        subscription.note_sent(last, size_bytes, self._clock.monotonic())
        key = Key(self.kept.name, subscription.subscriber, subscription.fence)
        data = Data(key, first, tuple(messages), last == self.core.length)
        try:
            await send(subscription.node, data)
        except CapacityError as error:
            log.warning("source waits for room", source=self.kept.name, reason=str(error))
            if subscription.sent == last:
                subscription.restart(subscription.acknowledged)
            return False
        return True

    async def keep(self, subscription: Subscription) -> None:
        """Make one subscriber's standing durable; wakes the sender."""
        await self._scribe.keep(self.kept.name, self.core.head, [subscription.cursor])
        self.changed.ring()

    async def flush(self) -> None:
        """Make head and cursors durable, as far as they changed."""
        standing = (self.core.head, [s.cursor for s in self.core.subscriptions.values()])
        if standing != self._flushed:
            await self._scribe.keep(self.kept.name, *standing)
            self._flushed = standing
