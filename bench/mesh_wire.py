"""The wire of the simulated mesh: delay, loss, partitions, and one task that delivers.

As `radics_mesh.link_memory`, but made for a thousand nodes: there every link sleeps for what is
under way to it and is woken by each datagram twice, here one task sleeps for all. Delays are drawn
to the millisecond, so that what arrives in the same one is delivered in one go.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter, deque
from collections.abc import Collection, Iterable
from random import Random

import trio

from radics_mesh.errors import LinkError
from radics_mesh.link import SocketAddress

# One-way, by uniform chance. MESH.md's figures are for these.
DELAY_MS = (10, 80)


class Wire:
    """`loss` may be changed at any time. `run` delivers.

    `counters`: sent, bytes, lost, cut (over a partition), unbound (nobody is there).
    """

    def __init__(self, random: Random, *, loss: float = 0.0) -> None:
        self.loss = loss
        self.counters: Counter[str] = Counter()
        self._random = random
        self._ends: dict[SocketAddress, End] = {}
        self._island: dict[SocketAddress, int] = {}
        # (when due in ms, tie-break, data, source, destination)
        self._under_way: list[tuple[int, int, bytes, SocketAddress, SocketAddress]] = []
        self._ties = itertools.count()
        self._next_ms: float = math.inf
        self._sooner = trio.Event()

    def end(self, address: SocketAddress) -> End:
        made = self._ends[address] = End(self, address)
        return made

    def partition(self, islands: Iterable[Collection[SocketAddress]]) -> None:
        """From now on datagrams pass inside an island only."""
        self._island = {at: number for number, island in enumerate(islands) for at in island}

    def heal(self) -> None:
        self._island = {}

    def carry(self, data: bytes, source: SocketAddress, destination: SocketAddress) -> None:
        self.counters["sent"] += 1
        self.counters["bytes"] += len(data)
        if self._island.get(source) != self._island.get(destination):
            self.counters["cut"] += 1
        elif self._random.random() < self.loss:
            self.counters["lost"] += 1
        else:
            due_ms = math.ceil(trio.current_time() * 1000) + self._random.randint(*DELAY_MS)
            item = (due_ms, next(self._ties), data, source, destination)
            heapq.heappush(self._under_way, item)
            if due_ms < self._next_ms:
                self._sooner.set()

    async def run(self) -> None:
        while True:
            now_ms = trio.current_time() * 1000 + 1e-6
            while self._under_way and self._under_way[0][0] <= now_ms:
                _, _, data, source, destination = heapq.heappop(self._under_way)
                self._deliver(data, source, destination)
            self._next_ms = self._under_way[0][0] if self._under_way else math.inf
            self._sooner = trio.Event()
            with trio.move_on_at(self._next_ms / 1000):
                await self._sooner.wait()

    def _deliver(self, data: bytes, source: SocketAddress, destination: SocketAddress) -> None:
        end = self._ends.get(destination)
        if end is None:
            self.counters["unbound"] += 1
        else:
            end.arrive(data, source)

    def unbind(self, address: SocketAddress) -> None:
        self._ends.pop(address, None)


class End:
    """One node's end: a `radics_mesh.link.DatagramLink`."""

    def __init__(self, wire: Wire, local: SocketAddress) -> None:
        self.local = local
        self._wire = wire
        self._arrived: deque[tuple[bytes, SocketAddress]] = deque()
        self._reader: trio.lowlevel.Task | None = None
        self._closed = False

    async def send(self, data: bytes, address: SocketAddress) -> None:
        await trio.lowlevel.checkpoint()
        if self._closed:
            raise LinkError("the link is closed")
        self._wire.carry(data, self.local, address)

    async def receive(self) -> tuple[bytes, SocketAddress]:
        if not self._arrived and not self._closed:
            self._reader = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._leave)
        else:
            await trio.lowlevel.checkpoint()
        if self._closed:
            raise LinkError("the link is closed")
        return self._arrived.popleft()

    def _leave(self, _: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED

    def close(self) -> None:
        self._closed = True
        self._wire.unbind(self.local)
        self._wake()

    def arrive(self, data: bytes, source: SocketAddress) -> None:
        self._arrived.append((data, source))
        self._wake()

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            trio.lowlevel.reschedule(reader)
