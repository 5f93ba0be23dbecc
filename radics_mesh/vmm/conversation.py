"""The talk with one guest: its channel served over its pipes, until nothing more can come.

A guest that sends garbage is read no faster than _GARBAGE_BYTES_S of it, and a `Garbling` says so.
"""

from __future__ import annotations

import math
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
import trio

from radics_mesh.clock import Clock, Monotonic, Wall
from radics_mesh.errors import GuestError
from radics_mesh.vmm.allowance import Allowance
from radics_mesh.vmm.channel import Channel
from radics_mesh.vmm.ends import Broken
from radics_mesh.vmm.events import ChannelEvent
from radics_mesh.vmm.frames import Hello
from radics_mesh.vmm.pipes import Pipes

log = structlog.get_logger(__name__)

# After so many bytes of a guest's others get their turn.
_SLICE_BYTES = 8192
# Garbage of a guest's that is read a second, and at once: losses on a busy host are far below.
_GARBAGE_BYTES_S, _GARBAGE_BURST_BYTES = 64 << 10, 1 << 20
# It is said again after so long.
_GARBLING_S = 10.0


@dataclass(frozen=True)
class Garbling:
    """The guest has to wait, because so much of what it sends means nothing."""

    bad_frames: int


class Conversation:
    """`happened` is awaited with each event, in order; `gone`: QEMU has ended.

    `broken` says how the guest broke the channel's contract. Whoever wants something of `channel`
    says `kick` afterwards, so that it is written.
    """

    def __init__(
        self,
        hello: Hello,
        clock: Clock,
        gone: trio.Event,
        happened: Callable[[ChannelEvent | Garbling], Awaitable[None]],
    ) -> None:
        self.channel = Channel(hello, os.urandom)
        self.broken: Broken | None = None
        self._clock = clock
        self._gone = gone
        self._happened = happened
        self._kick = trio.Event()
        self._listening = trio.CancelScope()
        self._garbage = Allowance(_GARBAGE_BYTES_S, _GARBAGE_BURST_BYTES)
        self._garbage_seen = 0
        self._garbling_at = -math.inf
        # Opened by `begin`, for `serve`, and what did not fit into them.
        self._pipes: Pipes | None = None
        self._unwritten = b""

    def begin_anew(self, hello: Hello) -> None:
        """Before anything was said: what is known of the VM has changed altogether."""
        self.channel = Channel(hello, os.urandom)

    def begin(self, path: Path) -> None:
        """Say the first word before the guest runs, so that it need not wait for it. A no-op when
        QEMU is gone."""
        with suppress(FileNotFoundError):  # `serve` finds that out as well
            self._pipes = Pipes(path)
            self.channel.connected(self.now(), self.wall())
            data = self.channel.outgoing()
            self._unwritten = data[self._pipes.write(data) :]

    def close(self) -> None:
        """Nobody will `serve` what was begun."""
        pipes, self._pipes = self._pipes, None
        if pipes is not None:
            pipes.close()

    def kick(self) -> None:
        """Write what the channel has to say."""
        self._kick.set()

    def stop_listening(self) -> None:
        """QEMU is gone: what the guest has said is still taken, then `serve` returns."""
        self._listening.cancel()

    async def serve(self, path: Path) -> None:
        """Over the pipes at `path`, until QEMU is gone and its last word is taken, or the guest
        broke."""
        pipes, self._pipes = self._pipes, None
        if pipes is None:
            try:
                pipes = Pipes(path)
            except FileNotFoundError:  # killed meanwhile, and tidied up after
                return
            self.channel.connected(self.now(), self.wall())
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, pipes)
                await self._read(pipes)
                await self._received(pipes.rest())
                nursery.cancel_scope.cancel()
        except* GuestError as errors:
            reason = str(errors.exceptions[0])
            log.warning("guest broke the channel", vm=path.parent.name, reason=reason)
            self.broken = Broken(reason)
        finally:
            self.channel.disconnected()
            pipes.close()

    async def _write(self, pipes: Pipes) -> None:
        """Write what the channel has to say, now and when its time comes."""
        while True:
            self._kick = trio.Event()
            if data := self._unwritten + self.channel.outgoing():
                self._unwritten = b""
                await pipes.send(data)
                continue
            deadline = self.channel.deadline
            with trio.move_on_at(math.inf if deadline is None else deadline):
                await self._kick.wait()
            self.channel.poll(self.now(), self.wall())

    async def _read(self, pipes: Pipes) -> None:
        while data := await self._next(pipes):
            for start in range(0, len(data), _SLICE_BYTES):
                await self._received(data[start : start + _SLICE_BYTES])

    async def _next(self, pipes: Pipes) -> bytes:
        """What the guest says next; empty when nothing more can come."""
        with trio.CancelScope() as self._listening:
            if self._gone.is_set():
                self._listening.cancel()
            return await pipes.receive()
        return b""

    async def _received(self, data: bytes) -> None:
        for event in self.channel.received(data, self.now(), self.wall()):
            await self._happened(event)
        if b"\0" in data:  # else a frame goes on, and there was nothing to do yet
            self._kick.set()
            await trio.lowlevel.checkpoint()
        await self._brake()

    async def _brake(self) -> None:
        """Let a guest wait that has sent too much garbage."""
        seen = self.channel.faults.garbage_bytes
        wait_s = self._garbage.spend(seen - self._garbage_seen, self.now())
        self._garbage_seen = seen
        if wait_s > 0 and self.now() - self._garbling_at > _GARBLING_S:
            self._garbling_at = self.now()
            await self._happened(Garbling(self.channel.faults.bad_frames))
        if wait_s > 0:
            with trio.move_on_after(min(wait_s, 1.0)):
                await self._gone.wait()

    def now(self) -> Monotonic:
        return Monotonic(trio.current_time())

    def wall(self) -> Wall:
        return self._clock.wall()
