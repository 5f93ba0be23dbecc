"""`make explore`: every state of every configuration, then every rule removed; as tables."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable

from tests.exploration.rules import MUTANTS, Mutant
from tests.exploration.runs import FULL, REDUCED
from tests.exploration.walk import Model
from tests.exploration.world import Bounds, Violation


def main() -> int:
    parser = argparse.ArgumentParser(prog="make explore", description=__doc__)
    parser.add_argument("--reduced", action="store_true", help="what `make test` explores")
    parser.add_argument(
        "--trails", action="store_true", help="how each mutant breaks its invariant"
    )
    chosen = parser.parse_args()
    fine = _explore(REDUCED if chosen.reduced else FULL)
    print()
    return 0 if _break(MUTANTS, trails=chosen.trails) and fine else 1


def _explore(runs: Iterable[Bounds]) -> bool:
    print(f"{'states':>10} {'transitions':>12} {'depth':>6} {'seconds':>8}  invariants  bounds")
    fine, total, begun = True, 0, time.monotonic()
    for bounds in runs:
        since = time.monotonic()
        try:
            found = Model(bounds).explore()
        except Violation as broken:
            fine = False
            print(f"{'':>39}  BROKEN      {bounds}\n{broken}", flush=True)
            continue
        total += found.states
        seconds = time.monotonic() - since
        counts = f"{found.states:>10} {found.transitions:>12} {found.depth:>6} {seconds:>8.1f}"
        print(f"{counts}  all hold    {bounds}", flush=True)
    print(f"{total:>10} states in {time.monotonic() - begun:.0f} s")
    return fine


def _break(mutants: Iterable[Mutant], *, trails: bool) -> bool:
    print(f"{'steps':>6}  {'rule removed':40} {'broken':34} bounds")
    fine = True
    for mutant in mutants:
        try:
            mutant.model().explore()
        except Violation as broken:
            right = broken.text.startswith(mutant.breaks)
            text = broken.text if right else f"{broken.text}, NOT {mutant.breaks}"
            print(
                f"{len(broken.trail):>6}  {mutant.what:40} {text[:34]:34} {mutant.bounds}",
                flush=True,
            )
            if trails:
                print("".join(f"{'':>8}{step}\n" for step in broken.trail))
        else:
            right = False
            print(f"{'':>6}  {mutant.what:40} {'NOT CAUGHT':34} {mutant.bounds}", flush=True)
        fine = fine and right
    return fine


if __name__ == "__main__":
    sys.exit(main())
