"""A move that somebody waits for."""

from __future__ import annotations

import trio

from radics_mesh.errors import MeshError
from radics_mesh.hosting.status import MoveStats
from radics_mesh.ids import NodeId


class Move:
    def __init__(self, target: NodeId, *, one_way: bool) -> None:
        self.target = target
        self.one_way = one_way
        self._done = trio.Event()
        self._error: MeshError | None = None
        self._stats: MoveStats | None = None

    def end(self, error: MeshError | None, stats: MoveStats | None) -> None:
        self._error, self._stats = error, stats
        self._done.set()

    async def wait(self) -> MoveStats:
        """Until the target has acknowledged (one way: until it is released)."""
        await self._done.wait()
        if self._error is not None:
            raise self._error
        assert self._stats is not None
        return self._stats
