"""A mesh of failure detectors without Trio: datagrams on a heap, and time that jumps."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from random import Random

from radics_mesh.gossip.beliefs import Change
from radics_mesh.gossip.members import State
from radics_mesh.gossip.settings import Settings
from radics_mesh.gossip.swim import Swim
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest, NodeId
from radics_mesh.link import SocketAddress

MESH = Digest(bytes(32))
# A sealed datagram's overhead and the headers of UDP and IPv4.
OVERHEAD_BYTES = 41 + 28


def identity(number: int) -> Identity:
    return Identity(hashlib.sha256(b"gossip %d" % number).digest())


def at(number: int) -> SocketAddress:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 5050


class World:
    """Numbered nodes. One-way delays of 10 to 80 ms, and a loss that may change meanwhile."""

    def __init__(self, seed: int, loss: float = 0.0, settings: Settings | None = None) -> None:
        self.random = Random(seed)
        self.loss = loss
        self.settings = settings
        self.now = 0.0
        self.nodes: dict[int, Swim] = {}
        self.number: dict[NodeId, int] = {}
        self.sent: Counter[int] = Counter()
        self.bytes: Counter[int] = Counter()
        self.changes: list[tuple[float, int, Change]] = []
        self.island: Callable[[int], object] = lambda number: 0
        # Which ways lead nowhere.
        self.cut: Callable[[int, SocketAddress], bool] = lambda number, address: False
        self._ties = itertools.count()
        # (when, tie, node, datagram or None for its own deadline, source)
        self._heap: list[tuple[float, int, int, bytes | None, SocketAddress]] = []
        self._wake: dict[int, float] = {}

    def start(self, number: int, meets: Iterable[int] = (), **named: object) -> Swim:
        own = identity(number)
        self.number[own.node_id] = number
        swim = Swim(
            own,
            MESH,
            random=Random(self.random.random()),
            now=self.now,
            settings=self.settings,
            **named,  # type: ignore[arg-type]
        )
        self.nodes[number] = swim
        for other in meets:
            swim.meet(at(other), self.now)
        self._after(number)
        return swim

    def leave(self, number: int) -> None:
        self.nodes[number].leave()
        self._after(number)
        self.kill(number)

    def kill(self, number: int) -> None:
        del self.nodes[number]
        self._wake.pop(number, None)

    def run(self, until: float, stop: Callable[[], bool] = lambda: False) -> bool:
        """Whether `stop` was true before that time."""
        while self._heap and self._heap[0][0] <= until:
            when, _, number, datagram, source = heapq.heappop(self._heap)
            self.now = when
            swim = self.nodes.get(number)
            if swim is None:
                continue
            if datagram is not None:
                swim.receive(datagram, source, when)
            elif self._wake.get(number) == when:
                swim.tick(when)
            else:
                continue
            self._after(number)
            if stop():
                return True
        self.now = until
        return stop()

    def _after(self, number: int) -> None:
        swim = self.nodes[number]
        self.changes += [(self.now, number, change) for change in swim.changes()]
        for datagram, address in swim.outgoing:
            self._carry(datagram, number, address)
        swim.outgoing.clear()
        due = max(self.now + 1e-6, swim.deadline)
        if self._wake.get(number) != due:
            self._wake[number] = due
            self._push(due, number, None, at(number))

    def _carry(self, datagram: bytes, number: int, address: SocketAddress) -> None:
        self.sent[number] += 1
        self.bytes[number] += len(datagram) + OVERHEAD_BYTES
        a, b, c, d = map(int, address[0].split("."))
        target = b << 16 | c << 8 | d
        cut = a != 10 or self.cut(number, address)
        cut = cut or self.island(number) != self.island(target)
        if not cut and self.random.random() >= self.loss:
            due = self.now + self.random.uniform(0.01, 0.08)
            self._push(due, target, datagram, at(number))

    def _push(
        self, when: float, number: int, datagram: bytes | None, source: SocketAddress
    ) -> None:
        heapq.heappush(self._heap, (when, next(self._ties), number, datagram, source))

    # --- what they see --------------------------------------------------------------------------

    def state(self, number: int, of: int) -> State | None:
        member = self.nodes[number].members.get(identity(of).node_id)
        return member.state if member else None

    def views(self, state: State) -> int:
        """How many pairs (who, of whom) are in a state."""
        return sum(m.state is state for swim in self.nodes.values() for m in swim.members)

    def settle(self, count: int) -> None:
        """Start nodes 0 to `count` - 1, and wait until all know all, and have probed most."""
        self.start(0)
        for number in range(1, count):
            self.start(number, meets=[self.random.randrange(number)])
        full = count * (count - 1)
        assert self.run(self.now + 120, lambda: self.views(State.ALIVE) == full)
        self.run(self.now + count)
