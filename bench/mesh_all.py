"""What gossip alone, the DHT alone and both earn, and cost: the same mesh, three times.

A death: how long until a reader that asks every second knows that a node is gone. The DHT alone
only ever shows that a record has not been renewed, which is after its time to live.
"""

from __future__ import annotations

import trio

from bench.mesh_faults import age_s
from bench.mesh_figures import progress, quantile
from bench.mesh_world import DHT_ALONE, GOSSIP_ALONE, Parts, Stopwatch, World, run
from bench.rows import Row, row
from radics_mesh.config import Config

SETTLE_S = 60.0
STEADY_S = 60.0
TRAFFIC_BYTES_PER_S = 3000.0
CPU_MS = 2.0
GIVEN_UP_S = 150.0


def measure(nodes: int, seed: int) -> list[Row]:
    made = []
    for what, parts in (("gossip", GOSSIP_ALONE), ("DHT", DHT_ALONE), ("both", Parts())):
        made += _one(what, parts, nodes, seed)
    return made


def _one(what: str, parts: Parts, nodes: int, seed: int) -> list[Row]:
    async def scenario(world: World) -> list[Row]:
        await world.grow(nodes, progress)
        await trio.sleep(SETTLE_S)
        watch, before = Stopwatch(), world.sent_bytes().total()
        await trio.sleep(STEADY_S)
        per_node_s = nodes * watch.simulated_s
        sent = (world.sent_bytes().total() - before) / per_node_s
        cpu_ms = 1000 * watch.cpu_s / per_node_s
        known_s = await _death_known(world, parts)
        title = f"{what}, N={nodes}"
        progress(title)
        aims = (TRAFFIC_BYTES_PER_S, CPU_MS) if what == "both" else (None, None)
        return [
            row(f"{title}: sent by a node", sent, "bytes/s", aims[0]),
            row(f"{title}: processor time of a node", cpu_ms, "ms/simulated s", aims[1]),
            row(f"{title}: a death known, median reader", quantile(known_s, 0.5), "simulated s"),
            row(f"{title}: a death known, slowest reader", max(known_s), "simulated s"),
        ]

    return run(f"all {what} {nodes} {seed}", scenario, parts=parts)


async def _death_known(world: World, parts: Parts) -> list[float]:
    """Seconds, of up to thirty readers, until a node's death shows."""
    dead = world.kill(world.random.choice(sorted(world.nodes)))
    # With gossip alone a reader knows only of who is in its view.
    readers = [
        node
        for node in world.nodes.values()
        if not parts.gossip or node.liveness.standing(dead.id) is not None
    ]
    waiting = world.random.sample(readers, min(30, len(readers)))
    started, times = trio.current_time(), []
    while waiting and trio.current_time() - started < GIVEN_UP_S:
        await trio.sleep(1.0)
        for node in list(waiting):
            gone = node.liveness.is_gone(dead.id)
            if not gone and not parts.gossip:
                values = await node.dht.get(dead.key)
                gone = bool(values) and all(_is_stale(value) for value in values)
            if gone:
                waiting.remove(node)
                times.append(trio.current_time() - started)
    return times + [GIVEN_UP_S] * len(waiting)


def _is_stale(value: bytes) -> bool:
    return age_s(value) > Config.record_ttl_s
