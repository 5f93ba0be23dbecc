"""Real agents on a simulated clock, whose links are a list of meetings.

Real: the agent with its admission, signatures, waiting bundles, forwarding, the routing modules,
what neighbours tell each other, and the bundle store with its database. Simulated: time (Trio's
MockClock, which jumps when all wait), links (radics_mesh.dtn.layers.memory_layer), and the store's
thread: a mock clock would not wait for it, so each commit is made at once, in memory.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio
from trio.testing import MockClock

from bench.routing_mobility import Scenario
from radics_mesh.clock import Monotonic, Wall
from radics_mesh.dtn.agent import Agent, Contact
from radics_mesh.dtn.gossip import Gossip
from radics_mesh.dtn.layers.memory_layer import End, MemoryWire, Quality
from radics_mesh.dtn.routes.messages import SERVICE
from radics_mesh.dtn.routes.table import RoutingTable
from radics_mesh.dtn.rules.processing import Delivery, Peer
from radics_mesh.dtn.storage.commits import Commits, Write
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.wire.bundle import Bundle, BundleId
from radics_mesh.errors import CapacityError
from radics_mesh.identity import Identity
from radics_mesh.ids import Eid, NodeId
from radics_mesh.me import Me
from radics_mesh.membership import Verifier, found, invite

START = Wall(1_800_000_000.0)
DELAY_S = 0.01
SERVICE_IN = "in"


class SimulatedClock:
    """Trio's mock clock, beginning at 0."""

    def monotonic(self) -> Monotonic:
        return Monotonic(trio.current_time())

    def wall(self) -> Wall:
        return Wall(trio.current_time() + START)


class AtOnce(Commits):
    """Each write is a transaction of its own, made before `put` returns: nothing crashes here."""

    def __init__(self, threaded: Commits) -> None:
        self._threaded = threaded  # idle from now on
        self.transactions = 0

    def put(self, write: Write, *, with_next: bool = False) -> None:
        self._threaded._writer.apply(write.batch)
        self.transactions += 1
        if write.then is not None:
            write.then()
        write.done.set()

    def close(self) -> None:
        self._threaded.close()


def open_store(directory: Path, clock: SimulatedClock, quota_bytes: int) -> BundleStore:
    """The real store, whose thread has nothing to do."""
    store = BundleStore.open(directory, quota_bytes=quota_bytes, clock=clock)
    store._commits = AtOnce(store._commits)
    return store


@dataclass(frozen=True)
class Sending:
    at: float
    source: int
    destination: int


@dataclass
class Outcome:
    """What became of the bundles of one run. Seconds of delay, by sending."""

    delays: dict[Sending, float] = field(default_factory=dict)
    # Bundles of applications, or messages about routing, that crossed a link.
    transfers: int = 0
    messages: int = 0
    refused_at_source: int = 0


MakeTable = Callable[[int, Sequence[NodeId], SimulatedClock], RoutingTable]


