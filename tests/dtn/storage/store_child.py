"""A process that works with a store and says on standard output what it may rely on.

Lines: `held N`, `delivered N`, `sequence N`, each after the store's promise, never before.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import trio

from radics_mesh.dtn.storage.database import FILE_FROM_BYTES
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.ids import Eid
from tests.dtn.world import HandClock

LARGE_EVERY = 7


def payload(number: int) -> bytes:
    size = FILE_FROM_BYTES + 1 if number % LARGE_EVERY == 3 else 200 + number
    return bytes((number % 251,)) * size


def promise(text: str) -> None:
    os.write(1, f"{text}\n".encode())


async def work(directory: Path, first: int, count: int) -> None:
    clock = HandClock()
    store = BundleStore.open(directory, quota_bytes=1 << 30, clock=clock)

    async def one(number: int) -> None:
        held = Held(
            bundle_id=BundleId(Eid("dtn://a/x"), 1, number),
            destination=Eid("dtn://b/y"),
            priority=1,
            lifetime_s=3600,
            age_us=0,
            received=clock.monotonic(),
            previous=None,
            signer=None,
        )
        await store.add(held, payload(number), lambda stored: None)
        promise(f"held {number}")
        promise(f"sequence {await store.sequence()}")
        if number % 3 == 0:
            store.finish(held)
            await store.flushed()
            promise(f"delivered {number}")

    for start in range(first, first + count, 5):  # some together, so that they share commits
        async with trio.open_nursery() as nursery:
            for number in range(start, min(start + 5, first + count)):
                nursery.start_soon(one, number)


if __name__ == "__main__":
    trio.run(work, Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
