"""One running guest: what it says becomes bundles and log, what comes for it is handed in.

The guest's own memory is the truth about how far it got (Ready): after a restart of the node or a
move, mail and sources go on from there. An output is acknowledged to the guest only when its
effect is durable and the table says so; a crash in between repeats the output, and the repeat has
no second effect, because its bundle has the same id and the log is cut back.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog
import trio

from radics_mesh.debug.explain import explain
from radics_mesh.dtn.agent import Agent, Delivery, Registration
from radics_mesh.dtn.endpoints import Elsewhere
from radics_mesh.errors import CapacityError, GuestError, MeshError, UsageError, WireError
from radics_mesh.hosting.logs import VmLog
from radics_mesh.hosting.papers import (
    BOX_MAX_BYTES,
    INBOX_MAX_BYTES,
    Settings,
    Subscription,
    mail_key,
)
from radics_mesh.hosting.status import FeedStatus
from radics_mesh.hosting.table import Ending, Table
from radics_mesh.ids import Eid
from radics_mesh.ownership import Ownership
from radics_mesh.sources.feed import Feed
from radics_mesh.sources.service import Sources
from radics_mesh.vmm import abi
from radics_mesh.vmm.allowance import Allowance
from radics_mesh.vmm.channel import Ready
from radics_mesh.vmm.ends import End
from radics_mesh.vmm.frames import (
    REPLY_PREFIX,
    Checkpoint,
    Close,
    Exit,
    Hint,
    Log,
    Message,
    Output,
    Request,
    Send,
    Serve,
    StreamState,
    Subscribe,
)
from radics_mesh.vmm.machine import Event, Garbling, Machine

log = structlog.get_logger(__name__)

# Outputs that are made durable together.
_BATCH = 64
# A full bundle store or disk is tried again after this; meanwhile the guest's output window fills
# up, and it stands still without having lost anything.
FULL_WAIT_S = 0.5
_LEAVE_S = 2.0
# What a guest may say in the long run: bytes and outputs a second. A flood is not lost, but waits
# in the guest; the disk of its node is not worn out for it.
SAID_BYTES_S, SAID_S = 16 << 20, 2000
# The same of those that cost the node a transaction each: streams, hints, requests to itself.
CHANGES_S = 20
# The part of the bundle store that one VM's bundles may take before it has to wait.
STORE_SHARE = 0.25
# A guest that was held back is said to be for so long, and is said so anew as often.
TROUBLE_S = 30.0
# Replies that may wait for a VM when its node adds one of its own.
ANSWERS_MAX_BYTES = 1 << 20
# What a request to the node itself is addressed to.
OWN_SERVICE = ":"
MESH_SERVICE = ":mesh"


Result = TypeVar("Result")


@dataclass(frozen=True)
class Outside:
    """What a guest reaches through its host.

    `mesh`: what the node knows, as lines of text (guest_lib/client/mesh.c reads them); `hint`: keep
    durably where the program would like to be; `warn`: tell people of the guest; `checkpoint`: its
    output of that number wants one.
    """

    node: Eid
    agent: Agent
    sources: Sources
    table: Table
    mesh: Callable[[], bytes]
    hint: Callable[[str], None]
    warn: Callable[[str], None]
    checkpoint: Callable[[int], None]


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
        self._outside = outside
        self._bytes = Allowance(SAID_BYTES_S, 4 * SAID_BYTES_S)
        self._outputs = Allowance(SAID_S, 10 * SAID_S)
        self._changes = Allowance(CHANGES_S, 5 * CHANGES_S)
        self._troubled, self._troubled_at = "", -math.inf
        self._feeds: dict[int, Feed] = {}
        # One for each stream that is served: a feed, or a box of mail.
        self._scopes: dict[int, trio.CancelScope] = {}
        self._open = True
        self._posted = trio.Event()
        self._taken = trio.Event()
        self._scope = trio.CancelScope()
        self._end: End | None = None
        self._explained = False
        self._disk_full = False
        self._nursery: trio.Nursery | None = None
        # By what follows the VM's endpoint: the mailbox, replies, services.
        self._registrations: dict[str, Registration] = {}

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
        """Mail for the VM is taken here. A no-op when it is.

        Each box has a registration of its own: one that is full keeps no other one waiting.
        """
        self._open = True
        self._register("", prefix=True)
        self._register(REPLY_PREFIX, prefix=True)
        for box in self._table.boxes(self._vm_id):
            if box.stream < abi.STREAM_TIMERS:
                self._register(box.service)

    def _register(self, service: str, *, prefix: bool = False) -> None:
        if service in self._registrations or not self._open:
            return
        try:
            endpoint = Eid(self._eid + service)
        except WireError as error:  # no bundle can be addressed to it
            self._say(f"cannot serve {service[:80]!r}: {error}")
            return
        self._registrations[service] = self._agent.register(endpoint, self.receive, prefix=prefix)

    def close_mailbox(self) -> None:
        """From now on nothing is added to the mailbox."""
        self._open = False
        registrations, self._registrations = self._registrations, {}
        for registration in registrations.values():
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
        service = delivery.destination.service_name
        if not await self._has_room(service):
            raise Elsewhere
        key = mail_key(str(delivery.bundle_id))
        if await self._kept(
            lambda: self._table.post(self._vm_id, key, delivery.source, service, delivery.payload)
        ):
            self.received_bytes[delivery.source] += size_bytes
            self._posted.set()

    async def _has_room(self, service: str) -> bool:
        """Wait for room where mail for a service is filed; False: the mailbox is closed."""
        while self._open:
            stream = self._table.stream_of(self._vm_id, service)
            limit = BOX_MAX_BYTES if stream else INBOX_MAX_BYTES
            if self._table.mail_bytes(self._vm_id, stream) <= limit:
                return True
            self._taken = trio.Event()
            await self._taken.wait()
        return False

    async def feed(self, data: bytes, *, end: bool = False) -> None:
        """More for its standard input, or the end of it. On return it is kept, durably.

        GuestError: it is on its way elsewhere.
        """
        stream = abi.STREAM_STDIN
        while self._open and self._table.mail_bytes(self._vm_id, stream) > BOX_MAX_BYTES:
            self._taken = trio.Event()
            await self._taken.wait()
        if not self._open:
            raise GuestError("the VM is being parked, or has ended")
        await self._kept(lambda: self._table.feed(self._vm_id, data, end=end))
        self._posted.set()

    def _start_mail(self, stream: int, have: int) -> None:
        self._start(stream, partial(self._deliver_mail, stream, have))

    async def _deliver_mail(self, stream: int, have: int) -> None:
        """Hand a box's mail to the guest, in order, as its window allows."""
        while True:
            posted = self._posted
            while mail := self._table.mail(self._vm_id, have, stream=stream):
                messages = [Message(m.payload, m.sender, m.service, m.end) for m in mail]
                await self.machine.deliver(stream, mail[0].number, messages)
                have = mail[-1].number
            await posted.wait()
            if self._posted is posted:  # the first of those who waited
                self._posted = trio.Event()

    def _start(self, stream: int, serve: Callable[[], Awaitable[None]]) -> None:
        """Serve a stream until it is closed. A no-op when it is served."""
        if stream not in self._scopes:
            self._scopes[stream] = trio.CancelScope()
            self._running().start_soon(self._serve, self._scopes[stream], serve)

    async def _serve(self, scope: trio.CancelScope, serve: Callable[[], Awaitable[None]]) -> None:
        with scope, suppress(GuestError):  # it ended; its last event says how
            await serve()

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
        await self._slow_down(batch)
        number, ending, checkpoint = 0, None, 0
        progress: dict[int, StreamState] = {}
        for event in batch:
            if isinstance(event, Output):
                await self._effect(event)
                number = event.number
                ending = _ending(event) or ending
                checkpoint = number if isinstance(event.body, Checkpoint) else checkpoint
            elif isinstance(event, StreamState):
                progress[event.stream] = event
            elif isinstance(event, Ready):
                await self._on_ready(event)
            elif isinstance(event, Garbling):
                self._trouble("is slowed down: it sends garbage")
            else:
                self._end = event
        if number:
            await self._commit(number, ending)
            await self.machine.acknowledge(number)
        if ending is not None and ending.how and not self._explained:
            await self._explain(ending, batch)
            await self._commit(number, None)
        for state in progress.values():
            await self._progressed(state)
        if checkpoint:  # behind its acknowledgement: it shall not ask for itself again
            self._outside.checkpoint(checkpoint)

    async def _slow_down(self, batch: Sequence[Event]) -> None:
        """Let a guest wait that says too much, or whose bundles fill the store."""
        bodies = [event.body for event in batch if isinstance(event, Output)]
        size_bytes = sum(map(_size_bytes, bodies))
        now = trio.current_time()
        wait_s = max(
            self._bytes.spend(size_bytes, now),
            self._outputs.spend(len(bodies), now),
            self._changes.spend(sum(map(_is_change, bodies)), now),
        )
        if wait_s > 0:
            self._trouble("is slowed down: it says too much")
            await self.machine.alive_for(wait_s)
        sends = any(isinstance(body, Send | Request) for body in bodies)
        while sends and self._agent.share_of(self._vm_id) > STORE_SHARE:
            self._trouble("waits: its bundles fill the store")
            if not await self.machine.alive_for(FULL_WAIT_S):
                return

    def _trouble(self, what: str) -> None:
        now = trio.current_time()
        if now - self._troubled_at > TROUBLE_S:
            self._outside.warn(what)
        self._troubled_at, self._troubled = now, what

    @property
    def trouble(self) -> str:
        """What the guest is held back for, of late, as people should read it."""
        if trio.current_time() - self._troubled_at < TROUBLE_S:
            return f"its guest {self._troubled}"
        return ""

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
                await self._send(output.number, output.body, self._eid)
            case Request():
                await self._request(output.number, output.body)
            case Subscribe(stream, source, after):
                self._start_feed(stream, source, after)
            case Serve(stream, service):
                await self._kept(lambda: self._table.serve(self._vm_id, stream, service))
                self._register(service)
                self._start_mail(stream, 0)
            case Close(stream):
                await self._close(stream)
            case Hint(what, name):
                await self._kept(lambda: self._outside.hint(hint_text(what, name)))
            case _:
                pass  # Exit: recorded with the batch. Unreadable: there is nothing to do.

    async def _explain(self, ending: Ending, batch: Sequence[Event]) -> None:
        """How it ended, for who reads its log. That it ended is durable by now, since a backtrace
        takes its time; a crash meanwhile costs the backtrace only."""
        self._explained = True  # whoever ends more than once is not worth more processes
        lines = [ending.why]
        for event in batch:
            if isinstance(event, Output) and isinstance(event.body, Exit) and event.body.thread:
                (told,) = await explain(self.machine.files.image, [event.body.thread])
                lines += [f"  {line}" for line in told]
                break
        text = "".join(f"[radics] {line}\n" for line in lines)
        await self._kept(lambda: self._log.append(text.encode("utf-8", "replace")))

    async def _request(self, number: int, request: Request) -> None:
        if not request.to.startswith(OWN_SERVICE):
            source = Eid(self._eid + request.reply_service)
            await self._send(number, request, source)
        elif request.to == MESH_SERVICE:
            await self._answer(request.reply_service, self._outside.mesh())
        else:
            self._say(f"this node has no service {request.to[:80]!r}")

    async def _answer(self, service: str, reply: bytes) -> None:
        """The node's own reply to a request. Not to wait for room here: it is made by the very task
        that would hear of it."""
        if self._table.mail_bytes(self._vm_id, abi.STREAM_REPLIES) > ANSWERS_MAX_BYTES:
            self._say("too many replies wait for this VM; a request to the node is not answered")
            return
        node = self._outside.node
        await self._kept(lambda: self._table.post(self._vm_id, b"", node, service, reply))
        self._posted.set()

    async def _send(self, number: int, send: Send | Request, source: Eid) -> None:
        while True:
            try:
                destination = Eid(send.to)
                await self._agent.send(
                    destination,
                    send.payload,
                    source=source,
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
        boxes = [s for s in ready.streams if s.stream == 0 or s.kind]
        await self._kept(lambda: self._table.align(self._vm_id, boxes))
        for state in ready.streams:
            if state.kind == abi.KIND_SERVICE:
                self._register(state.source)
            if state.stream == 0 or state.kind:
                self._start_mail(state.stream, state.have)
            else:
                self._start_feed(state.stream, state.source, state.have)
        if ready.checkpoint:
            self._outside.checkpoint(ready.checkpoint)

    async def _close(self, stream: int) -> None:
        """A subscription or a service is no more."""
        scope = self._scopes.pop(stream, None)
        if scope is not None:
            scope.cancel()
        feed = self._feeds.pop(stream, None)
        if feed is not None:
            await self._kept(lambda: self._table.unsubscribe(self._vm_id, feed.source))
            self._running().start_soon(self._leave, feed)
            return
        for box in self._table.boxes(self._vm_id):
            if box.stream == stream:
                await self._kept(lambda: self._table.close_box(self._vm_id, stream))
                registration = self._registrations.pop(box.service, None)
                if registration is not None:
                    registration.close()

    async def _leave(self, feed: Feed) -> None:
        """Its publisher need not wait for it any more."""
        with trio.move_on_after(_LEAVE_S):
            await feed.aclose()

    async def _progressed(self, state: StreamState) -> None:
        feed = self._feeds.get(state.stream)
        if feed is None:
            await self._kept(lambda: self._table.taken(self._vm_id, state.done, state.stream))
            self._taken.set()
            return
        held = self._table.subscriptions(self._vm_id).get(feed.source)
        end = held.end if held and held.end else state.done + 1
        try:
            await feed.acknowledge(min(state.done, end - 1))
        except MeshError as error:  # superseded: another host speaks for this VM
            log.warning("feed broke", vm=self._vm_id.short, reason=str(error))

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
            if batch.end:
                await trio.sleep_forever()  # the feed must still hear what is done

    def _running(self) -> trio.Nursery:
        assert self._nursery is not None
        return self._nursery


def _ending(output: Output) -> Ending | None:
    body = output.body
    return Ending(body.how, body.status, body.why) if isinstance(body, Exit) else None


def hint_text(what: int, name: str) -> str:
    """A hint as the VM's settings keep it; empty: there is none."""
    return {
        abi.HINT_NEAR: f"near {name}",
        abi.HINT_NODE: f"on {name}",
        abi.HINT_STAY: "stay",
    }.get(what, "")


def _is_change(body: object) -> bool:
    if isinstance(body, Request):
        return body.to.startswith(OWN_SERVICE)
    return isinstance(body, Subscribe | Serve | Close | Hint)


def _size_bytes(body: object) -> int:
    match body:
        case Log(_, text):
            return len(text)
        case Send() | Request():
            return len(body.payload)
        case _:
            return 0
