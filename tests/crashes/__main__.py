"""`make crashes RUNS=50`: kill a node so many times in the middle of traffic, twice over.

  .venv/bin/python -m tests.crashes 50 [--seed N]

Exits with 1 when anything acknowledged is lost or anything comes twice.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import structlog
import trio

from tests.crashes.traffic import HEAD, Campaign
from tests.power_loss import build_recorder


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=int)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"{'':24}{HEAD}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    good = True
    with tempfile.TemporaryDirectory(dir=".") as directory:
        place = Path(directory).resolve()
        recorder = build_recorder(place / "record.so")
        for name, power in (("SIGKILL", None), ("and unsynced writes lost", recorder)):
            (place / name).mkdir()
            campaign = Campaign(place / name, options.seed, power)
            accounts = trio.run(campaign.run, options.runs)
            print(f"{name:24}{accounts.row()}", flush=True)
            good = good and not accounts.lost and not accounts.twice
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
