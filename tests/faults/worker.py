"""A process that does one run after the other: an order a line comes in, "SEED KIND" (no kind: the
seed chooses it), outcomes go out, pickled."""

from __future__ import annotations

import os
import pickle
import shutil
import struct
import sys
import traceback
from pathlib import Path

import trio

from tests.faults.outcome import Outcome
from tests.faults.plans import plan
from tests.faults.run import run
from tests.faults.zygote import Zygote

LENGTH = struct.Struct("!I")


def one(seed: int, kind: str | None, place: Path, zygote: Zygote, logs: Path) -> Outcome:
    """`place` is made and removed; of a run that is not good the nodes' logs are kept in `logs`."""
    chosen = plan(seed, kind)
    place.mkdir()
    try:
        outcome = trio.run(run, chosen, place, zygote, place.parent / "ticker.img")
    except Exception:  # noqa: BLE001 - of this run only, and it is told
        outcome = Outcome(chosen, harness=traceback.format_exc())
    if not outcome.is_good:
        _keep_logs(place, logs / str(seed))
    shutil.rmtree(place, ignore_errors=True)
    return outcome


def _keep_logs(place: Path, to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    for log in place.glob("*/log"):
        shutil.copy(log, to / f"{log.parent.name}.log")
    for left in place.glob("left"):
        shutil.copy(left, to)


def main() -> None:
    place, logs = Path(sys.argv[1]), Path(sys.argv[2])
    zygote = Zygote(place / "record.so")
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin:
        seed, _, kind = line.strip().partition(" ")
        packed = pickle.dumps(one(int(seed), kind or None, place / seed, zygote, logs))
        out.write(LENGTH.pack(len(packed)) + packed)
        out.flush()
    zygote.close()


if __name__ == "__main__":
    main()
