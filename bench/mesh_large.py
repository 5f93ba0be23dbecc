"""A thousand nodes, the DHT alone: one mesh for look-ups and for healing.

To grow it and to let five minutes pass costs most, so all that is asked of it is asked of one.
"""

from __future__ import annotations

import trio

from bench import mesh_faults, mesh_lookups
from bench.mesh_figures import progress, table
from bench.mesh_stock import ask
from bench.mesh_world import DHT_ALONE, Stopwatch, World, run
from bench.rows import Row

APART_S = 300.0


def measure(nodes: int, seed: int, stock: mesh_lookups.Lookups | None) -> list[Row]:
    plan = mesh_lookups.Plan(nodes, losses=(0.0,), gets=200, joins=10, steady_s=10.0)
    apart = mesh_faults.Plan(nodes, DHT_ALONE, apart_s=APART_S, losses=(0.0,))

    async def scenario(world: World) -> list[Row]:
        await world.grow(nodes, progress)
        await trio.sleep(plan.settle_s)
        made = mesh_lookups.rows(await mesh_lookups.look(world, plan), stock)
        progress(table("so far", made))
        healing, watch = mesh_faults.Healing(nodes, APART_S), Stopwatch()
        await mesh_faults.part_and_heal(world, apart, {}, healing)
        healing.cpu_s, healing.simulated_s = watch.cpu_s, watch.simulated_s
        said = ask("healed", n=nodes, seed=seed, apart=APART_S)["gets"] if stock else None
        return made + mesh_faults.healing_rows(healing, "DHT", said)

    return run(f"large {nodes} {seed}", scenario, parts=DHT_ALONE)
