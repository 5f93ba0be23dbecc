"""A move that somebody waits for."""

from __future__ import annotations

import trio

from radics_mesh.errors import MeshError
from radics_mesh.hosting.status import MoveStats
from radics_mesh.ids import NodeId
from radics_mesh.vmm.handoff_state import OFFER_S


class Move:
    """`limit`: bytes a second at most. `patience_s`: for how long each answer may be missing."""

    def __init__(
        self,
        target: NodeId,
        *,
        one_way: bool = False,
        limit: float | None = None,
        patience_s: float = OFFER_S,
    ) -> None:
        self.target = target
        self.one_way = one_way
        self.limit = limit
        self.patience_s = patience_s
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
