"""A TCPCLv3 session over a stream: the Trio shell of radics_mesh.dtn.layers.tcpcl.

Three tasks and one for each bundle that is being taken: the reader, the only writer, the
timer. Bundles are handed to the receiver in order of arrival, up to CONCURRENT at once so that its
store can commit them together; when so many are being taken, nothing more is read, and TCP makes
the sender wait. Nor is anything read while the peer leaves its answers unread: who only writes
would fill our memory with them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog
import trio

from radics_mesh.clock import Monotonic
from radics_mesh.config import Foreign
from radics_mesh.dtn.handling.broken_off import BrokenOff
from radics_mesh.dtn.layers import parts
from radics_mesh.dtn.layers import tcpcl_wire as wire
from radics_mesh.dtn.layers.parts import Keeper
from radics_mesh.dtn.layers.tcpcl import OFFERED, Session
from radics_mesh.dtn.layers.tcpcl_events import (
    Acknowledged,
    Announced,
    Arrived,
    Content,
    Ended,
    Event,
    Greeted,
    Part,
    Refused,
    Transmission,
)
from radics_mesh.dtn.layers.tcpcl_sending import SEGMENT_BYTES
from radics_mesh.dtn.layers.tcpcl_wire import Features
from radics_mesh.dtn.storage.spool import Spool, Spooled
from radics_mesh.dtn.trust.chains import ChainUnknown
from radics_mesh.errors import CapacityError, LinkError, MeshError, PeerError, WireError
from radics_mesh.ids import Eid, NodeId
from radics_mesh.sealed import ByteStream

log = structlog.get_logger(__name__)

Peer = NodeId | Foreign
# Who an EID is; PeerError when it may not speak here.
Identify = Callable[[Eid], Peer]

CONCURRENT = 64
BUNDLE_MAX_BYTES = 1 << 28
# A bundle that grows over this goes to a file piece by piece.
COLLECT_MAX_BYTES = 1 << 20
_READ_BYTES = 1 << 18
# Events of so many bytes are made at once: a bundle can have as few as three.
_FEED_BYTES = 1 << 14
# Nothing is read while answers of so many bytes wait to be written.
_BACKLOG_MAX_BYTES = 1 << 16
# A write of _WRITE_BYTES that takes longer has a peer that reads nothing at its other end.
STALLED_S = 300.0
# How often a bundle is sent again at once because the peer wants it again.
_RETRANSMIT_MAX = 3
_WRITE_BYTES = 1 << 18
_GOODBYE_TIMEOUT_S = 0.5
_LAST_WORDS_S = 1.0


class Spooler(Protocol):
    """What takes large bundles, as files."""

    def has_room(self, size_bytes: int) -> bool: ...

    def spool(self) -> Spool: ...

    def knows(self, begun: bytes, peer: Peer) -> bool: ...

    async def receive(self, raw: bytes | Spooled, peer: Peer) -> object: ...


class Receiver(Protocol):
    """What takes bundles: returns when one is durable; WireError, PeerError, CapacityError."""

    async def receive(self, raw: bytes, peer: Peer) -> object: ...


class _Again(MeshError):
    """The peer wants a bundle once more from its beginning."""


class _Waiter:
    """A caller of `transmit`."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.error: MeshError | None = None

    def finish(self, error: MeshError | None = None) -> None:
        self.error = error
        self.over.set()


