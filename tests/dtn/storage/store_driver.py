"""A process with a store that does what standard input says, a line each, and tells what is safe.

  open DIR          (closes the one before)
  add N SIZE [N..]  `adding N..`, then `held N SIZE` for each that is durable; several at once, so
                    that they share a commit
  finish N, drop N  `leaving N`, then `finished N` or `dropped N` when that is durable
  sequence          `sequence NUMBER`

`done` ends the answer to each line.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import trio

from radics_mesh.clock import SystemClock
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.ids import Eid

SOURCE, DESTINATION = Eid("dtn://a/x"), Eid("dtn://b/y")
LIVE_MAX = 2


def payload(number: int, size: int) -> bytes:
    return random.Random(number * 7919 + size).randbytes(size)


def bundle_id(number: int) -> BundleId:
    return BundleId(SOURCE, 1, number)


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


async def add(store: BundleStore, number: int, size: int) -> None:
    held = Held(
        bundle_id=bundle_id(number),
        destination=DESTINATION,
        priority=number % 3,
        lifetime_s=3600,
        age_us=0,
        received=SystemClock().monotonic(),
        previous=None,
        signer=None,
    )
    if await store.add(held, payload(number, size), lambda stored: None):
        say(f"held {number} {size}")


async def leave(store: BundleStore, number: int, how: str) -> None:
    held = store.find(bundle_id(number))
    if held is None:
        return
    say(f"leaving {number}")
    (store.finish if how == "finish" else store.drop)(held)
    await store.flushed()
    say(f"{'finished' if how == 'finish' else 'dropped'} {number}")


async def main() -> None:
    store: BundleStore | None = None
    for line in sys.stdin:
        what, *words = line.split()
        if what == "open":
            if store is not None:
                store.close()
            store = BundleStore.open(
                Path(words[0]), quota_bytes=1 << 30, clock=SystemClock(), live_max=LIVE_MAX
            )
        assert store is not None
        if what == "add":
            say(f"adding {' '.join(words[::2])}")
            async with trio.open_nursery() as nursery:
                for number, size in zip(words[::2], words[1::2], strict=True):
                    nursery.start_soon(add, store, int(number), int(size))
        elif what in ("finish", "drop"):
            await leave(store, int(words[0]), what)
        elif what == "sequence":
            say(f"sequence {await store.sequence()}")
        say("done")


if __name__ == "__main__":
    trio.run(main)
