"""What one running guest is subscribed to: messages of sources become its messages."""

from __future__ import annotations

from collections import Counter
from functools import partial

import structlog
import trio

from radics_mesh.errors import GuestError, MeshError
from radics_mesh.hosting.logs import VmLog
from radics_mesh.hosting.papers import Subscription
from radics_mesh.hosting.status import FeedStatus
from radics_mesh.hosting.vm_mail import MailTask, Outside
from radics_mesh.ownership import Ownership
from radics_mesh.sources.feed import Feed
from radics_mesh.sources.publication import WINDOW_BYTES
from radics_mesh.vmm import abi
from radics_mesh.vmm.frames import Message, StreamState
from radics_mesh.vmm.machine import Machine

log = structlog.get_logger(__name__)

_LEAVE_S = 2.0


class FeedTask(MailTask):
    """`Guest`'s part that subscribes."""

    def __init__(self, machine: Machine, chain: Ownership, vm_log: VmLog, outside: Outside) -> None:
        super().__init__(machine, chain, vm_log, outside)
        self._chain = chain
        self._packed_chain = chain.pack()
        self._sources = outside.sources
        self._feeds: dict[int, Feed] = {}
        # Whether publishers hear how far it is only once a checkpoint covers that; then, by stream,
        # how far, and how many bytes were handed in since they heard.
        self._commits = False
        self._reached: dict[int, int] = {}
        self._unheard_bytes: Counter[int] = Counter()

    def feeds(self) -> tuple[FeedStatus, ...]:
        return tuple(
            FeedStatus(feed.source, feed.publisher, feed.local, feed.bytes_received)
            for feed in self._feeds.values()
        )

    async def _leave_sources(self) -> None:
        """Its publishers need not wait for it any more."""
        with trio.move_on_after(_LEAVE_S):
            for feed in self._feeds.values():
                await feed.aclose()

    def _start_feed(self, stream: int, source: str, after: int) -> None:
        self._start(stream, partial(self._feed, stream, source, after))

    async def _feed(self, stream: int, source: str, after: int) -> None:
        """Hand a source's messages to the guest from `after` + 1 on, as its window allows."""
        held = self._table.subscriptions(self._vm_id).get(source, Subscription(source))
        if held.end is not None and after >= held.end:
            return
        feed = self._sources.attach(
            self._eid,
            self._chain.epoch,
            source,
            after,
            ownership=self._packed_chain,
            publisher=held.publisher,
        )
        self._feeds[stream] = feed
        try:
            await self._pump(stream, feed, held)
        except GuestError:  # it ended; its last event says how
            raise
        except MeshError as error:
            self._say(f"source {source}: {error}")
        finally:
            feed.scope.cancel()

    async def _pump(self, stream: int, feed: Feed, held: Subscription) -> None:
        while True:
            batch = await feed.receive(abi.STREAM_WINDOW // 2)
            if held.publisher is None or batch.end:
                end = batch.first + len(batch.messages) if batch.end else None
                held = Subscription(feed.source, feed.publisher, end)
                await self._kept(partial(self._table.subscribe, self._vm_id, held))
            messages = [Message(part[: abi.MESSAGE_MAX]) for part in batch.messages]
            if batch.end:
                messages.append(Message(b"", end=True))
            await self.machine.deliver(stream, batch.first, messages)
            self._unheard_bytes[stream] += sum(map(len, batch.messages))
            if batch.end:
                await trio.sleep_forever()  # the feed must still hear what is done

    async def _leave(self, feed: Feed) -> None:
        """Its publisher need not wait for it any more."""
        with trio.move_on_after(_LEAVE_S):
            await feed.aclose()

    async def _close_feed(self, feed: Feed) -> None:
        """The program has closed it."""
        await self._kept(lambda: self._table.unsubscribe(self._vm_id, feed.source))
        self._running().start_soon(self._leave, feed)

    async def _fed(self, feed: Feed, state: StreamState) -> None:
        """The program has taken its messages up to some number."""
        held = self._table.subscriptions(self._vm_id).get(feed.source)
        end = held.end if held and held.end else state.done + 1
        reached = min(state.done, end - 1)
        if not self._commits:
            await self._tell_publisher(feed, reached)
            return
        self._reached[state.stream] = reached
        # No more comes than a publisher's window, unless it hears.
        pressed = self._unheard_bytes[state.stream] > WINDOW_BYTES // 2
        self._outside.wishes.waits(pressed=pressed)

    def reached(self) -> dict[int, int]:
        """How far it is in each source, while it stands still: for `release`."""
        return dict(self._reached)

    async def release(self, reached: dict[int, int]) -> None:
        """A durable checkpoint covers so much of what it has read."""
        for stream, number in reached.items():
            feed = self._feeds.get(stream)
            if feed is not None:
                self._unheard_bytes[stream] = 0
                await self._tell_publisher(feed, number)
            if self._reached.get(stream) == number:
                del self._reached[stream]

    async def _tell_publisher(self, feed: Feed, number: int) -> None:
        try:
            await feed.acknowledge(number)
        except MeshError as error:  # superseded: another host speaks for this VM
            log.warning("feed broke", vm=self._vm_id.short, reason=str(error))