class TcpclSession:
    """One session; `run` it in a task, then `transmit` from others."""

    def __init__(
        self,
        stream: ByteStream,
        *,
        own: Eid,
        identify: Identify,
        receiver: Receiver,
        keepalive_s: int,
        bundle_max_bytes: int = BUNDLE_MAX_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        idle_s: float = math.inf,
        has_room: Callable[[int], bool] = lambda size_bytes: True,
        on_greeted: Callable[[Peer], None] | None = None,
        large: Spooler | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        """`on_greeted` is told who is there as soon as `transmit` may be called. `has_room` is
        asked about a bundle whose length is announced. The session ends when no bundle has passed
        for `idle_s`. `large` gets bundles of more than COLLECT_MAX_BYTES; without one they are
        collected in memory, too. With a `keeper` reactive fragmentation is offered."""
        self._stream = stream
        self._identify = identify
        self._receiver = receiver
        self._on_greeted = on_greeted
        self._has_room = has_room
        self._large = large
        self._spools: dict[int, Spool] = {}
        self._keeper = keeper
        # Held while events are handled: what a bundle's next piece is depends on all before.
        self._order = trio.Lock()
        self._core = Session(
            own,
            keepalive_s=keepalive_s,
            bundle_max_bytes=bundle_max_bytes,
            now=_now(),
            segment_bytes=segment_bytes,
            idle_s=idle_s,
            collect_max_bytes=None if large is None else COLLECT_MAX_BYTES,
            offered=OFFERED if keeper is None else OFFERED | Features.REACTIVE_FRAGMENTATION,
        )
        self._waiters: dict[Transmission, _Waiter] = {}
        self._taking = trio.CapacityLimiter(CONCURRENT)
        self._arrived: deque[Arrived] = deque()  # and not yet with the receiver
        self._something_to_write = trio.Event()
        self._taken = trio.Event()  # by the writer, of the answers that wait
        self._quiet = trio.Event()  # nothing is left to write
        self._deaf = False  # it reads nothing any more
        self._clogged = False
        self._scope = trio.CancelScope()
        self._greeted = trio.Event()
        self._error: MeshError | None = None
        self._writing = False
        self._draining = False
        self._over = False
        self.peer: Peer | None = None
        # How long the peer asked us to stay away when it ended the session.
        self.delay_s = 0.0

    async def run(self, *, task_status: trio.TaskStatus[Peer] = trio.TASK_STATUS_IGNORED) -> None:
        """Greet, report who is there, then carry bundles until the session ends in order.

        LinkError when it breaks off, WireError or PeerError when the peer is at fault. Closes the
        stream; whoever waits in `transmit` gets a LinkError.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._guard, self._write)
                    nursery.start_soon(self._guard, self._watch_time)
                    nursery.start_soon(self._guard, self._read)
                    nursery.start_soon(self._guard, self._keep_parts)
                    await self._greeted.wait()
                    assert self.peer is not None
                    task_status.started(self.peer)
        finally:
            self._over = True
            for transmission, waiter in self._waiters.items():
                waiter.finish(self._broken_off(transmission))
            for spool in self._spools.values():
                spool.discard()
            await self._say_goodbye()
            await self._leave_parts()
        if self._error is not None:
            raise self._error

    async def transmit(self, bundle: Content) -> None:
        """Send a bundle; returns when the peer has acknowledged it, CapacityError or PeerError
        when it refuses, LinkError when the session ends first: BrokenOff if the peer has a part.

        Cancelled, it may or may not have been sent.
        """
        for _ in range(_RETRANSMIT_MAX):
            try:
                return await self._transmit_once(bundle)
            except _Again:
                log.debug("the neighbour wants a bundle again", peer=str(self.peer))
        raise CapacityError(f"the neighbour wanted a bundle {_RETRANSMIT_MAX} times")

    async def _transmit_once(self, bundle: Content) -> None:
        if self._over or self.peer is None:
            raise LinkError("the session is not up")
        transmission = self._core.send(bundle)
        waiter = self._waiters[transmission] = _Waiter()
        self._something_to_write.set()
        try:
            await waiter.over.wait()
        finally:
            del self._waiters[transmission]
            self._core.withdraw(transmission)
        if waiter.error is not None:
            raise waiter.error

    def sent_of(self, bundle: Content) -> int | None:
        """How much of a bundle in `transmit` has left; None: it is not under way."""
        under_way = (one for one in self._waiters if one.bundle is bundle)
        return next((one.sent_bytes for one in under_way), None)

    @property
    def backlog_bytes(self) -> int:
        """Answers that the peer has not read yet, as far as they are still here."""
        return self._core.backlog_bytes

    @property
    def acked_bytes(self) -> int:
        """What the peer has acknowledged of bundles that are still on their way."""
        return sum(transmission.acked_bytes for transmission in self._waiters)

    def _broken_off(self, transmission: Transmission) -> LinkError:
        if self._core.is_reactive and transmission.acked_bytes:
            return BrokenOff(transmission.acked_bytes)
        return LinkError("the session ended")

    def stop(self) -> None:
        """End the session: `run` says goodbye and returns."""
        self._scope.cancel()

    async def _guard(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """A task's failure is the session's, once, and not an exception group."""
        try:
            await task(*args)
        except MeshError as error:
            self._fail(error)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._fail(LinkError(f"the link broke: {error}"))

    def _fail(self, error: MeshError) -> None:
        if not self._draining and self._error is None:
            self._error = error
            self._scope.cancel()

    # --- tasks ---

    async def _read(self) -> None:
        """Until the peer ends the session. What came whole before that is still taken: a peer
        without acknowledgements will not send it again."""
        async with trio.open_nursery() as takes:
            await self._guard(self._read_until_end, takes)
        # The last answers still go out, to a peer that may read them.
        self._quiet = trio.Event()
        self._something_to_write.set()
        if not self._deaf:
            with trio.move_on_after(_LAST_WORDS_S):
                await self._quiet.wait()
        self._scope.cancel()

    async def _read_until_end(self, takes: trio.Nursery) -> None:
        while not self._draining:
            data = await self._stream.receive_some(_READ_BYTES)
            if not data:
                self._error = LinkError("the peer hung up")
                self._draining = True
            for at in range(0, len(data), _FEED_BYTES):
                async with self._order:
                    for event in self._core.receive(data[at : at + _FEED_BYTES], _now()):
                        await self._handle(event, takes)
                self._something_to_write.set()
                await self._let_answers_go()

    async def _let_answers_go(self) -> None:
        self._clogged = True
        while self._core.backlog_bytes > _BACKLOG_MAX_BYTES:
            self._taken = trio.Event()
            await self._taken.wait()
        self._clogged = False

    async def _write(self) -> None:
        while True:
            # Made anew before `take`: what is queued while we write must wake us again.
            self._something_to_write = trio.Event()
            data, sent = self._core.take(_WRITE_BYTES, _now())
            self._taken.set()
            if not data:
                self._quiet.set()
                await self._something_to_write.wait()
                continue
            self._writing = True
            try:
                with trio.move_on_after(STALLED_S) as scope:
                    await self._stream.send_all(data)
                if scope.cancelled_caught:
                    raise LinkError("the peer reads nothing")
            except trio.BrokenResourceError:
                self._deaf = True
                # The peer left. What it sent before may still wait to be read.
                await trio.sleep(_LAST_WORDS_S)
                raise
            self._writing = False
            for acknowledged in sent:
                self._finish(acknowledged.transmission)

    async def _watch_time(self) -> None:
        # The greeting may bring a nearer deadline than its own was.
        with trio.move_on_after(max(0.0, self._core.deadline - _now())):
            await self._greeted.wait()
        while True:
            if self._clogged or self._taking.statistics().tasks_waiting:
                # We do not read, so silence says nothing about the peer.
                self._core.receive(b"", _now())
            if self._core.is_idle(_now()):
                self.stop()
            self._core.tick(_now())
            self._something_to_write.set()
            await trio.sleep_until(self._core.deadline)

    async def _take(self) -> None:
        """Hand the next bundle to the receiver, then answer. Whichever task is first takes what
        came first, so they reach the receiver in order of arrival."""
        assert self.peer is not None
        arrived = self._arrived.popleft()
        try:
            await self._receive(arrived, self.peer)
        except CapacityError:
            self._core.refuse(arrived.number, wire.NO_RESOURCES)
        except ChainUnknown:
            self._core.refuse(arrived.number, wire.CHAIN_UNKNOWN)
        except (WireError, PeerError):
            self._core.refuse(arrived.number, wire.UNKNOWN)
        else:
            self._core.accept(arrived.number)
        finally:
            self._taking.release_on_behalf_of(arrived.number)
        if self._keeper is not None:
            self._keeper.settle(arrived.number)
        self._something_to_write.set()

    async def _receive(self, arrived: Arrived, peer: Peer) -> None:
        spool = self._spools.pop(arrived.number, None)
        if spool is None or self._large is None:
            await self._receiver.receive(arrived.bundle, peer)
            return
        try:
            whole = await spool.finish(arrived.bundle)
            # One that only took long is no file to the store, either.
            is_small = len(whole) <= COLLECT_MAX_BYTES
            await self._large.receive(bytes(whole) if is_small else whole, peer)
        finally:
            spool.discard()

    async def _spool(self, part: Part) -> None:
        """A piece of a large bundle. While it is written, nothing more is read."""
        assert self._large is not None
        try:
            spool = self._spools.get(part.number)
            if spool is None:
                assert self.peer is not None
                if self._core.takes_refusals and self._large.knows(part.content, self.peer):
                    self._core.refuse(part.number, wire.COMPLETED)
                    return
                spool = self._spools[part.number] = self._large.spool()
            if not self._large.has_room(len(part.content)):
                raise CapacityError("no room for a large bundle")
            await spool.write(part.content)
        except CapacityError:
            self._core.refuse(part.number, wire.NO_RESOURCES)
            if part.number in self._spools:
                self._spools.pop(part.number).discard()

    async def _keep_parts(self) -> None:
        """Now and then put what has come of a bundle that takes long on the disk, and say so."""
        last: int | None = None
        while self._keeper is not None:
            await trio.sleep(parts.KEEP_EVERY_S)
            async with self._order:
                number = self._core.receiving if self._core.is_reactive else None
                if number is not None and number == last:
                    await self._keep(self._keeper, number)
                last = number

    async def _keep(self, keeper: Keeper, number: int) -> None:
        part = self._core.flush()
        if part is not None:
            await self._spool(part)
        spool = self._spools.get(number)
        if spool is None:
            return
        try:
            self._core.keep(number, await keeper.keep(number, spool))
            self._something_to_write.set()
        except (OSError, CapacityError) as error:
            log.warning("cannot keep a part", reason=str(error))

    async def _leave_parts(self) -> None:
        """Also when this node goes down; what takes too long then is taken at its next start."""
        with trio.move_on_after(_LAST_WORDS_S) as scope:
            scope.shield = True
            if self._keeper is not None:
                await self._keeper.hand_over()

    async def _handle(self, event: Event, takes: trio.Nursery) -> None:
        match event:
            case Part():
                await self._spool(event)
            case Greeted():
                self.peer = self._identify(event.eid)
                self._greeted.set()
                if self._on_greeted is not None:
                    self._on_greeted(self.peer)
            case Announced():
                if not self._has_room(event.length):
                    self._core.refuse(event.number, wire.NO_RESOURCES)
            case Arrived():
                await self._taking.acquire_on_behalf_of(event.number)
                self._arrived.append(event)
                takes.start_soon(self._guard, self._take)
            case Acknowledged():
                self._finish(event.transmission)
            case Ended():
                self.delay_s = float(event.delay_s or 0)
                self._draining = True
            case Refused():
                self._finish(event.transmission, _refusal(event.reason))

    def _finish(self, transmission: Transmission, error: MeshError | None = None) -> None:
        waiter = self._waiters.get(transmission)
        if waiter is not None:
            waiter.finish(error)

    def _farewell(self) -> int:
        """The reason in our SHUTDOWN (section 6.1); who must leave unheard was one too many."""
        if isinstance(self._error, wire.VersionMismatch):
            return wire.VERSION_MISMATCH
        return wire.IDLE_TIMEOUT if self._error or self.peer is not None else wire.BUSY

    async def _say_goodbye(self) -> None:
        """SHUTDOWN, if it can be written whole and soon; then close."""
        self._core.shut_down(self._farewell(), None if isinstance(self.peer, NodeId) else 1)
        with trio.move_on_after(_GOODBYE_TIMEOUT_S) as scope:
            scope.shield = True
            try:
                if not self._writing:
                    await self._stream.send_all(self._core.take(_WRITE_BYTES, _now())[0])
                await self._stream.aclose()
                return
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
                log.debug("no goodbye")
        with trio.CancelScope(shield=True) as scope:
            scope.cancel()
            await self._stream.aclose()


def _refusal(reason: int) -> MeshError | None:
    """Section 5.4: what a refusal means for the sender's copy."""
    if reason == wire.COMPLETED:  # it has the bundle already
        return None
    if reason == wire.NO_RESOURCES:
        return CapacityError("the neighbour has no room")
    if reason == wire.RETRANSMIT:
        return _Again("the neighbour wants the bundle again")
    if reason == wire.CHAIN_UNKNOWN:
        return ChainUnknown("the neighbour asks for the whole bundle")
    return PeerError(f"the neighbour refuses the bundle (reason {reason})")


def _now() -> Monotonic:
    # Trio's clock and not the node's: deadlines are slept for in it.
    return Monotonic(trio.current_time())
