"""VMs in figures: all rows of the table, each module bench/vmm_*.py some of them.

  .venv/bin/python bench/vmm.py [--json] [--rounds N] [--only MODULE ...]

Such a module says in its docstring what it measures and beside what, and has

  async def measure(count: int) -> list[Row]     medians of `count` rounds, see bench/rows.py

Real QEMUs, under TCG. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

import structlog
import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.rows import Row, processor


def modules() -> list[str]:
    return sorted(path.stem for path in Path(__file__).parent.glob("vmm_*.py"))


def show(rows: list[Row]) -> None:
    for r in rows:
        aim = "" if r["aim"] is None else f"aim {r['aim']:g}{'' if r['met'] else ', MISSED'}"
        print(f"{r['name']:52} {r['value']:9.2f} {r['unit']:5} {aim:18} {r['peer']}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=modules(), default=modules())
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if not options.json:
        print(f"{processor()}, TCG, medians of {options.rounds}", flush=True)
    every: list[Row] = []
    for name in options.only:
        module = importlib.import_module(f"bench.{name}")
        rows = trio.run(module.measure, options.rounds)
        every += rows
        if not options.json:
            show(rows)
    if options.json:
        print(json.dumps({"machine": f"{processor()}, TCG", "rows": every}))


if __name__ == "__main__":
    main()
