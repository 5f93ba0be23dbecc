"""A simulated mesh: the real parts of N nodes that know of each other, on a wire of our own.

Real: identities and certificates, the seal of datagrams, the DHT, the directory with its records,
signatures and files (on a RAM disk). Simulated: time (Trio's MockClock, which jumps when all wait)
and the wire (bench.mesh_wire). Not there: TCP sessions, VMs, sources; a node states what such a
node states of itself, as often.

A run is decided by its seed: Trio's scheduler takes its choices from it too, and `repeatable` sets
Python's hashes, which order sets. Only keys, nonces and message ids are drawn by the system, and
nothing is decided by those.
"""

from __future__ import annotations

import gc
import hashlib
import itertools
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import trio
from trio.testing import MockClock

from bench.mesh_wire import End, Wire
from radics_mesh.clock import Monotonic, Wall
from radics_mesh.config import Address, Config
from radics_mesh.dht.server import Dht
from radics_mesh.directory.service import Directory
from radics_mesh.gossip.liveness import Liveness
from radics_mesh.identity import Identity
from radics_mesh.ids import NodeId
from radics_mesh.link import (
    SEAL_OVERHEAD_BYTES,
    TAG_DHT,
    TAG_SWIM,
    SealedDatagrams,
    SocketAddress,
)
from radics_mesh.me import Me
from radics_mesh.membership import YEAR_S, Verifier, found, invite
from radics_mesh.node.facts import node_body
from radics_mesh.records import Kind, dht_key, sign

START = Wall(1_800_000_000.0)
PORT = 5050
_FOUNDER = Identity(bytes(32))
_, MESH, _FOUNDERS = found(_FOUNDER, "founder", START)
# A mesh grows by so many nodes a second, or by a tenth of what it is if that is more; each comes
# through one that is there already.
ARRIVALS_PER_S = 10

Result = TypeVar("Result")


class SimulatedClock:
    """Trio's clock, which MockClock moves."""

    def monotonic(self) -> Monotonic:
        return Monotonic(trio.current_time())

    def wall(self) -> Wall:
        return Wall(START + trio.current_time())


class Metered(SealedDatagrams):
    """The real seal; `sent` counts sealed bytes by tag."""

    def __init__(self, link: End, mesh_key: bytes) -> None:
        super().__init__(link, mesh_key)
        self.sent: Counter[int] = Counter()

    async def send(self, tag: int, data: bytes, address: SocketAddress) -> None:
        await super().send(tag, data, address)
        self.sent[tag] += len(data) + SEAL_OVERHEAD_BYTES


def address_of(number: int) -> SocketAddress:
    return f"10.{number // 62500}.{number // 250 % 250}.{number % 250 + 1}", PORT


@dataclass
class Node:
    number: int
    identity: Identity
    seal: Metered
    dht: Dht
    directory: Directory
    liveness: Liveness
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    @property
    def id(self) -> NodeId:
        return self.identity.node_id

    @property
    def address(self) -> SocketAddress:
        return self.seal.local

    @property
    def key(self) -> bytes:
        """Of its own record in the DHT."""
        return dht_key(Kind.NODE, self.id.text)


@dataclass(frozen=True)
class Parts:
    """What of a node runs, above the seal."""

    dht: bool = True
    directory: bool = True
    gossip: bool = True


DHT_ALONE = Parts(directory=False, gossip=False)
GOSSIP_ALONE = Parts(dht=False, directory=False)


