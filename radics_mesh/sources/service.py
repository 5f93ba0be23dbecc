"""Trio shell: the sources of this node, its own and those that its VMs subscribe to.

Local delivery reads the log and sends nothing. Remote delivery is bundles between the `sources`
services of two nodes; what they say is in `messages`, who decides what in `publication` and
`reception`. Who may speak: DATA and REFUSED only the publisher that was asked; SUBSCRIBE, ACK and
UNSUBSCRIBE for a VM only its holder, which the SUBSCRIBE's ownership chain proves.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import structlog
import trio

from radics_mesh.clock import Clock
from radics_mesh.directory.service import Directory
from radics_mesh.dtn.agent import Agent, Delivery
from radics_mesh.errors import CapacityError, PeerError, UsageError, WireError
from radics_mesh.ids import Eid, NodeId
from radics_mesh.ownership import Ownership
from radics_mesh.records import Kind
from radics_mesh.sources.feed import Feed, LocalLine, RemoteLine, key_of
from radics_mesh.sources.gate import Gate
from radics_mesh.sources.ledger import Ledger
from radics_mesh.sources.messages import (
    Ack,
    Data,
    Fence,
    Key,
    Message,
    Refusal,
    Refused,
    Subscribe,
    Unsubscribe,
    encode,
    parse,
)
from radics_mesh.sources.publications import Publications, Subscriber
from radics_mesh.sources.reception import Reception
from radics_mesh.sources.scribe import Scribe

log = structlog.get_logger(__name__)

SERVICE = "sources"
# An unknown source is looked for again after this, doubling up to the bound.
LOOK_FIRST_S = 0.5
LOOK_MAX_S = 15.0


class Sources:
    """See the module. `path` is where the ledger is kept."""

    def __init__(
        self,
        *,
        path: Path,
        me: NodeId,
        agent: Agent,
        directory: Directory,
        clock: Clock,
        gate: Gate,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._me = me
        self._agent = agent
        self._directory = directory
        self._clock = clock
        self._gate = gate
        self._endpoint = me.service(SERVICE)
        self._ledger = Ledger(path)
        self._scribe = Scribe(self._ledger)
        self.publications = Publications(me, self._scribe, directory, clock, self._send)
        self._feeds: dict[tuple[str, Eid], Feed] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started when the publications of the last run are back."""
        registration = None
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await nursery.start(self.publications.run)
                registration = self._agent.register(self._endpoint, self._handle)
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None
            if registration is not None:
                await registration.end()
            await self._scribe.close()

    # --- publishing -----------------------------------------------------------------------------

    async def publish(self, name: str, file: Path, rate: float | None) -> None:
        """See Publications.publish."""
        await self.publications.publish(name, file, rate)

    async def unpublish(self, name: str) -> None:
        """See Publications.unpublish."""
        await self.publications.unpublish(name)

    def subscribers(self) -> list[Subscriber]:
        """Who takes from this node's sources, where it runs, and how much of late."""
        return self.publications.subscribers()

    # --- subscribing ----------------------------------------------------------------------------

    def attach(
        self,
        subscriber: Eid,
        epoch: int,
        source: str,
        after: int,
        ownership: bytes = b"",
        publisher: NodeId | None = None,
    ) -> Feed:
        """The messages of `source` beyond `after`, for a VM that this node holds at `epoch`.

        `ownership` is the VM's packed chain up to this node and epoch, which the publisher checks
        (empty for one of this node's own services). `publisher`: where `after` counts, as an
        earlier Feed told; None: whoever the directory knows, this node first. The source may be
        unknown yet. A feed that the subscriber had here before breaks off.
        """
        feed = Feed(subscriber, epoch, source, after, publisher)
        before = self._feeds.get((source, subscriber))
        if before is not None:
            before.fail(UsageError(f"{subscriber} attached to {source} again"))
            before.scope.cancel()
        self._feeds[source, subscriber] = feed
        self._running().start_soon(self._serve, feed, ownership)
        return feed

    async def _serve(self, feed: Feed, ownership: bytes) -> None:
        slot = (feed.source, feed.subscriber)
        with feed.scope:
            try:
                await self._serve_from_publisher(feed, ownership)
            except (PeerError, WireError) as error:
                log.warning("feed ended", source=feed.source, reason=str(error))
                feed.fail(error)
            finally:
                if isinstance(feed.line, LocalLine):
                    feed.line.detach()
                if self._feeds.get(slot) is feed:
                    del self._feeds[slot]

    async def _serve_from_publisher(self, feed: Feed, ownership: bytes) -> None:
        self._gate.check_reading(_owner(self._me, ownership), feed.source)
        attachment = await self._attachment()
        publisher = await self._find(feed)
        feed.publisher = publisher
        key = key_of(feed, attachment)
        if publisher == self._me:
            await self._serve_locally(feed, key, ownership)
        else:
            reception = Reception(key, feed.after, ownership, self._clock.monotonic())
            await self._serve_remotely(
                feed, RemoteLine(reception, publisher, self._send, self._clock)
            )

    async def _attachment(self, above: int = 0) -> int:
        """One that no attachment of this node was, even if it forgot them: hence the clock."""
        return await self._scribe.next_attachment(max(above, int(self._clock.wall())))

    async def _serve_locally(self, feed: Feed, key: Key, ownership: bytes) -> None:
        _check_holder(key, ownership, self._me)
        self._gate.check_serving(self._me, _owner(self._me, ownership), feed.source)
        source = self.publications.served[feed.source]
        held = source.core.held(feed.subscriber)
        if held is not None and held.epoch == feed.epoch and held > key.fence:
            attachment = await self._attachment(held.attachment)
            key = key_of(feed, attachment)
        line = LocalLine(source, self._me, key, self._clock)
        await line.start(feed.after)
        feed.bind(line)
        while True:
            await source.produced.wait()
            feed.bell.ring()

    async def _serve_remotely(self, feed: Feed, line: RemoteLine) -> None:
        feed.bind(line)
        while True:
            await line.run()
            refused = line.reception.refused
            if refused is not None and refused.reason is Refusal.DENIED:
                raise PeerError(f"denied by {line.publisher.short}: {refused.why}")
            if refused is None or refused.reason is Refusal.SUPERSEDED:
                raise PeerError(f"{feed.subscriber} runs elsewhere at a higher epoch")
            attachment = await self._attachment(refused.held.attachment)
            line.reception.reattach(Fence(feed.epoch, attachment), self._clock.monotonic())

    async def _find(self, feed: Feed) -> NodeId:
        """Who publishes it. Not found: looks again, ever more rarely, until cancelled."""
        wait_s = LOOK_FIRST_S
        while (publisher := await self._look(feed)) is None:
            await trio.sleep(wait_s)
            wait_s = min(2 * wait_s, LOOK_MAX_S)
        return publisher

    async def _look(self, feed: Feed) -> NodeId | None:
        here = feed.source in self.publications.served
        if feed.publisher is not None:
            return feed.publisher if feed.publisher != self._me or here else None
        if here and feed.after == 0:
            return self._me
        entries = await self._directory.lookup(Kind.SOURCE, feed.source)
        found = {entry.record.publisher for entry in entries if not entry.record.withdrawn}
        found.discard(self._me)
        if here:
            found.add(self._me)
        return min(found, default=None)

    # --- bundles --------------------------------------------------------------------------------

    async def _send(self, node: NodeId, message: Message) -> None:
        self.counters["sent"] += 1
        await self._agent.send(node.service(SERVICE), encode(message), source=self._endpoint)

    async def _handle(self, delivery: Delivery) -> None:
        sender = delivery.signer
        if sender is None:
            raise PeerError("a sources message without a member's signature")
        message = parse(delivery.payload)
        self.counters["received"] += 1
        match message:
            case Subscribe():
                await self._on_subscribe(message, sender)
            case Unsubscribe() | Ack():
                await self._on_progress(message, sender)
            case Data() | Refused():
                self._on_answer(message, sender)

    async def _on_subscribe(self, message: Subscribe, sender: NodeId) -> None:
        key = message.key
        _check_holder(key, message.ownership, sender)
        source = self.publications.get(key.source)
        if source is None:
            await self._refuse(sender, key, Refusal.UNKNOWN_SOURCE, key.fence)
            return
        try:
            self._gate.check_serving(sender, _owner(sender, message.ownership), key.source)
        except PeerError as error:
            self.counters["denied"] += 1
            await self._refuse(sender, key, Refusal.DENIED, key.fence, str(error))
            return
        held = source.core.held(key.subscriber)
        if held is not None and key.fence < held:
            self.counters["superseded"] += 1
            same = key.fence.epoch == held.epoch
            await self._refuse(sender, key, Refusal.BEHIND if same else Refusal.SUPERSEDED, held)
            return
        subscription = source.core.subscribe(
            key.subscriber,
            sender,
            key.fence,
            serial=message.serial,
            acknowledged=message.acknowledged,
            have=message.have,
            now=self._clock.monotonic(),
        )
        if held != key.fence:
            source.produced.ring()  # a local feed of the superseded fence must notice
            log.info("subscribed", source=key.source, subscriber=key.subscriber, node=sender.short)
            await source.keep(subscription)
        source.changed.ring()

    async def _refuse(
        self, node: NodeId, key: Key, reason: Refusal, held: Fence, why: str = ""
    ) -> None:
        try:
            await self._send(node, Refused(key, reason, held, why))
        except CapacityError:
            self.counters["refusals unsent"] += 1  # it will ask again

    async def _on_progress(self, message: Ack | Unsubscribe, sender: NodeId) -> None:
        key, now = message.key, self._clock.monotonic()
        source = self.publications.get(key.source)
        subscription = source and source.core.subscriptions.get(key.subscriber)
        if not source or not subscription or subscription.fence != key.fence:
            self.counters["late"] += 1  # normal after a move: the old host's last words
            return
        if subscription.node != sender:
            raise PeerError(f"{sender.short} does not hold {key.subscriber}")
        if isinstance(message, Ack):
            source.core.acknowledge(key.subscriber, key.fence, message.number, now)
            source.changed.ring()
            return
        source.core.unsubscribe(
            key.subscriber, key.fence, message.serial, message.acknowledged, now
        )
        await source.keep(subscription)

    def _on_answer(self, message: Data | Refused, sender: NodeId) -> None:
        feed = self._feeds.get((message.key.source, message.key.subscriber))
        if feed is None or not isinstance(feed.line, RemoteLine):
            self.counters["late"] += 1
            return
        if feed.line.publisher != sender:
            raise PeerError(f"{sender.short} was not asked for {message.key.source}")
        if isinstance(message, Refused):
            feed.line.reception.refuse(message)
            feed.line.wake.ring()
        elif feed.line.data(message):
            feed.bell.ring()

    def _running(self) -> trio.Nursery:
        if self._nursery is None:
            raise UsageError("the node's sources are not running")
        return self._nursery


def _owner(node: NodeId, ownership: bytes) -> NodeId:
    """In whose name a node subscribes: its own, or that in which the VM was born."""
    if not ownership:
        return node
    return NodeId.of_key(Ownership.parse(ownership).birth.holder)


def _check_holder(key: Key, ownership: bytes, sender: NodeId) -> None:
    """PeerError unless `sender` may speak for the subscriber at this epoch."""
    vm_id = key.subscriber.vm_id
    if vm_id is None:
        if key.subscriber.node_id != sender:
            raise PeerError(f"{sender.short} may not subscribe for {key.subscriber}")
        return
    owned = Ownership.parse(ownership)
    if owned.vm_id != vm_id or owned.holder != sender or owned.epoch != key.fence.epoch:
        raise PeerError(f"{sender.short} does not hold {key.subscriber} at {key.fence.epoch}")
