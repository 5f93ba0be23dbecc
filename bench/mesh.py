"""The mesh's figures in simulation, beside the stock package, each with its aim.

`.venv/bin/python -m bench.mesh` prints tables, with --json rows for programs; `--only WORD` picks
sections, `--n 10 100` sizes. Everything is simulated time on the real code (bench.mesh_world says
what is real), repeatable by its seed, except processor time, which is this machine's. What runs
on the wall clock, real processes and Debian's serf beside them, is bench.mesh_real.

  lookups   the DHT alone: rounds, times, joining, traffic, processor time (bench.mesh_lookups)
  faults    a partition and its healing, 30 % of all nodes killed (bench.mesh_faults)
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

from bench import mesh_lookups
from bench.mesh_figures import machine, progress, table
from bench.mesh_stock import ask
from bench.mesh_world import repeatable
from bench.rows import Row


@dataclass(frozen=True)
class Given:
    nodes: tuple[int, ...]
    seed: int
    stock: bool


def lookups(given: Given) -> list[Row]:
    made = []
    for n in given.nodes:
        plan = mesh_lookups.Plan(n)
        if n >= 1000:
            plan = replace(plan, losses=(0.0, 0.1), joins=10, steady_s=20.0)
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


SECTIONS: dict[str, Callable[[Given], list[Row]]] = {
    "lookups": lookups,
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
