"""What a TCPCL session does with bundles that come in: to the receiver, to files, answered.

Bundles are handed to the receiver in order of arrival, up to CONCURRENT at once so that its store
can commit them together. A large one goes to a file piece by piece, and of one that takes long what
has come is kept now and then (radics_mesh.dtn.layers.parts).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

import structlog
import trio

from radics_mesh.dtn.layers import parts
from radics_mesh.dtn.layers import tcpcl_wire as wire
from radics_mesh.dtn.layers.parts import Keeper
from radics_mesh.dtn.layers.tcpcl import Session
from radics_mesh.dtn.layers.tcpcl_events import Arrived, Part
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.dtn.storage.spool import Spool, Spooled
from radics_mesh.dtn.trust.chains import ChainUnknown
from radics_mesh.errors import CapacityError, PeerError, WireError

log = structlog.get_logger(__name__)

CONCURRENT = 64
# A bundle that grows over this goes to a file piece by piece.
COLLECT_MAX_BYTES = 1 << 20
# For what is left to do when a session is over.
LAST_WORDS_S = 1.0


class Spooler(Protocol):
    """What takes large bundles, as files."""

    def has_room(self, size_bytes: int) -> bool: ...

    def spool(self) -> Spool: ...

    def knows(self, begun: bytes, peer: Peer) -> bool: ...

    def may_come(self, begun: bytes) -> bool: ...

    async def receive(self, raw: bytes | Spooled, peer: Peer) -> object: ...


class Receiver(Protocol):
    """What takes bundles: returns when one is durable; WireError, PeerError, CapacityError."""

    async def receive(self, raw: bytes, peer: Peer) -> object: ...


class Taking:
    """`answered` is called when the session has answers to write."""

    def __init__(
        self,
        core: Session,
        receiver: Receiver,
        large: Spooler | None,
        keeper: Keeper | None,
        answered: Callable[[], None],
    ) -> None:
        self._core = core
        self._receiver = receiver
        self._large = large
        self._keeper = keeper
        self._answered = answered
        self.peer: Peer | None = None
        # Held while events are handled: what a bundle's next piece is depends on all before.
        self.order = trio.Lock()
        self._spools: dict[int, Spool] = {}
        self._slots = trio.CapacityLimiter(CONCURRENT)
        self._arrived: deque[Arrived] = deque()  # and not yet with the receiver

    @property
    def is_full(self) -> bool:
        """Whether a bundle waits for one of those that are being taken."""
        return bool(self._slots.statistics().tasks_waiting)

    async def add(self, arrived: Arrived) -> None:
        """A whole bundle: `take` must run for it, in a task of its own. Waits for its turn."""
        try:
            self._slots.acquire_on_behalf_of_nowait(arrived.number)
        except trio.WouldBlock:
            await self._slots.acquire_on_behalf_of(arrived.number)
        self._arrived.append(arrived)

    def discard(self) -> None:
        """The session is over: what is not whole now will not be."""
        for spool in self._spools.values():
            spool.discard()

    async def take(self) -> None:
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
            self._slots.release_on_behalf_of(arrived.number)
        if self._keeper is not None:
            self._keeper.settle(arrived.number)
        self._answered()

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

    async def spool(self, part: Part) -> None:
        """A piece of a large bundle. While it is written, nothing more is read."""
        assert self._large is not None
        try:
            spool = self._spools.get(part.number)
            if spool is None:
                assert self.peer is not None
                if self._core.takes_refusals and self._large.knows(part.content, self.peer):
                    self._core.refuse(part.number, wire.COMPLETED)
                    return
                if not self._large.may_come(part.content):
                    raise CapacityError("no room for a large bundle of its priority")
                spool = self._spools[part.number] = self._large.spool()
            if not self._large.has_room(len(part.content)):
                raise CapacityError("no room for a large bundle")
            await spool.write(part.content)
        except CapacityError:
            self._core.refuse(part.number, wire.NO_RESOURCES)
            if part.number in self._spools:
                self._spools.pop(part.number).discard()

    async def keep_parts(self) -> None:
        """Now and then put what has come of a bundle that takes long on the disk, and say so."""
        last: int | None = None
        while self._keeper is not None:
            await trio.sleep(parts.KEEP_EVERY_S)
            async with self.order:
                number = self._core.receiving if self._core.is_reactive else None
                if number is not None and number == last:
                    await self._keep(self._keeper, number)
                last = number

    async def _keep(self, keeper: Keeper, number: int) -> None:
        part = self._core.flush()
        if part is not None:
            await self.spool(part)
        spool = self._spools.get(number)
        if spool is None:
            return
        try:
            self._core.keep(number, await keeper.keep(number, spool))
            self._answered()
        except (OSError, CapacityError) as error:
            log.warning("cannot keep a part", reason=str(error))

    async def leave_parts(self) -> None:
        """Also when this node goes down; what takes too long then is taken at its next start."""
        with trio.move_on_after(LAST_WORDS_S) as scope:
            scope.shield = True
            if self._keeper is not None:
                await self._keeper.hand_over()
