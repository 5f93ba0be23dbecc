"""A datagram network in memory, for tests and simulations: delay, loss, partitions.

Driven by Trio's clock and a random source that the caller seeds, so under MockClock a mesh of a
thousand nodes is deterministic and takes no real time.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Collection
from random import Random

import trio

from radics_mesh.errors import LinkError, UsageError
from radics_mesh.link import SocketAddress


class MemoryNetwork:
    """What connects MemoryLinks. `delay_s` is one-way, uniform between both; `loss` 0 to 1.

    `counters`: sent, bytes, lost, cut (over a partition), unbound (nobody is there).
    """

    def __init__(
        self, random: Random, *, delay_s: tuple[float, float] = (0.0, 0.0), loss: float = 0.0
    ) -> None:
        self.delay_s = delay_s
        self.loss = loss
        self.counters: Counter[str] = Counter()
        self._random = random
        self._links: dict[SocketAddress, MemoryLink] = {}
        self._island: dict[SocketAddress, int] = {}

    def link(self, address: SocketAddress) -> MemoryLink:
        if address in self._links:
            raise UsageError(f"{address[0]} port {address[1]} is taken")
        link = self._links[address] = MemoryLink(self, address)
        return link

    def partition(self, *islands: Collection[SocketAddress]) -> None:
        """From now on datagrams pass inside an island only; who is in none is in a last one."""
        self._island = {
            address: number for number, island in enumerate(islands) for address in island
        }

    def heal(self) -> None:
        self._island = {}

    def forge(self, data: bytes, source: SocketAddress, destination: SocketAddress) -> None:
        """A datagram that names another sender than its own."""
        self._carry(data, source, destination)

    def move(self, link: MemoryLink, address: SocketAddress) -> None:
        """The link's host gets another address; what is under way to the old one is lost."""
        if address in self._links:
            raise UsageError(f"{address[0]} port {address[1]} is taken")
        self._unbind(link.local)
        link.local = address
        self._links[address] = link

    def _carry(self, data: bytes, source: SocketAddress, destination: SocketAddress) -> None:
        self.counters["sent"] += 1
        self.counters["bytes"] += len(data)
        target = self._links.get(destination)
        if self._island.get(source) != self._island.get(destination):
            self.counters["cut"] += 1
        elif self._random.random() < self.loss:
            self.counters["lost"] += 1
        elif target is None:
            self.counters["unbound"] += 1
        else:
            target._arrive(data, source, trio.current_time() + self._random.uniform(*self.delay_s))

    def _unbind(self, address: SocketAddress) -> None:
        self._links.pop(address, None)


class MemoryLink:
    """One end, made by `MemoryNetwork.link`: a DatagramLink."""

    def __init__(self, network: MemoryNetwork, local: SocketAddress) -> None:
        self.local = local
        self._network = network
        # (when due, tie-break, data, source)
        self._arrivals: list[tuple[float, int, bytes, SocketAddress]] = []
        self._ties = itertools.count()
        self._news = trio.Event()
        self._closed = False

    async def send(self, data: bytes, address: SocketAddress) -> None:
        await trio.lowlevel.checkpoint()
        if self._closed:
            raise LinkError("the link is closed")
        self._network._carry(data, self.local, address)

    async def receive(self) -> tuple[bytes, SocketAddress]:
        await trio.lowlevel.checkpoint()
        while not self._closed:
            now = trio.current_time()
            due = self._arrivals[0][0] if self._arrivals else float("inf")
            if due <= now:
                _, _, data, source = heapq.heappop(self._arrivals)
                return data, source
            self._news = trio.Event()
            with trio.move_on_at(due):
                await self._news.wait()
        raise LinkError("the link is closed")

    def close(self) -> None:
        self._closed = True
        self._network._unbind(self.local)
        self._news.set()

    def _arrive(self, data: bytes, source: SocketAddress, due: float) -> None:
        heapq.heappush(self._arrivals, (due, next(self._ties), data, source))
        self._news.set()
