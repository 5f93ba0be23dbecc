"""Epidemic routing (Vahdat and Becker, 2000): a copy to everybody who has none.

As fast as anything can be while there is room and time for all the copies, and no faster than
that: what limits it are buffers and short contacts.
"""

from __future__ import annotations

from collections.abc import Sequence

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.routes.spreading import Spreading
from radics_mesh.dtn.storage.held import Held
from radics_mesh.ids import NodeId


class Epidemic(Spreading):
    name = "epidemic"

    def worthy(
        self, held: Held, target: NodeId | None, lacking: Sequence[NodeId], now: Monotonic
    ) -> Sequence[NodeId]:
        return sorted(lacking)
