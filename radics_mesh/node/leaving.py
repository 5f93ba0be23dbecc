"""How a node ends in an orderly way: what it is made of first, then its word, then its network."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

# What the others have to answer in. Whoever cannot be reached sees everything go stale instead.
LEAVE_S = 1.5

Ground = Callable[[trio.Nursery], Awaitable[None]]


@asynccontextmanager
async def grounded(
    ground: Ground, leave: Callable[[], Awaitable[None]]
) -> AsyncGenerator[None, None]:
    """The body runs on what `ground` starts, which goes on beneath it until the body has ended,
    however it ended, and `leave` was done, or LEAVE_S are over."""
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope(shield=True)
        await nursery.start(_run, scope, ground)
        try:
            yield
        finally:
            with trio.move_on_after(LEAVE_S, shield=True):
                await leave()
            scope.cancel()


async def _run(
    scope: trio.CancelScope,
    ground: Ground,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    with scope:
        async with trio.open_nursery() as nursery:
            await ground(nursery)
            task_status.started()
