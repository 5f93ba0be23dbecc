"""What a subscriber holds: messages in order from a source, wherever it is published.

A feed starts unbound, is bound to a publisher when the directory knows one, and stays with it:
numbers mean something at one publisher only. Bound to this very node it is a LocalLine, which
reads the log and sends nothing; else a RemoteLine, which runs a `reception` over bundles.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

import trio

from radics_mesh.clock import Clock
from radics_mesh.errors import CapacityError, MeshError, PeerError, UsageError
from radics_mesh.ids import Eid, NodeId
from radics_mesh.sources.bell import Bell
from radics_mesh.sources.messages import Data, Fence, Key
from radics_mesh.sources.publisher import RETRY_S, PublishedSource, Send
from radics_mesh.sources.reception import Batch, Reception


class Line(Protocol):
    """One way of getting a source's messages."""

    @property
    def bytes_received(self) -> int: ...

    async def take(self, max_bytes: int) -> Batch | None:
        """The next messages; None when there are none yet, without having awaited anything."""

    async def acknowledge(self, number: int) -> None: ...

    async def leave(self) -> None: ...


class LocalLine:
    """A subscription to a source of this node: the same cursor rules, no bundles."""

    def __init__(self, source: PublishedSource, me: NodeId, key: Key, clock: Clock) -> None:
        self.bytes_received = 0
        self._source = source
        self._key = key
        self._clock = clock
        self._me = me
        self._taken = 0
        self._ended = False

    async def start(self, after: int) -> None:
        """PeerError when a higher fence is known."""
        subscription = self._source.core.subscribe(
            self._key.subscriber,
            self._me,
            self._key.fence,
            serial=0,
            acknowledged=after,
            have=after,
            now=self._clock.monotonic(),
        )
        subscription.attached = True
        self._taken = after
        await self._source.keep(subscription)

    def _check(self) -> None:
        if self._source.stopped.cancel_called:
            raise UsageError(f"{self._key.source} is not published any more")
        if self._source.core.held(self._key.subscriber) != self._key.fence:
            raise PeerError(f"{self._key.subscriber} subscribed from elsewhere at a higher epoch")

    async def take(self, max_bytes: int) -> Batch | None:
        self._check()
        core = self._source.core
        first, length = self._taken + 1, core.length
        if self._taken >= length:
            return Batch(first, [], True)
        if self._taken >= core.head:
            return None
        messages = await self._source.read(first, core.head, max_bytes)
        if messages is None:
            await trio.sleep(RETRY_S)
            return Batch(first, [], False)
        self._check()
        self._taken += len(messages)
        size_bytes = sum(map(len, messages))
        self.bytes_received += size_bytes
        now = self._clock.monotonic()
        core.subscriptions[self._key.subscriber].meter.add(size_bytes, now)
        return Batch(first, messages, self._taken == length)

    async def acknowledge(self, number: int) -> None:
        if number > self._taken:
            raise UsageError(f"message {number} was never handed out")
        now = self._clock.monotonic()
        self._source.core.acknowledge(self._key.subscriber, self._key.fence, number, now)
        self._source.changed.ring()

    def detach(self) -> None:
        """The feed is gone: from now on the subscription lives on its lease."""
        subscription = self._source.core.subscriptions.get(self._key.subscriber)
        if subscription is not None and subscription.fence == self._key.fence:
            subscription.attached = False

    async def leave(self) -> None:
        self.detach()
        core, subscriber = self._source.core, self._key.subscriber
        if core.held(subscriber) != self._key.fence:
            return
        subscription = core.subscriptions[subscriber]
        now = self._clock.monotonic()
        core.unsubscribe(subscriber, self._key.fence, 0, subscription.acknowledged, now)
        await self._source.keep(subscription)


class RemoteLine:
    """A subscription to a source of another node."""

    def __init__(self, reception: Reception, publisher: NodeId, send: Send, clock: Clock) -> None:
        self.reception = reception
        self.publisher = publisher
        self.wake = Bell()
        self._send = send
        self._clock = clock

    @property
    def bytes_received(self) -> int:
        return self.reception.bytes_received

    async def run(self) -> None:
        """Say what is to be said to the publisher; returns when it refused us."""
        while self.reception.refused is None:
            now = self._clock.monotonic()
            message = self.reception.poll(now)
            if message is None:
                await self.wake.wait(self.reception.deadline() - now)
                continue
            try:
                await self._send(self.publisher, message)
            except CapacityError:  # what was not said now, the next request says
                await trio.sleep(RETRY_S)

    def data(self, data: Data) -> bool:
        """Whether there is more to take now."""
        more = self.reception.data(data, self._clock.monotonic())
        self.wake.ring()
        return more

    async def take(self, max_bytes: int) -> Batch | None:
        return self.reception.take(max_bytes)

    async def acknowledge(self, number: int) -> None:
        self.reception.acknowledge(number, self._clock.monotonic())
        self.wake.ring()

    async def leave(self) -> None:
        with suppress(CapacityError):  # unsaid, the publisher finds out when the lease is over
            await self._send(self.publisher, self.reception.leave())


class Feed:
    """Messages `after` + 1, ... of a source, for one subscriber at one epoch.

    `publisher` is None until the directory knows one; keep it with the cursor, because a cursor
    counts at that publisher only.
    """

    def __init__(
        self, subscriber: Eid, epoch: int, source: str, after: int, publisher: NodeId | None
    ) -> None:
        self.subscriber = subscriber
        self.epoch = epoch
        self.source = source
        self.after = after
        self.publisher = publisher
        self.scope = trio.CancelScope()
        self.line: Line | None = None
        self.bell = Bell()
        self._broken: MeshError | None = None
        self._closed = False
        self._received_before = 0

    @property
    def local(self) -> bool:
        """Whether it reads from a log of this node."""
        return isinstance(self.line, LocalLine)

    @property
    def bytes_received(self) -> int:
        """Payload bytes that came to this node for it, each counted once."""
        return 0 if self.line is None else self.line.bytes_received

    def bind(self, line: Line) -> None:
        self.line = line
        self.bell.ring()

    def fail(self, error: MeshError) -> None:
        """End it: every call raises `error` from now on."""
        self._broken = error
        self.bell.ring()

    async def receive(self, max_bytes: int) -> Batch:
        """The next messages: at least one, else within `max_bytes`, or the end without any.

        PeerError once the subscriber speaks from elsewhere at a higher epoch. Cancelling it loses
        nothing, and after the end it says the end again.
        """
        while True:
            self._check()
            batch = None if self.line is None else await self.line.take(max_bytes)
            if batch is None:
                await self.bell.wait()
            elif batch.messages or batch.end:
                return batch

    async def acknowledge(self, number: int) -> None:
        """Messages up to `number` will survive with the subscriber and need not come again."""
        self._check()
        if self.line is not None:
            await self.line.acknowledge(number)

    async def aclose(self) -> None:
        """Leave. The cursor stays with the publisher; the producer no longer waits for us."""
        if self._closed:
            return
        self._closed = True
        self.scope.cancel()
        self.bell.ring()
        if self.line is not None:
            await self.line.leave()

    def _check(self) -> None:
        if self._broken is not None:
            raise self._broken
        if self._closed:
            raise UsageError(f"the feed of {self.source} is closed")


def key_of(feed: Feed, attachment: int) -> Key:
    return Key(feed.source, feed.subscriber, Fence(feed.epoch, attachment))
