"""One running guest: what it says becomes bundles and log, what comes for it is handed in.

The guest's own memory is the truth about how far it got (Ready): after a restart of the node or a
move, mail and sources go on from there. An output is acknowledged to the guest only when its
effect is durable and the table says so; a crash in between repeats the output, and the repeat has
no second effect, because its bundle has the same id and the log is cut back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog
import trio

from radics_mesh.dtn.agent import Agent, Delivery, Registration
from radics_mesh.dtn.endpoints import Elsewhere
from radics_mesh.errors import CapacityError, GuestError, MeshError, UsageError, WireError
from radics_mesh.hosting.logs import VmLog
from radics_mesh.hosting.papers import INBOX_MAX_BYTES, Settings, Subscription, mail_key
from radics_mesh.hosting.status import FeedStatus
from radics_mesh.hosting.table import Ending, Table
from radics_mesh.ids import Eid
from radics_mesh.ownership import Ownership
from radics_mesh.sources.feed import Feed
from radics_mesh.sources.service import Sources
from radics_mesh.vmm import abi
from radics_mesh.vmm.channel import Ready
from radics_mesh.vmm.ends import End
from radics_mesh.vmm.frames import Exit, Log, Message, Output, Send, StreamState, Subscribe
from radics_mesh.vmm.machine import Event, Machine

log = structlog.get_logger(__name__)

# Outputs that are made durable together.
_BATCH = 64
# A full bundle store or disk is tried again after this; meanwhile the guest's output window fills
# up, and it stands still without having lost anything.
FULL_WAIT_S = 0.5
_LEAVE_S = 2.0


Result = TypeVar("Result")


@dataclass(frozen=True)
class Outside:
    """What a guest reaches through its host."""

    agent: Agent
    sources: Sources
    table: Table


class Guest:
    """Made for one life of one QEMU; `run` ends with how it ended, or None after `detach`."""

    def __init__(
        self,
        machine: Machine,
        chain: Ownership,
        settings: Settings,
        vm_log: VmLog,
        outside: Outside,
    ) -> None:
        self.machine = machine
        self.ready = trio.Event()
        # When it said its first word here, by this node's monotonic clock.
        self.ready_at: float | None = None
        self.finished = trio.Event()
        self.sent_bytes: Counter[Eid] = Counter()
        self.received_bytes: Counter[Eid] = Counter()
        self._vm_id = chain.vm_id
        self._eid = chain.vm_id.eid
        self._chain = chain
        self._packed_chain = chain.pack()
        self._settings = settings
        self._log = vm_log
        self._agent, self._sources = outside.agent, outside.sources
        self._table = outside.table
        self._feeds: dict[int, Feed] = {}
        self._fed: set[int] = set()
        self._open = True
        self._posted = trio.Event()
        self._taken = trio.Event()
        self._scope = trio.CancelScope()
        self._end: End | None = None
        self._disk_full = False
        self._nursery: trio.Nursery | None = None
        self._registration: Registration | None = None

    async def run(self) -> End | None:
        """Serve the guest until it ends, or until `detach`, after which it is left as it is."""
        self.open_mailbox()
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    nursery.start_soon(self.machine.run)
                    await self._take_events()
                    nursery.cancel_scope.cancel()
        finally:
            self.close_mailbox()
            self.finished.set()
        if self._end is not None:
            await self._leave_sources()
        return self._end

    def open_mailbox(self) -> None:
        """Mail for the VM is taken here. A no-op when it is."""
        self._open = True
        if self._registration is None:
            self._registration = self._agent.register(self._eid, self.receive, prefix=True)

    def close_mailbox(self) -> None:
        """From now on nothing is added to the mailbox."""
        self._open = False
        registration, self._registration = self._registration, None
        if registration is not None:
            registration.close()
        self._taken.set()

    async def detach(self) -> None:
        """Stop serving; QEMU stays."""
        self.close_mailbox()
        self._scope.cancel()
        await self.finished.wait()

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

    # --- mail -----------------------------------------------------------------------------------

    async def receive(self, delivery: Delivery) -> None:
        """A bundle for the VM. On return it is in the mailbox, durably."""
        size_bytes = len(delivery.payload)
        if size_bytes > abi.MESSAGE_MAX:
            raise CapacityError(f"{size_bytes} bytes are too long for a guest's message")
        while self._open and self._table.mail_bytes(self._vm_id) > INBOX_MAX_BYTES:
            self._taken = trio.Event()
            await self._taken.wait()
        if not self._open:
            raise Elsewhere
        key = mail_key(str(delivery.bundle_id))
        service = delivery.destination.service_name
        if await self._kept(
            lambda: self._table.post(self._vm_id, key, delivery.source, service, delivery.payload)
        ):
            self.received_bytes[delivery.source] += size_bytes
            self._posted.set()

    async def _deliver_mail(self, have: int) -> None:
        """Hand the mail to the guest, in order, as its window allows."""
        try:
            while True:
                self._posted = trio.Event()
                while mail := self._table.mail(self._vm_id, have):
                    messages = [Message(m.payload, m.sender, m.service) for m in mail]
                    await self.machine.deliver(0, mail[0].number, messages)
                    have = mail[-1].number
                await self._posted.wait()
        except GuestError:  # it ended; its last event says how
            return

    # --- events ---------------------------------------------------------------------------------

    async def _take_events(self) -> None:
        async for event in self.machine.events:
            batch = [event]
            while len(batch) < _BATCH:
                try:
                    batch.append(self.machine.events.receive_nowait())
                except (trio.WouldBlock, trio.EndOfChannel):
                    break
            await self._take(batch)

    async def _take(self, batch: Sequence[Event]) -> None:
        """Give a run of events their effect, make it durable once, tell the guest."""
        number, ending = 0, None
        progress: dict[int, StreamState] = {}
        for event in batch:
            if isinstance(event, Output):
                await self._effect(event)
                number = event.number
                ending = _ending(event) or ending
            elif isinstance(event, StreamState):
                progress[event.stream] = event
            elif isinstance(event, Ready):
                await self._on_ready(event)
            else:
                self._end = event
        if number:
            await self._commit(number, ending)
            await self.machine.acknowledge(number)
        for state in progress.values():
            await self._progressed(state)

    async def _commit(self, number: int, ending: Ending | None) -> None:
        while True:
            try:
                await trio.to_thread.run_sync(self._make_durable, number, ending)
            except OSError as error:
                await self._disk_failed(error)
            else:
                return

    async def _kept(self, write: Callable[[], Result]) -> Result:
        """What `write` returns, once the disk takes it."""
        while True:
            try:
                return write()
            except OSError as error:
                await self._disk_failed(error)

    async def _disk_failed(self, error: OSError) -> None:
        if not self._disk_full:
            log.error("a guest waits for the disk", vm=self._vm_id.short, reason=str(error))
        self._disk_full = True
        await trio.sleep(FULL_WAIT_S)

    def _make_durable(self, number: int, ending: Ending | None) -> None:
        self._log.sync()
        self._table.outputs(self._vm_id, number, self._log.end, ending)

    async def _effect(self, output: Output) -> None:
        match output.body:
            case Log(_, text):
                await self._kept(lambda: self._log.append(text))
            case Send():
                await self._send(output.number, output.body)
            case Subscribe(stream, source):
                self._start_feed(stream, source, 0)
            case _:
                pass  # Exit: recorded with the batch. Unreadable: there is nothing to do.

    async def _send(self, number: int, send: Send) -> None:
        while True:
            try:
                destination = Eid(send.to)
                await self._agent.send(
                    destination,
                    send.payload,
                    source=self._eid,
                    lifetime_s=send.lifetime_s or None,
                    stamp=(self._settings.created, number),
                    ownership=self._packed_chain,
                )
            except CapacityError:
                await trio.sleep(FULL_WAIT_S)
            except (WireError, UsageError) as error:
                self._say(f"cannot send to {send.to[:80]!r}: {error}")
                return
            else:
                self.sent_bytes[destination] += len(send.payload)
                return

    def _say(self, text: str) -> None:
        """A line of the host's in the VM's log."""
        with suppress(OSError):
            self._log.append(f"[radics] {text}\n".encode())

    # --- streams --------------------------------------------------------------------------------

    async def _on_ready(self, ready: Ready) -> None:
        """The guest says how far it got: go on from there, once; later ones are reconnections."""
        if self.ready.is_set():
            return
        if self.ready_at is None:
            self.ready_at = trio.current_time()
        self.ready.set()
        mailbox = next((s for s in ready.streams if s.stream == 0), StreamState(0, 0, 0))
        await self._kept(lambda: self._table.align(self._vm_id, mailbox.have, mailbox.done))
        self._running().start_soon(self._deliver_mail, mailbox.have)
        for state in ready.streams:
            if state.stream:
                self._start_feed(state.stream, state.source, state.have)

    async def _progressed(self, state: StreamState) -> None:
        if state.stream == 0:
            await self._kept(lambda: self._table.taken(self._vm_id, state.done))
            self._taken.set()
            return
        feed = self._feeds.get(state.stream)
        if feed is None:
            return
        held = self._table.subscriptions(self._vm_id).get(feed.source)
        end = held.end if held and held.end else state.done + 1
        try:
            await feed.acknowledge(min(state.done, end - 1))
        except MeshError as error:  # superseded: another host speaks for this VM
            log.warning("feed broke", vm=self._vm_id.short, reason=str(error))

    def _start_feed(self, stream: int, source: str, after: int) -> None:
        if stream not in self._fed:
            self._fed.add(stream)
            self._running().start_soon(self._feed, stream, source, after)

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
            return
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
            if batch.end:
                await trio.sleep_forever()  # the feed must still hear what is done

    def _running(self) -> trio.Nursery:
        assert self._nursery is not None
        return self._nursery


def _ending(output: Output) -> Ending | None:
    body = output.body
    return Ending(body.how, body.status, body.why) if isinstance(body, Exit) else None
