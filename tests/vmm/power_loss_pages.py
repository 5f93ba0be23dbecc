"""A process that works with a page store and says on standard output what it may rely on.

Lines: `kept N` after the pages of round N are held and put, `freed N` before they are released.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from radics_mesh.vmm.pagepack import page_hash
from radics_mesh.vmm.pages import PageStore


def content_of(number: int) -> bytes:
    return random.Random(number).randbytes(4096)


def pages_of(round_: int) -> list[int]:
    """Some of its own, some that the last and the next one have too."""
    return list(range(2 * round_, 2 * round_ + 5))


def work(directory: Path, rounds: int) -> None:
    store = PageStore(directory, 1 << 30)
    for round_ in range(rounds):
        pages = [(page_hash(c), c) for c in map(content_of, pages_of(round_))]
        store.hold(f"round{round_}", [digest for digest, _ in pages])
        store.put(pages)
        os.write(1, f"kept {round_}\n".encode())
        if round_ >= 3:
            os.write(1, f"freed {round_ - 3}\n".encode())
            store.release(f"round{round_ - 3}")
            store.collect()


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
