"""The DHT alone, in simulation: rounds and times of look-ups, joining, traffic, processor time.

A node's own record is put as often as records must be (three times in their life) and looked up by
others; the directory above judges values and does nothing else.

Rounds: how many nodes, one after the other, led a look-up to the last that it asked (ours has no
rounds but that), and how many times the stock crawl sent calls. Joined is who finds a record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import trio

from bench.mesh_figures import at_least, progress, quantile
from bench.mesh_world import DHT_ALONE, Node, Stopwatch, World, run
from bench.rows import Row, row
from radics_mesh.link import TAG_DHT

# From then on each node looks around once a minute only.
SETTLE_S = 150.0
# Aims by number of nodes (look-up rounds, seconds), and by loss at 100 nodes (seconds).
ROUNDS = {10: 3, 100: 5, 1000: 7}
GET_S = {10: 0.3, 100: 0.5, 1000: 1.0}
LOSSY_GET_S = {0.1: 4.0, 0.3: 10.0}
JOIN_S = 2.0
TRAFFIC_BYTES_PER_S = 1000.0
CPU_MS = 2.0


@dataclass
class Gets:
    """`rounds` and `seconds` of those that found what they looked for."""

    asked: int = 0
    rounds: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, found: bool, rounds: int, seconds: float) -> None:
        self.asked += 1
        if found:
            self.rounds.append(rounds)
            self.seconds.append(seconds)

    @property
    def found_percent(self) -> float:
        return 100 * len(self.seconds) / self.asked


@dataclass
class Lookups:
    """What one mesh did, by loss."""

    nodes: int
    gets: dict[float, Gets] = field(default_factory=dict)
    joins_s: list[float] = field(default_factory=list)
    traffic_bytes_per_s: float = 0.0
    cpu_ms: float = 0.0


@dataclass(frozen=True)
class Plan:
    nodes: int
    losses: tuple[float, ...] = (0.0, 0.1, 0.3)
    gets: int = 300
    joins: int = 30
    steady_s: float = 60.0
    settle_s: float = SETTLE_S


def measure(plan: Plan, seed: int) -> Lookups:
    async def scenario(world: World) -> Lookups:
        await world.grow(plan.nodes, progress)
        await trio.sleep(plan.settle_s)
        return await look(world, plan)

    return run(f"lookups {plan.nodes} {seed}", scenario, parts=DHT_ALONE)


async def look(world: World, plan: Plan) -> Lookups:
    """All of it in a mesh that stands."""
    result = Lookups(plan.nodes)
    await _steady(world, plan, result)
    for loss in plan.losses:
        world.wire.loss = loss
        await trio.sleep(5 if loss else 0)
        result.gets[loss] = await gets(world, plan.gets)
        progress(f"N={plan.nodes}: gets at {loss:.0%} loss")
    world.wire.loss = 0.0
    for _ in range(plan.joins):
        result.joins_s.append(await _join(world))
    return result


async def _steady(world: World, plan: Plan, result: Lookups) -> None:
    watch, before = Stopwatch(), world.sent_bytes()[TAG_DHT]
    await trio.sleep(plan.steady_s)
    per_node_s = plan.nodes * watch.simulated_s
    result.traffic_bytes_per_s = (world.sent_bytes()[TAG_DHT] - before) / per_node_s
    result.cpu_ms = 1000 * watch.cpu_s / per_node_s
    progress(f"N={plan.nodes}: steady")


async def gets(world: World, count: int) -> Gets:
    """Somebody's record, looked up by anybody else, ten a second."""
    result = Gets()

    async def get(reader: Node, wanted: Node) -> None:
        started = trio.current_time()
        values = await reader.dht.get(wanted.key)
        # Another of its look-ups may have ended meanwhile: then that one's depth is counted twice.
        result.add(bool(values), reader.dht.depths[-1], trio.current_time() - started)

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            reader, wanted = _two(world)
            nursery.start_soon(get, reader, wanted)
            await trio.sleep(0.1)
    return result


def _two(world: World) -> tuple[Node, Node]:
    one, other = world.random.sample(sorted(world.nodes), 2)
    return world.nodes[one], world.nodes[other]


async def _join(world: World) -> float:
    """A new node, from its start until it has found a record; it leaves again."""
    _, wanted = _two(world)
    number = max(world.nodes) + 1
    started = trio.current_time()
    node = await world.start(number, via=[Random(number).choice(sorted(world.nodes))])
    await node.dht.wait_joined()
    while not await node.dht.get(wanted.key):  # noqa: ASYNC110 - users ask again
        await trio.sleep(0.05)
    took_s = trio.current_time() - started
    world.kill(number)
    return took_s


def rows(found: Lookups, stock: Lookups | None) -> list[Row]:
    n = found.nodes
    made = []
    for loss, one in found.gets.items():
        title = f"DHT, N={n}, loss {loss:.0%}"
        peer = stock.gets.get(loss) if stock else None
        aim_s = GET_S.get(n) if not loss else LOSSY_GET_S.get(loss) if n == 100 else None
        rounds = quantile(one.rounds, 0.99)
        if not loss:
            made.append(row(f"{title}: look-up rounds p99", rounds, "", ROUNDS.get(n)))
            made[-1]["peer"] = f"{quantile(peer.rounds, 0.99):.0f}" if peer else ""
        made.append(row(f"{title}: get p50", quantile(one.seconds, 0.5), "simulated s"))
        made[-1]["peer"] = f"{quantile(peer.seconds, 0.5):.2f}" if peer else ""
        made.append(row(f"{title}: get p99", quantile(one.seconds, 0.99), "simulated s", aim_s))
        made[-1]["peer"] = f"{quantile(peer.seconds, 0.99):.2f}" if peer else ""
        least = 99.0 if loss else 100.0
        made.append(at_least(f"{title}: gets that found it", one.found_percent, "%", least))
        made[-1]["peer"] = f"{peer.found_percent:.1f}" if peer else ""
    title = f"DHT, N={n}, no loss"
    made.append(row(f"{title}: join p99", quantile(found.joins_s, 0.99), "simulated s", JOIN_S))
    made[-1]["peer"] = f"{quantile(stock.joins_s, 0.99):.2f}" if stock else ""
    traffic = found.traffic_bytes_per_s
    made.append(row(f"{title}: sent by a node", traffic, "bytes/s", TRAFFIC_BYTES_PER_S))
    made[-1]["peer"] = f"{stock.traffic_bytes_per_s:.0f}" if stock else ""
    cpu = row(f"{title}: processor time of a node", found.cpu_ms, "ms/simulated s", CPU_MS)
    made.append({**cpu, "peer": f"{stock.cpu_ms:.2f}" if stock else ""})
    return made
