"""Work on large bundles goes to a thread, so that a 50 MB snapshot stops nobody else's bundles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

# Hashing and copying this much takes about as long as two thread switches.
INLINE_BYTES = 1 << 18
_T = TypeVar("_T")


async def sized(size_bytes: int, work: Callable[[], _T]) -> _T:
    """Run `work` here when it concerns few bytes, else in a worker thread.

    Not a checkpoint for small work. Cancellation waits for the work's end.
    """
    if size_bytes <= INLINE_BYTES:
        return work()
    return await trio.to_thread.run_sync(work)
