"""The failure detector alone, in simulation: detection, news, false deaths, traffic.

Detection is counted from a node's death until every other one that had it in view calls it
unreachable. News is a new node: rounds until everybody has it in view, each as long as a round of
telling news. A false death is a live node that somebody calls unreachable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from bench.mesh_figures import progress, quantile
from bench.mesh_world import GOSSIP_ALONE, Node, Stopwatch, World, run
from bench.rows import Row, row
from radics_mesh.gossip.settings import Settings
from radics_mesh.link import TAG_SWIM

LOOK_S = 0.1
DETECTED_S = {10: 8.0, 100: 12.0}
TRAFFIC_BYTES_PER_S = 2000.0  # of 3 kB/s for everything, the DHT's 1 kB/s taken off


@dataclass(frozen=True)
class Plan:
    nodes: int
    kills: int = 5
    news: int = 5
    # Simulated seconds under loss, by loss.
    under_loss_s: tuple[tuple[float, float], ...] = ((0.1, 3600.0), (0.3, 600.0))
    steady_s: float = 60.0
    settle_s: float = 30.0


@dataclass
class Detection:
    nodes: int
    detected_s: list[float] = field(default_factory=list)
    news_rounds: list[int] = field(default_factory=list)
    lossy_rounds: list[int] = field(default_factory=list)
    # By loss: simulated seconds, false deaths, and their share of all views over the time.
    false_deaths: dict[float, tuple[float, int, float]] = field(default_factory=dict)
    bytes_per_s: float = 0.0
    cpu_ms: float = 0.0


def measure(plan: Plan, seed: int) -> Detection:
    async def scenario(world: World) -> Detection:
        found = Detection(plan.nodes)
        await world.grow(plan.nodes, progress)
        await trio.sleep(plan.settle_s)
        watch, before = Stopwatch(), world.sent_bytes()[TAG_SWIM]
        await trio.sleep(plan.steady_s)
        per_node_s = plan.nodes * watch.simulated_s
        found.bytes_per_s = (world.sent_bytes()[TAG_SWIM] - before) / per_node_s
        found.cpu_ms = 1000 * watch.cpu_s / per_node_s
        for _ in range(plan.kills):
            found.detected_s.append(await _detected(world))
        found.news_rounds = [await _news(world) for _ in range(plan.news)]
        progress(f"N={plan.nodes}: detection and news")
        for loss, seconds in plan.under_loss_s:
            world.wire.loss = loss
            deaths, share = await _false_deaths(world, seconds)
            found.false_deaths[loss] = seconds, deaths, share
            progress(f"N={plan.nodes}: {seconds:.0f} s at {loss:.0%} loss")
        if plan.under_loss_s:
            found.lossy_rounds = [await _news(world) for _ in range(plan.news)]
        return found

    return run(f"gossip {plan.nodes} {seed}", scenario, parts=GOSSIP_ALONE)


async def _detected(world: World) -> float:
    victim = world.random.choice(sorted(world.nodes))
    dead = world.kill(victim)
    watchers = [n for n in world.nodes.values() if n.liveness.standing(dead.id) is not None]
    started = trio.current_time()
    await _until(watchers, lambda one: one.liveness.is_gone(dead.id))
    return trio.current_time() - started


async def _news(world: World) -> int:
    others = list(world.nodes.values())
    number = max(world.nodes) + 1
    started = trio.current_time()
    node = await world.start(number, via=[world.random.choice(sorted(world.nodes))])
    await _until(others[:1], lambda _: any(o.liveness.standing(node.id) for o in others))
    first = trio.current_time()
    await _until(others, lambda one: one.liveness.standing(node.id) is not None)
    assert first >= started
    return math.ceil((trio.current_time() - first) / Settings().news_s)


async def _until(nodes: Sequence[Node], holds: object) -> None:
    assert callable(holds)
    waiting = list(nodes)
    with trio.move_on_after(120):
        while waiting := [one for one in waiting if not holds(one)]:  # noqa: ASYNC110 - a look
            await trio.sleep(LOOK_S)


async def _false_deaths(world: World, seconds: float) -> tuple[int, float]:
    """How many times anybody alive was called unreachable, and the mean share of such views."""
    alive = {node.id for node in world.nodes.values()}
    before: set[tuple[int, object]] = set()
    deaths, views, gone = 0, 0, 0
    ends = trio.current_time() + seconds
    while trio.current_time() < ends:
        await trio.sleep(1.0)
        now: set[tuple[int, object]] = set()
        for node in world.nodes.values():
            views += len(node.liveness.swim.members)
            false = [m for m in node.liveness.swim.members.gone() if m.node_id in alive]
            now |= {(node.number, member.node_id) for member in false}
        gone += len(now)
        deaths += len(now - before)
        before = now
    return deaths, 100 * gone / max(1, views)


def rows(found: Detection) -> list[Row]:
    n = found.nodes
    title = f"gossip, N={n}"
    worst_s = max(found.detected_s)
    made = [
        row(f"{title}: failure known to all, worst", worst_s, "simulated s", DETECTED_S.get(n)),
        row(f"{title}: median", quantile(found.detected_s, 0.5), "simulated s"),
    ]
    least = math.ceil(math.log2(n))
    made.append(row(f"{title}: news reaches all, worst", max(found.news_rounds), "rounds", least))
    if found.lossy_rounds:
        lossy = max(found.lossy_rounds)
        made.append(row(f"{title}: the same, loss 30%", lossy, "rounds", 2 * least))
    for loss, (seconds, deaths, share) in found.false_deaths.items():
        name = f"{title}, loss {loss:.0%}: false deaths in {seconds / 60:.0f} min"
        if loss <= 0.1:
            made.append(row(name, deaths, "", 0))
        else:
            made.append(row(name, deaths, ""))
            name = f"{title}, loss {loss:.0%}: views of the living that are dead"
            made.append(row(name, share, "%", 0.1))
    made.append(row(f"{title}: sent by a node", found.bytes_per_s, "bytes/s", TRAFFIC_BYTES_PER_S))
    made.append(row(f"{title}: processor time of a node", found.cpu_ms, "ms/simulated s"))
    return made
