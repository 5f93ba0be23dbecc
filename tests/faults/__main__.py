"""Fault injection: N runs, from a seed on, two at a time; then a table.

    python -m tests.faults 500 --seed 1

Each run that is not good is told with the command that repeats it; its nodes' logs are kept. The
exit status is 0 when every run was good.
"""

from __future__ import annotations

import argparse
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import trio

from radics_mesh.vmm.build import build_image
from tests.faults.node import end_qemus
from tests.faults.outcome import Outcome
from tests.faults.plans import REPLICAS, ROLLBACK
from tests.faults.scripts import SCRIPTS
from tests.faults.table import apart, complaint, coverage, policies, rows
from tests.faults.worker import LENGTH
from tests.power_loss import build_recorder

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "ticker.c"
LOGS = ROOT / ".cache" / "faults"
TOLD_EVERY = 20
# One more run of a disk that was set back for so many others.
APART_SHARE = 25


def prepare(place: Path) -> None:
    """What all runs share: the guest's image, and the library that nodes have preloaded."""
    place.chmod(0o755)  # QEMU is another user
    build_image([PROGRAM], place / "ticker.img")
    build_recorder(place / "record.so")


def orders_of(options: argparse.Namespace) -> Iterator[tuple[int, str]]:
    """Seed and, if that is not the seed's to choose, kind of each run."""
    last = options.seed + options.runs
    yield from ((seed, options.kind) for seed in range(options.seed, last))
    if not options.kind:  # what nothing can prevent is reported apart
        yield from ((seed, ROLLBACK) for seed in range(last, last + options.runs // APART_SHARE))


async def work(
    orders: Iterator[tuple[int, str]], options: argparse.Namespace, place: Path, done: list[Outcome]
) -> None:
    """One worker process, until there are no more orders. A session of its own: what a terminal
    sends to all is for us to act upon."""
    command = [sys.executable, "-m", "tests.faults.worker", place, LOGS]
    worker = await trio.lowlevel.open_process(
        list(map(str, command)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        for seed, kind in orders:
            await worker.stdin.send_all(f"{seed} {kind}\n".encode())
            (size,) = LENGTH.unpack(await _exactly(worker.stdout, LENGTH.size))
            outcome: Outcome = pickle.loads(await _exactly(worker.stdout, size))  # our own
            done.append(outcome)
            _tell(outcome, len(done), options)
    finally:
        worker.kill()
        with trio.CancelScope(shield=True):
            await worker.wait()


async def _exactly(stream: trio.abc.ReceiveStream, size: int) -> bytes:
    content = b""
    while len(content) < size:
        part = await stream.receive_some(size - len(content))
        if not part:
            raise EOFError("a worker has ended")
        content += part
    return content


def _tell(outcome: Outcome, count: int, options: argparse.Namespace) -> None:
    if not outcome.is_good:
        print(f"NOT GOOD: {complaint(outcome)}", flush=True)
    elif options.verbose:
        print(
            f"seed {outcome.plan.seed}: {outcome.plan.words}: good, {outcome.seconds:.1f} s",
            outcome.counts,
        )
    if count % TOLD_EVERY == 0:
        print(f"{count} of {options.runs} runs, and those apart", flush=True)


async def all_of(options: argparse.Namespace, place: Path) -> list[Outcome]:
    orders, done = orders_of(options), list[Outcome]()
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as ending:
            ending.start_soon(_cancel_at, signals, ending.cancel_scope)
            async with trio.open_nursery() as nursery:
                for _ in range(min(options.jobs, options.runs)):
                    nursery.start_soon(work, orders, options, place, done)
            ending.cancel_scope.cancel()
    return sorted(done, key=lambda outcome: outcome.plan.seed)


async def _cancel_at(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    """What has been done so far is still told."""
    async for _ in signals:
        scope.cancel()
        return


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("runs", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="Runs at a time.")
    parser.add_argument("--kind", choices=[*SCRIPTS, REPLICAS], default="", help="In each run.")
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    began = time.monotonic()
    # Before and after the runs, too, what was made on the tmpfs goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    place = Path(tempfile.mkdtemp(prefix="radics-faults-", dir="/dev/shm"))
    try:
        prepare(place)
        outcomes = trio.run(all_of, options, place)
    finally:
        end_qemus(place)
        shutil.rmtree(place, ignore_errors=True)
    bad = [outcome for outcome in outcomes if not outcome.is_good]
    ordinary = [outcome for outcome in outcomes if outcome.plan.kind != ROLLBACK]
    told = (*apart(outcomes), *policies(outcomes), *map(complaint, bad))
    for line in (*rows(ordinary), coverage(ordinary), "", *told):
        print(line)
    minutes = (time.monotonic() - began) / 60
    print(f"{len(outcomes) - len(bad)} of {len(outcomes)} runs good, in {minutes:.1f} min")
    asked = options.runs if options.kind else options.runs + options.runs // APART_SHARE
    if len(outcomes) < asked:
        print(f"ended by a signal: {asked - len(outcomes)} runs were not done")
    if bad:
        print(f"logs of the nodes of the others are in {LOGS.relative_to(ROOT)}/SEED")
    return 1 if bad or len(outcomes) < asked else 0


if __name__ == "__main__":
    sys.exit(main())
