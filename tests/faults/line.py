"""The wire between two nodes: everything that they say to each other goes through here.

Each end knows the other by a loopback address that is the line's: there the line listens, for TCP
and UDP, and from there it dials on. So each takes the other for a neighbour at that address.
"""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

import trio

CHUNK_BYTES = 16 << 10
# Close with a reset, at once.
_NO_LINGER = struct.pack("ii", 1, 0)
_GONE = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


@dataclass(frozen=True)
class End:
    """A node's own address, and the host under which the other end knows it."""

    host: str
    port: int
    seen_as: str

    @property
    def address(self) -> str:
        """For the other end's configuration."""
        return f"{self.seen_as}:{self.port}"


@dataclass
class Line:
    """`chunks`: so many pieces have gone over it, both ways, each of CHUNK_BYTES at most.

    When it is cut, what is under way is lost. `silent`: nobody is told; else sessions are reset.
    """

    one: End
    other: End
    chunks: int = 0
    is_up: bool = True
    _cut_at: int = 0
    _silent: bool = False
    _was_cut: trio.Event = field(default_factory=trio.Event)
    _sockets: set[trio.socket.SocketType] = field(default_factory=set)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with ExitStack() as stack:
            doors = {}
            for end in (self.one, self.other):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    doors[end, kind] = stack.enter_context(await _bound(end, kind))
            async with trio.open_nursery() as nursery:
                for end, far in ((self.one, self.other), (self.other, self.one)):
                    # What comes to the address of one end is for it, and comes from the other's.
                    listener = doors[end, socket.SOCK_STREAM]
                    listener.listen(16)
                    nursery.start_soon(self._accept, listener, end, far, nursery)
                    come, go = doors[end, socket.SOCK_DGRAM], doors[far, socket.SOCK_DGRAM]
                    nursery.start_soon(self._datagrams, come, go, end)
                task_status.started()
                await trio.sleep_forever()

    def cut_in(self, chunks: int, *, silent: bool) -> None:
        """Cut it before the so-maniest piece from now."""
        self._cut_at, self._silent = self.chunks + chunks, silent
        self._was_cut = trio.Event()

    async def was_cut(self) -> None:
        await self._was_cut.wait()

    def cut(self, *, silent: bool = False) -> None:
        self.is_up, self._cut_at, self._silent = False, 0, silent
        self._was_cut.set()
        if not silent:
            self._reset()

    def mend(self) -> None:
        """Sessions that went over it while it was silent have a hole, and end."""
        self._cut_at = 0
        if not self.is_up:
            self._reset()
            self.is_up = True

    def _reset(self) -> None:
        for sock in list(self._sockets):
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            sock.close()
        self._sockets.clear()

    async def _accept(
        self, listener: trio.socket.SocketType, to: End, by: End, nursery: trio.Nursery
    ) -> None:
        while True:
            caller, _ = await listener.accept()
            nursery.start_soon(self._carry, caller, to, by)

    async def _carry(self, caller: trio.socket.SocketType, to: End, by: End) -> None:
        called = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        pair = {caller, called}
        self._sockets |= pair
        try:
            if not self.is_up and self._silent:
                await trio.sleep_forever()
            if not self.is_up:
                return
            with suppress(*_GONE):
                await called.bind((by.seen_as, 0))
                await called.connect((to.host, to.port))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, caller, called, nursery.cancel_scope)
                    nursery.start_soon(self._pump, called, caller, nursery.cancel_scope)
        finally:
            self._sockets -= pair
            for sock in pair:
                sock.close()

    async def _pump(
        self,
        source: trio.socket.SocketType,
        sink: trio.socket.SocketType,
        both: trio.CancelScope,
    ) -> None:
        with suppress(*_GONE):
            while data := await source.recv(CHUNK_BYTES):
                self.chunks += 1
                if self._cut_at and self.chunks >= self._cut_at:
                    self.cut(silent=self._silent)
                if not self.is_up:
                    await self._stand_still()
                    break
                view = memoryview(data)
                while view:
                    view = view[await sink.send(view) :]
        both.cancel()

    async def _stand_still(self) -> None:
        """Lost, and nobody is told before the line is mended."""
        while not self.is_up:  # noqa: ASYNC110 - of no hurry
            await trio.sleep(0.01)

    async def _datagrams(
        self, come: trio.socket.SocketType, go: trio.socket.SocketType, to: End
    ) -> None:
        while True:
            with suppress(OSError):  # the node is down: ICMP says so
                data, _ = await come.recvfrom(1 << 16)
                if self.is_up:
                    await go.sendto(data, (to.host, to.port))


async def _bound(end: End, kind: socket.SocketKind) -> trio.socket.SocketType:
    sock = trio.socket.socket(socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    await sock.bind((end.seen_as, end.port))
    return sock