class World:
    """One run: all nodes, one module."""

    def __init__(
        self,
        scenario: Scenario,
        sendings: Sequence[Sending],
        make_table: MakeTable,
        *,
        payload_bytes: int,
        quota_bytes: int,
        bytes_per_s: float,
        lifetime_s: int,
        custody: bool = False,
    ) -> None:
        self._scenario = scenario
        self._sendings = sendings
        self._make_table = make_table
        self._payload = b"x" * payload_bytes
        self._quota_bytes = quota_bytes
        self._quality = Quality(DELAY_S, bytes_per_s)
        self._lifetime_s = lifetime_s
        self._custody = custody
        self._clock = SimulatedClock()
        self._agents: list[Agent] = []
        self._sent: dict[BundleId, Sending] = {}
        self.outcome = Outcome()
        # By node, when the run is over: what its agent counted, and its bundles of applications.
        self.counters: list[Counter[str]] = []
        self.held_at_end: list[int] = []
        # Called with every pair that came into contact (True) or lost it.
        self.on_meeting: list[Callable[[int, int, bool], None]] = []

    def run(self) -> Outcome:
        trio.run(self._run, clock=MockClock(autojump_threshold=0))
        return self.outcome

    async def _run(self) -> None:
        shared_memory = Path("/dev/shm")
        place = shared_memory if shared_memory.is_dir() else None
        with tempfile.TemporaryDirectory(dir=place, prefix="routing-") as name:
            async with trio.open_nursery() as nursery:
                for number, me in enumerate(members(self._scenario.nodes, self._clock)):
                    await self._start(number, me, Path(name), nursery)
                nursery.start_soon(self._meet)
                for sending in self._sendings:
                    nursery.start_soon(self._send, sending)
                await trio.sleep_until(self._scenario.duration_s)
                nursery.cancel_scope.cancel()
            for agent in self._agents:
                self.counters.append(agent.counters)
                self.held_at_end.append(sum(h.bundle_id in self._sent for h in agent.held_here()))
                agent._store.close()

    async def _start(self, number: int, me: Me, directory: Path, nursery: trio.Nursery) -> None:
        names = nodes(self._scenario.nodes)
        table = self._make_table(number, names, self._clock)
        store = open_store(directory / str(number), self._clock, self._quota_bytes)
        agent = Agent(
            me=me,
            store=store,
            router=table,
            locate=nowhere,
            lifetime_s=self._lifetime_s,
            evicts=True,
        )
        gossip = Gossip(own=me.node_id, agent=agent, table=table, clock=self._clock)
        agent.register(me.node_id.service(SERVICE_IN), self._arrived)
        self._agents.append(agent)
        await nursery.start(agent.run)
        await nursery.start(gossip.run)

    async def _send(self, sending: Sending) -> None:
        await trio.sleep_until(sending.at)
        names = nodes(self._scenario.nodes)
        destination = names[sending.destination].service(SERVICE_IN)
        try:
            sent = await self._agents[sending.source].send(
                destination, self._payload, custody=self._custody
            )
        except CapacityError:
            self.outcome.refused_at_source += 1
            return
        self._sent[sent] = sending

    async def _arrived(self, delivery: Delivery) -> None:
        sending = self._sent[delivery.bundle_id]
        assert sending not in self.outcome.delays, "delivered twice"
        self.outcome.delays[sending] = trio.current_time() - sending.at

    async def _meet(self) -> None:
        """Wires go up and down in the order of their times."""
        events = []
        for number, one in enumerate(self._scenario.meetings):
            events += [(one.end, 0, number), (one.start, 1, number)]
        wires: dict[int, MemoryWire] = {}
        for moment, begins, number in sorted(events):
            await trio.sleep_until(moment)
            pair = self._scenario.meetings[number]
            if begins:
                wires[number] = MemoryWire(
                    self._end(pair.one), self._end(pair.other), self._quality
                )
                wires[number].up()
            else:
                wires.pop(number).down()
            for told in self.on_meeting:
                told(pair.one, pair.other, bool(begins))
            if self.on_meeting:
                for agent in self._agents:
                    agent.routes_changed()

    def _end(self, number: int) -> End:
        name = nodes(self._scenario.nodes)[number]
        return End(name, Counting(self._agents[number], self._count))

    def _count(self, raw: bytes) -> None:
        bundle = Bundle.parse(raw)
        if bundle.destination.service_name == SERVICE:
            self.outcome.messages += 1
            return
        self.outcome.transfers += 1


class Counting:
    """An agent, of which what arrives is counted."""

    def __init__(self, agent: Agent, count: Callable[[bytes], None]) -> None:
        self._agent = agent
        self._count = count

    async def receive(self, raw: bytes, peer: Peer) -> object:
        new = await self._agent.receive(raw, peer)
        if new:
            self._count(raw)
        return new

    def contact_up(self, peer: Peer, transmit: Callable[..., object], /) -> Contact:
        return self._agent.contact_up(peer, transmit)  # type: ignore[arg-type]


_members: dict[int, list[Me]] = {}
_nodes: dict[int, list[NodeId]] = {}


def members(count: int, clock: SimulatedClock) -> list[Me]:
    """The same keys in every run."""
    first = identity("first")
    _, mesh, chain = found(first, "first", START)
    made = []
    for number in range(count):
        member = identity(f"node {number}")
        packed = invite(first, chain, member.public, f"n{number}", Wall(START + 1e8)).pack()
        made.append(Me(member, Verifier(mesh), packed, clock))
    return made


def nodes(count: int) -> list[NodeId]:
    if count not in _nodes:
        _nodes[count] = [NodeId.of_key(identity(f"node {n}").public) for n in range(count)]
    return _nodes[count]


def identity(name: str) -> Identity:
    return Identity(name.encode().ljust(32, b"."))


def nowhere(eid: Eid) -> NodeId | None:
    return None