@dataclass
class World:
    nursery: trio.Nursery
    path: Path
    wire: Wire
    random: Random
    parts: Parts
    nodes: dict[int, Node] = field(default_factory=dict)

    async def start(self, number: int, *, via: Sequence[int] = ()) -> Node:
        node = self._make(number, [Address(*address_of(other)) for other in via])
        self.nodes[number] = node
        await self.nursery.start(self._run, node)
        return node

    def _make(self, number: int, bootstrap: Sequence[Address]) -> Node:
        identity, chain = member(number)
        config = Config(state=self.path / str(number), name=f"node{number}")
        config.state.mkdir(exist_ok=True)
        clock = SimulatedClock()
        me = Me(identity, Verifier(MESH), chain, clock)
        seal = Metered(self.wire.end(address_of(number)), MESH.key)
        dht = Dht(
            link=seal.channel(TAG_DHT),
            node_id=me.node_id,
            clock=clock,
            bootstrap=bootstrap,
            peers_path=config.state / "peers.msgpack",
            random=Random(self.random.randbytes(8)),
            me=me,
        )
        directory = Directory(
            dht=dht,
            identity=identity,
            chain=chain,
            verifier=me.verifier,
            clock=clock,
            config=config,
        )
        first = [(one.host, one.port) for one in bootstrap]
        liveness = Liveness(
            link=seal.channel(TAG_SWIM),
            identity=identity,
            mesh=MESH.mesh_id,
            clock=clock,
            acquaintances=lambda: [*first, *dht.contacts().values()],
            random=Random(self.random.randbytes(8)),
        )
        return Node(number, identity, seal, dht, directory, liveness)

    async def _run(
        self, node: Node, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with node.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.seal.run)
                if self.parts.dht:
                    await nursery.start(node.dht.run)
                if self.parts.gossip:
                    await nursery.start(node.liveness.run)
                if self.parts.directory:
                    await nursery.start(node.directory.run)
                    nursery.start_soon(self._state, node)
                elif self.parts.dht:
                    nursery.start_soon(self._put, node)
                task_status.started()

    async def _state(self, node: Node) -> None:
        """As `Services._tell_of_self`: the own record, again and again."""
        every_s = Config(state=self.path, name="").publish_every_s
        await trio.sleep(self.random.uniform(0, 1))
        while True:
            await node.directory.announce(Kind.NODE, node.id.text, body_of(node))
            await trio.sleep(every_s)

    async def _put(self, node: Node) -> None:
        """The own record by the DHT alone; the directory only judges."""
        config = Config(state=self.path, name="")
        await trio.sleep(self.random.uniform(0, 1))
        for sequence in itertools.count(int(START + trio.current_time()) * 1000):
            record = sign(
                node.identity,
                member(node.number)[1],
                Kind.NODE,
                node.id.text,
                sequence=sequence,
                ttl_s=config.record_ttl_s,
                body=body_of(node),
            )
            await node.dht.put(node.key, record.pack(0.0))
            await trio.sleep(config.record_ttl_s / 3)

    def kill(self, number: int) -> Node:
        """As a power cut: nothing is said to anybody."""
        node = self.nodes.pop(number)
        node.scope.cancel()
        node.seal.close()  # it would say good-bye else
        return node

    async def grow(self, count: int, progress: Callable[[str], None]) -> None:
        """Start nodes up to this number, each through one of those that are there."""
        for number in range(len(self.nodes), count):
            via = [self.random.choice(list(self.nodes))] if self.nodes else []
            await self.start(number, via=via)
            await trio.sleep(1 / max(ARRIVALS_PER_S, number / 10))
            if number % 100 == 99:
                progress(f"{number + 1} nodes")

    def sent_bytes(self) -> Counter[int]:
        """By tag, all nodes together."""
        return sum((node.seal.sent for node in self.nodes.values()), Counter())


_members: dict[int, tuple[Identity, bytes]] = {}


def member(number: int) -> tuple[Identity, bytes]:
    """Always the same for a number: its key and its packed chain."""
    if number not in _members:
        identity = Identity(hashlib.sha256(b"simulated %d" % number).digest())
        expiry = Wall(START + YEAR_S)
        chain = invite(_FOUNDER, _FOUNDERS, identity.public, f"node{number}", expiry)
        _members[number] = identity, chain.pack()
    return _members[number]


def body_of(node: Node) -> dict[str, object]:
    """What a real node says of itself; it has sessions with its eight closest."""
    return node_body(
        name=f"node{node.number}",
        addresses=[node.address],
        memory_bytes=1 << 30,
        memory_used_bytes=0,
        load=0.1,
        vms=0,
        neighbours=[(one, 0.05) for one in sorted(node.dht.contacts())[:8]],
        accelerator="tcg",
        boot=(1, bytes(8)),
        mesh_key=[],
    )


def run(
    seed: str,
    scenario: Callable[[World], Awaitable[Result]],
    *,
    loss: float = 0.0,
    parts: Parts = Parts(),
) -> Result:
    """Make a world on a mock clock, play the scenario in it, and end it."""
    random = Random(seed)

    async def play() -> Result:
        shared_memory = Path("/dev/shm")
        place = shared_memory if shared_memory.is_dir() else None
        with tempfile.TemporaryDirectory(dir=place, prefix="mesh-") as name:
            async with trio.open_nursery() as nursery:
                wire = Wire(Random(f"wire {seed}"), loss=loss)
                nursery.start_soon(wire.run)
                result = await scenario(World(nursery, Path(name), wire, random, parts))
                nursery.cancel_scope.cancel()
        return result

    # A thousand nodes are millions of objects that stay: looking through all of them costs minutes.
    gc.set_threshold(100_000, 50, 1000)
    core: Any = trio._core._run
    before = core._ALLOW_DETERMINISTIC_SCHEDULING
    core._ALLOW_DETERMINISTIC_SCHEDULING = True
    core._r.seed(seed)
    try:
        return trio.run(play, clock=MockClock(autojump_threshold=0))
    finally:
        core._ALLOW_DETERMINISTIC_SCHEDULING = before


def repeatable() -> None:
    """Start this program over with fixed hashes, if they are not."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        module = sys.modules["__main__"].__spec__
        assert module is not None
        command = [sys.executable, "-m", module.name, *sys.argv[1:]]
        os.execve(sys.executable, command, environment)


class Stopwatch:
    """Processor time of this process and simulated time, since it was made."""

    def __init__(self) -> None:
        self._cpu, self._simulated = time.process_time(), trio.current_time()

    @property
    def cpu_s(self) -> float:
        return time.process_time() - self._cpu

    @property
    def simulated_s(self) -> float:
        return trio.current_time() - self._simulated
