"""A convergence layer in memory, for tests and simulations: delay, rate, loss, a schedule.

Driven by Trio's clock and a random source that the caller seeds. A wire joins two agents; while it
is up, each has a contact with the other. What a bundle goes through, in each direction alone:

  rate    bundles go out one after the other, each for as long as its bytes take
  loss    each time a bundle is lost on the way it is sent again after a round trip, as a stream
          that repeats what was lost would do
  delay   one way; the receiver's answer takes as long

A wire that goes down breaks off whatever was not answered by then: its sender gets a LinkError,
also for a bundle that had arrived, which is then sent twice, as over a real link.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Protocol

import trio

from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.errors import LinkError, MeshError, UsageError


class Contact(Protocol):
    def close(self) -> None: ...


class Agent(Protocol):
    """What a convergence layer needs of radics_mesh.dtn.agent."""

    async def receive(self, raw: bytes, peer: Peer) -> object: ...

    def contact_up(
        self, peer: Peer, transmit: Callable[[bytes], Awaitable[None]], /
    ) -> Contact: ...


@dataclass(frozen=True)
class End:
    """One agent, and who it is to the other."""

    peer: Peer
    agent: Agent


@dataclass(frozen=True)
class Quality:
    """`delay_s` one way; `bytes_per_s` in each direction; `loss` of a bundle, 0 to below 1."""

    delay_s: float = 0.0
    bytes_per_s: float = math.inf
    loss: float = 0.0

    def __post_init__(self) -> None:
        if self.delay_s < 0 or self.bytes_per_s <= 0 or not 0 <= self.loss < 1:
            raise UsageError(f"no such link: {self}")


class MemoryWire:
    """A link between two agents, down until `up` or until `run` follows a schedule.

    `random` decides about losses; without one nothing may be lost.
    """

    def __init__(
        self,
        one: End,
        other: End,
        quality: Quality = Quality(),
        random: Random | None = None,
    ) -> None:
        if quality.loss and random is None:
            raise UsageError("losses need a random source")
        self._random = random
        self.quality = quality
        self._ends = one, other
        self._halves: list[_Half] = []
        self._contacts: list[Contact] = []

    @property
    def is_up(self) -> bool:
        return bool(self._contacts)

    def up(self) -> None:
        """Both agents have a contact from now on. Idempotent."""
        if self._contacts:
            return
        one, other = self._ends
        self._halves = [
            _Half(self.quality, one.peer, other.agent, self._random),
            _Half(self.quality, other.peer, one.agent, self._random),
        ]
        self._contacts = [
            one.agent.contact_up(other.peer, self._halves[0].transmit),
            other.agent.contact_up(one.peer, self._halves[1].transmit),
        ]

    def down(self) -> None:
        """The contacts end; what was not answered breaks off. Idempotent."""
        halves, self._halves = self._halves, []
        contacts, self._contacts = self._contacts, []
        for half in halves:
            half.cut()
        for contact in contacts:
            contact.close()

    async def run(self, schedule: Iterable[tuple[float, float]]) -> None:
        """Be up from `start` to `end` (seconds of Trio's clock), for each of these in order."""
        try:
            for start, end in schedule:
                await trio.sleep_until(start)
                self.up()
                await trio.sleep_until(end)
                self.down()
        finally:
            self.down()


class _Half:
    """One direction, for as long as the wire is up."""

    def __init__(
        self, quality: Quality, sender: Peer, receiver: Agent, random: Random | None
    ) -> None:
        self._quality = quality
        self._sender = sender
        self._receiver = receiver
        self._random = random
        self._free_at = -math.inf  # when the last byte of all so far will have left
        self._running: set[trio.CancelScope] = set()
        self._is_cut = False

    def cut(self) -> None:
        self._is_cut = True
        for scope in self._running:
            scope.cancel()

    async def transmit(self, raw: bytes) -> None:
        """As any convergence layer: returns when it is acknowledged. See `forwarding`."""
        with trio.CancelScope() as scope:
            self._running.add(scope)
            try:
                if not self._is_cut:
                    await self._carry(raw)
                    return
            finally:
                self._running.discard(scope)
        raise LinkError("the link went down")

    async def _carry(self, raw: bytes) -> None:
        delay_s = self._quality.delay_s
        await self._occupy(len(raw))
        while self._random is not None and self._random.random() < self._quality.loss:
            await _pass(2 * delay_s)
            await self._occupy(len(raw))
        await _pass(delay_s)
        # Also a refusal takes its time to get back. What is being stored is not unstored when the
        # link goes down: the receiver has it by then.
        with trio.CancelScope(shield=True):
            try:
                await self._receiver.receive(raw, self._sender)
                error = None
            except MeshError as refusal:
                error = refusal
        await _pass(delay_s)
        if error is not None:
            raise error

    async def _occupy(self, size_bytes: int) -> None:
        now = trio.current_time()
        self._free_at = max(now, self._free_at) + size_bytes / self._quality.bytes_per_s
        await _pass(self._free_at - now)


async def _pass(time_s: float) -> None:
    """A link without delay costs no turn of the clock, yet one of the scheduler."""
    if time_s > 0:
        await trio.sleep(time_s)
    else:
        await trio.lowlevel.checkpoint()
