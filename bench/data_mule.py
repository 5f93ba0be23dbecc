"""A data mule in simulation: A and B are never up together, and M goes to and fro between them.

`.venv/bin/python -m bench.data_mule`: each routing module carries letters from A to B, and custody
of them, by an M that has met nobody yet. Real agents on a mock clock, links in memory
(bench.routing_world); time is simulated time. Exit status 1 if one that should deliver did not.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import dataclass

import structlog

from bench.routing import Load, tables
from bench.routing_mobility import Meeting, Scenario
from bench.routing_world import Sending, World

A, B, M = range(3)
LETTERS = 5
# M is with each for a minute, and on the way for nine.
STAY_S, ROUND_S = 60.0, 600.0
ROUNDS = 6
# Link state knows links that are up, direct waits for B itself: neither can use a mule that is at
# one end at a time. PRoPHET needs M to have met B once.
NEEDS_A_PATH = ("link state", "direct")


@dataclass(frozen=True)
class Result:
    module: str
    delivered: int
    first_s: float
    custody_taken: int
    custody_released: int
    # Of what A had custody of, what nobody has taken over.
    still_at_a: int


def scenario() -> Scenario:
    """M begins at A, and is with B every second time."""
    meetings = tuple(
        Meeting(nth * ROUND_S + 10, nth * ROUND_S + 10 + STAY_S, (A, B)[nth % 2], M)
        for nth in range(ROUNDS)
    )
    return Scenario("mule", 3, (A, B), meetings, ROUNDS * ROUND_S)


def run(only: str = "") -> list[Result]:
    load = Load(nodes=3, bundles=LETTERS, duration_s=ROUNDS * ROUND_S, lifetime_s=7200)
    asked = [Sending(float(nth), A, B) for nth in range(LETTERS)]
    found = []
    for name, (make_table, told) in tables(scenario(), load).items():
        if only not in name:
            continue
        world = World(
            scenario(),
            asked,
            make_table,
            payload_bytes=load.payload_bytes,
            quota_bytes=load.quota_bytes,
            bytes_per_s=load.bytes_per_s,
            lifetime_s=load.lifetime_s,
            custody=True,
        )
        world.on_meeting = told
        outcome = world.run()
        counters = world.counters
        found.append(
            Result(
                name,
                len(outcome.delays),
                min(outcome.delays.values(), default=float("nan")),
                counters[M]["custody_taken"],
                counters[A]["custody_released"] + counters[M]["custody_released"],
                world.held_at_end[A],
            )
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    quiet = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=quiet)
    results = run()
    if given.json:
        print(json.dumps([result.__dict__ for result in results]))
    else:
        print(f"simulation: {LETTERS} letters from A to B in custody, M at one of them at a time")
        print(f"  {'':27} delivered  first after  M took custody  released  still at A")
        for one in results:
            print(
                f"  {one.module:27} {one.delivered:9} {one.first_s:10.0f} s"
                f" {one.custody_taken:15} {one.custody_released:9} {one.still_at_a:11}"
            )
    should = [one for one in results if one.module not in NEEDS_A_PATH]
    return 0 if all(one.delivered == LETTERS for one in should) else 1


if __name__ == "__main__":
    sys.exit(main())
