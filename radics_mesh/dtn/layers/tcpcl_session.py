"""A TCPCLv3 session over a stream: the Trio shell of radics_mesh.dtn.layers.tcpcl.

Three tasks and one for each bundle that is being taken (`tcpcl_taking`): the reader, the only
writer, the timer. When many are being taken, nothing more is read, and TCP makes the sender wait.
Nor is anything read while the peer leaves its answers unread: who only writes would fill our memory
with them.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import structlog
import trio

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.handling.broken_off import BrokenOff
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
from radics_mesh.dtn.layers.tcpcl_taking import (
    COLLECT_MAX_BYTES,
    LAST_WORDS_S,
    Receiver,
    Spooler,
    Taking,
)
from radics_mesh.dtn.layers.tcpcl_wire import Features
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.dtn.trust.chains import ChainUnknown
from radics_mesh.errors import CapacityError, LinkError, MeshError, PeerError
from radics_mesh.ids import Eid, NodeId
from radics_mesh.sealed import ByteStream

log = structlog.get_logger(__name__)

# Who an EID is; PeerError when it may not speak here.
Identify = Callable[[Eid], Peer]

BUNDLE_MAX_BYTES = 1 << 28
_READ_BYTES = 1 << 18
# Events of so many bytes are made at once: a bundle can have as few as three. The rest of a segment
# is one event, however long.
_FEED_BYTES = 1 << 14
# Nothing is read while answers of so many bytes wait to be written.
_BACKLOG_MAX_BYTES = 1 << 16
# A write of _WRITE_BYTES that takes longer has a peer that reads nothing at its other end.
STALLED_S = 300.0
# How often a bundle is sent again at once because the peer wants it again.
_RETRANSMIT_MAX = 3
_WRITE_BYTES = 1 << 18
_GOODBYE_TIMEOUT_S = 0.5


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
        self._on_greeted = on_greeted
        self._has_room = has_room
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
        self._taking = Taking(self._core, receiver, large, keeper, answered=self._wake_writer)
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
                    nursery.start_soon(self._guard, self._taking.keep_parts)
                    await self._greeted.wait()
                    assert self.peer is not None
                    task_status.started(self.peer)
        finally:
            self._over = True
            for transmission, waiter in self._waiters.items():
                waiter.finish(self._broken_off(transmission))
            self._taking.discard()
            await self._say_goodbye()
            await self._taking.leave_parts()
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
            with trio.move_on_after(LAST_WORDS_S):
                await self._quiet.wait()
        self._scope.cancel()

    async def _read_until_end(self, takes: trio.Nursery) -> None:
        while not self._draining:
            data = await self._stream.receive_some(_READ_BYTES)
            if not data:
                self._error = LinkError("the peer hung up")
                self._draining = True
            at = 0
            while at < len(data):
                end = at + max(_FEED_BYTES, self._core.expected_bytes)
                await self._feed(data[at:end], takes)
                at = end

    async def _feed(self, data: bytes | bytearray, takes: trio.Nursery) -> None:
        # Each step of Trio's scheduler that a bundle does not need counts: most need none here.
        try:
            self._taking.order.acquire_nowait()
        except trio.WouldBlock:
            await self._taking.order.acquire()
        try:
            for event in self._core.receive(data, _now()):
                await self._handle(event, takes)
        finally:
            self._taking.order.release()
        if self._core.backlog_bytes:
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
                await trio.sleep(LAST_WORDS_S)
                raise
            self._writing = False
            for acknowledged in sent:
                self._finish(acknowledged.transmission)

    async def _watch_time(self) -> None:
        # The greeting may bring a nearer deadline than its own was.
        with trio.move_on_after(max(0.0, self._core.deadline - _now())):
            await self._greeted.wait()
        while True:
            if self._clogged or self._taking.is_full:
                # We do not read, so silence says nothing about the peer.
                self._core.receive(b"", _now())
            if self._core.is_idle(_now()):
                self.stop()
            self._core.tick(_now())
            self._something_to_write.set()
            await trio.sleep_until(self._core.deadline)

    def _wake_writer(self) -> None:
        self._something_to_write.set()

    async def _handle(self, event: Event, takes: trio.Nursery) -> None:
        match event:
            case Part():
                await self._taking.spool(event)
            case Greeted():
                self.peer = self._taking.peer = self._identify(event.eid)
                self._greeted.set()
                if self._on_greeted is not None:
                    self._on_greeted(self.peer)
            case Announced():
                if not self._has_room(event.length):
                    self._core.refuse(event.number, wire.NO_RESOURCES)
            case Arrived():
                await self._taking.add(event)
                takes.start_soon(self._guard, self._taking.take)
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
