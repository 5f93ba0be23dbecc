"""How often look-ups of honest records succeed beside hostile members: the table.

    python -m tests.hostile --nodes 60 --share 0.2 --look-ups 200 --seed 1

Simulation of the real code: delays of 10 to 80 ms one way, times in simulated seconds. Every
attack alone, all of them mixed, and the same mesh without any.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections import Counter
from collections.abc import Mapping
from random import Random

import structlog
import trio
from trio.testing import MockClock

from radics_mesh.link_memory import MemoryNetwork
from tests.hostile.attacks import ALL
from tests.hostile.world import Attack, HostileWorld, Outcome

# What honest members count against the others.
REFUSALS = (
    *("malformed", "malformed_answers", "unproved_ids", "other_ids", "unidentified", "flooded"),
    *("store_PeerError", "store_WireError", "store_CapacityError", "store_far", "values_refused"),
    *("answers_deferred", "calls_failed"),
)


def run(
    nodes: int, attacks: Mapping[int, Attack], look_ups: int, seed: int, loss: float = 0.0
) -> tuple[Outcome, Counter[str], int, float]:
    """The look-ups, what was counted, the most values one held, and bytes sent a node and second
    by honest and hostile ones alike."""

    async def simulate() -> tuple[Outcome, Counter[str], int, float]:
        network = MemoryNetwork(Random(seed), delay_s=(0.01, 0.08), loss=loss)
        async with trio.open_nursery() as nursery:
            world = HostileWorld(nursery, network, nodes, attacks, seed)
            outcome = await world.run(look_ups)
            rate = network.counters["bytes"] / nodes / trio.current_time()
            nursery.cancel_scope.cancel()
        return outcome, world.counted(), world.most_held(), rate

    return trio.run(simulate, clock=MockClock(autojump_threshold=0))


def hostile(nodes: int, share: float, seed: int, names: list[str]) -> dict[int, Attack]:
    """Which members do what; never member 0."""
    chosen = Random(seed).sample(range(1, nodes), round(share * nodes))
    return {number: ALL[names[n % len(names)]] for n, number in enumerate(chosen)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=60)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--look-ups", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("--attack", action="append", choices=["none", *ALL, "all"], default=[])
    given = parser.parse_args()
    # The first refusal of each kind by each member: here they are counted.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(
        f"{given.nodes} members, {given.share:.0%} hostile, {given.look_ups} look-ups, seed"
        f" {given.seed}, loss {given.loss:.0%}; simulated, 10 to 80 ms one way"
    )
    print(
        f"{'attack':<12} {'found':>7} {'p50 s':>6} {'p99 s':>6} {'old':>4} {'none':>4}"
        f" {'held':>5}  counted by honest members"
    )
    for name in given.attack or ["none", *ALL, "all"]:
        names = {"none": [], "all": [*ALL]}.get(name, [name])
        began = time.monotonic()
        attacks = hostile(given.nodes, given.share, given.seed, names) if names else {}
        outcome, counted, held, _ = run(
            given.nodes, attacks, given.look_ups, given.seed, given.loss
        )
        refused = ", ".join(f"{n} {counted[n]}" for n in REFUSALS if counted[n])
        print(
            f"{name:<12} {outcome.rate:>7.1%} {outcome.quantile_s(0.5):>6.2f}"
            f" {outcome.quantile_s(0.99):>6.2f} {outcome.outdated:>4} {outcome.missed:>4}"
            f" {held:>5}  {refused} [{time.monotonic() - began:.0f} s]",
            flush=True,
        )


if __name__ == "__main__":
    main()
