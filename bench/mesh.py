"""The mesh's figures in simulation, beside the stock package, each with its aim.

`.venv/bin/python -m bench.mesh` prints tables, with --json rows for programs; `--only WORD` picks
sections, `--n 10 100` sizes. Everything is simulated time on the real code (bench.mesh_world says
what is real), repeatable by its seed, except processor time, which is this machine's. What runs
on the wall clock, real processes and Debian's serf beside them, is bench.mesh_real.

  lookups   the DHT alone: rounds, times, joining, traffic, processor time (bench.mesh_lookups)
  large     both the former and the healing, of one mesh of a thousand (bench.mesh_large)
  gossip    the failure detector alone: detection, news, false deaths, traffic (bench.mesh_gossip)
  killed    30 % of all nodes at once, the DHT alone (bench.mesh_faults)
  healing   the DHT alone: two halves apart, and whole again
  vms       everything together: VMs' records while two halves are apart, and after
  all       everything together: traffic, processor time, detection
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from bench import mesh_all, mesh_faults, mesh_gossip, mesh_large, mesh_lookups
from bench.mesh_figures import machine, progress, table
from bench.mesh_stock import ask
from bench.mesh_world import DHT_ALONE, Parts, repeatable
from bench.rows import Row

# From here on one mesh has to do for look-ups and healing, under no loss.
LARGE = 1000


@dataclass(frozen=True)
class Given:
    nodes: tuple[int, ...]
    seed: int
    stock: bool


def lookups(given: Given) -> list[Row]:
    made = []
    for n in given.nodes:
        plan = mesh_lookups.Plan(n)
        if n >= LARGE:
            continue
        ours = mesh_lookups.measure(plan, given.seed)
        stock = _stock_lookups(plan, given.seed) if given.stock else None
        made += mesh_lookups.rows(ours, stock)
    return made


def _stock_lookups(plan: mesh_lookups.Plan, seed: int) -> mesh_lookups.Lookups:
    options = {"n": plan.nodes, "seed": seed, "gets": plan.gets, "joins": plan.joins}
    said = ask("lookups", **options, steady=plan.steady_s, loss=plan.losses)
    found = mesh_lookups.Lookups(plan.nodes, joins_s=said["joins_s"])
    found.cpu_ms, found.traffic_bytes_per_s = said["cpu_ms"], said["traffic_bytes_per_s"]
    for loss, results in said["gets"].items():
        one = found.gets[float(loss)] = mesh_lookups.Gets()
        for result in results:
            one.add(*result)
    progress(f"N={plan.nodes}: stock")
    return found


def large(given: Given) -> list[Row]:
    made = []
    for n in given.nodes:
        if n >= LARGE:
            plan = mesh_lookups.Plan(n, losses=(0.0,))
            stock = _stock_lookups(plan, given.seed) if given.stock else None
            made += mesh_large.measure(n, given.seed, stock)
    return made


def gossip(given: Given) -> list[Row]:
    made = []
    for n in given.nodes:
        plan = mesh_gossip.Plan(n)
        if n >= 100:  # an hour of a hundred is an hour of this machine's
            plan = replace(plan, under_loss_s=((0.1, 300.0), (0.3, 120.0)))
        if n >= LARGE:
            plan = replace(plan, under_loss_s=(), kills=3, news=2, steady_s=20.0)
        made += mesh_gossip.rows(mesh_gossip.measure(plan, given.seed))
    return made


def killed(given: Given) -> list[Row]:
    made = []
    for n in given.nodes:
        found = mesh_faults.kill(mesh_faults.Plan(n, DHT_ALONE), given.seed)
        stock = ask("killed", n=n, seed=given.seed)["gets"] if given.stock else None
        made += mesh_faults.killed_rows(found, "DHT", stock)
    return made


def healing(given: Given) -> list[Row]:
    made = []
    for n in given.nodes:
        if n >= LARGE:
            continue
        plan = mesh_faults.Plan(n, DHT_ALONE)
        found = mesh_faults.heal(plan, given.seed)
        options = {"n": n, "seed": given.seed, "apart": plan.apart_s}
        stock = ask("healed", **options)["gets"] if given.stock else None
        made += mesh_faults.healing_rows(found, "DHT", stock)
    return made


def vms(given: Given) -> list[Row]:
    made = []
    for n in given.nodes:
        found = mesh_faults.heal(mesh_faults.Plan(n, Parts()), given.seed)
        made += mesh_faults.healing_rows(found, "all", None)
    return made


def everything(given: Given) -> list[Row]:
    return [one for n in given.nodes for one in mesh_all.measure(n, given.seed)]


SECTIONS: dict[str, Callable[[Given], list[Row]]] = {
    "lookups": lookups,
    "large": large,
    "gossip": gossip,
    "killed": killed,
    "healing": healing,
    "vms": vms,
    "all": everything,
}


def main() -> int:
    repeatable()
    quiet = structlog.make_filtering_bound_logger(logging.ERROR)  # losses and kills are the point
    structlog.configure(wrapper_class=quiet)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="part of a section's name")
    parser.add_argument("--n", type=int, nargs="*", default=[10, 100, 1000], help="sizes of meshes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-stock", action="store_true", help="without the stock package")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    given = Given(tuple(options.n), options.seed, not options.no_stock)
    made = []
    for name, section in SECTIONS.items():
        if options.only not in name:
            continue
        started = time.perf_counter()
        rows = section(given)
        made += rows
        if not options.json:
            took = f"took {time.perf_counter() - started:.0f} s of {machine()}"
            title = f"simulation, {name}, seed {given.seed}; peer: kademlia 2.2.3"
            print(table(f"{title}; {took}", rows), flush=True)
    if options.json:
        print(json.dumps({"rows": made}))
    return 0 if all(one["met"] in (None, True) for one in made) else 1


if __name__ == "__main__":
    sys.exit(main())
