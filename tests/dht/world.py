"""A mesh of DHT nodes in one process, over a network in memory or over UDP on loopback."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import trio

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.codec import Fields, pack
from radics_mesh.config import Address
from radics_mesh.dht.server import Dht
from radics_mesh.dht.store import Slot
from radics_mesh.errors import PeerError
from radics_mesh.ids import NodeId
from radics_mesh.link import DatagramLink, Restricted, SocketAddress
from radics_mesh.link_memory import MemoryNetwork

PORT = 5050
TTL_S = 60.0


class TrioClock:
    """Trio's clock as a Clock, so that MockClock moves it."""

    def monotonic(self) -> Monotonic:
        return Monotonic(trio.current_time())

    def wall(self) -> Wall:
        return Wall(1_800_000_000.0 + trio.current_time())


class Facts:
    """Contents whose proof is a hash: [owner, sequence, text, SHA-1 of the rest]."""

    def admit(self, key: bytes, value: bytes) -> Slot:
        fields = Fields.parse(value, "fact")
        owner, sequence, text = fields.blob(20), fields.integer(), fields.text(limit=1400)
        if fields.blob(20) != _proof(owner, sequence, text):
            raise PeerError("forged")
        if key != fact_key(text):
            raise PeerError("wrong key")
        return Slot(owner, sequence, TTL_S)

    def aged(self, value: bytes, held_s: float) -> bytes:
        return value


def _proof(owner: bytes, sequence: int, text: str) -> bytes:
    return hashlib.sha1(pack([owner, sequence, text])).digest()


def fact(owner: bytes, sequence: int, text: str) -> bytes:
    return pack([owner, sequence, text, _proof(owner, sequence, text)])


def fact_key(text: str) -> bytes:
    """The subject is what stands before a colon."""
    return hashlib.sha1(text.partition(":")[0].encode()).digest()


def node_id(number: int) -> NodeId:
    return NodeId(hashlib.sha1(b"node %d" % number).digest())


def at(number: int) -> SocketAddress:
    return f"10.0.{number // 250}.{number % 250 + 1}", PORT


@dataclass
class World:
    """Numbered nodes; `reach` limits whom a node can talk to, both ways."""

    nursery: trio.Nursery
    network: MemoryNetwork
    random: Random
    nodes: dict[int, Dht] = field(default_factory=dict)
    _scopes: dict[int, trio.CancelScope] = field(default_factory=dict)

    async def start(
        self,
        number: int,
        *,
        bootstrap: Iterable[int] = (),
        reach: Iterable[int] | None = None,
        book: Path | None = None,
        id_number: int | None = None,
    ) -> Dht:
        inner = self.network.link(at(number))
        link = inner if reach is None else Restricted(inner, [at(other) for other in reach])
        dht = Dht(
            link=link,
            node_id=node_id(number if id_number is None else id_number),
            clock=TrioClock(),
            bootstrap=[Address(*at(other)) for other in bootstrap],
            peers_path=book,
            random=Random(number),
        )
        dht.serve(Facts())
        self.nodes[number] = dht
        await self.nursery.start(self._run, number, dht, link)
        return dht

    async def _run(
        self,
        number: int,
        dht: Dht,
        link: DatagramLink,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        with trio.CancelScope() as scope:
            self._scopes[number] = scope
            try:
                await dht.run(task_status=task_status)
            finally:
                link.close()

    async def kill(self, number: int) -> None:
        self._scopes.pop(number).cancel()
        del self.nodes[number]
        await trio.testing.wait_all_tasks_blocked()

    async def mesh(self, count: int) -> None:
        """Start this many nodes that join through node 0, and let them settle."""
        for number in range(count):
            await self.start(number, bootstrap=[0] if number else [])
        await trio.sleep(10)
