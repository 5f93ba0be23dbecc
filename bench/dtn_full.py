"""A store with 100,000 bundles for a node that is away: memory for each, and the time of a start.

Filled by one process; another one opens it and makes an agent of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trio

from bench.dtn_nodes import agent_over, make_bundles, two_members
from bench.rows import Row
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.me import Me

COUNT = 100_000
AIM_BYTES, AIM_S = 200, 5.0
_AT_ONCE = 512


def rows(count: int = COUNT) -> list[Row]:
    with tempfile.TemporaryDirectory(dir=".") as directory:
        trio.run(_fill, Path(directory), count)
        command = [sys.executable, "-m", "bench.dtn_full", directory]
        done = subprocess.run(command, check=True, capture_output=True)
    memory_bytes, seconds = json.loads(done.stdout)
    return [
        {
            "name": f"{count} stored bundles, {name}",
            "value": round(value, 2),
            "unit": unit,
            "aim": aim,
            "met": value < aim,
            "peer": "",
        }
        for name, value, unit, aim in (
            ("memory for each", memory_bytes / count, "bytes", AIM_BYTES),
            ("from start to ready", seconds, "s", AIM_S),
        )
    ]


def _open(directory: Path, me: Me) -> BundleStore:
    return BundleStore.open(directory, quota_bytes=1 << 34, clock=me.clock)


async def _fill(directory: Path, count: int) -> None:
    me, other = two_members()
    to = other.node_id.service("inbox")
    (raw,) = make_bundles(me, to, 100, 1)
    store = _open(directory, me)
    numbers = iter(range(count))

    async def add() -> None:
        for number in numbers:
            held = Held(
                bundle_id=BundleId(me.identity.eid, 1, number),
                destination=to,
                priority=1,
                lifetime_s=36_000,
                age_us=0,
                received=me.clock.monotonic(),
                previous=None,
                signer=me.node_id,
            )
            await store.add(held, raw, lambda stored: None)

    async with trio.open_nursery() as nursery:
        for _ in range(_AT_ONCE):
            nursery.start_soon(add)
    store.close()


def _resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) << 10


def main() -> None:
    """Prints bytes of growth and seconds."""
    me, _ = two_members()
    before, began = _resident_bytes(), time.perf_counter()
    store = _open(Path(sys.argv[1]), me)
    agent_over(me, store)
    print(json.dumps([_resident_bytes() - before, time.perf_counter() - began]))
    store.close()


if __name__ == "__main__":
    main()
