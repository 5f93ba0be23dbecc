"""Direct delivery: a bundle stays with its source until that meets the destination."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from radics_mesh.dtn.routes.module import ByTarget
from radics_mesh.ids import NodeId


class Direct(ByTarget):
    name = "direct"

    def next_hops(self, destination: NodeId, contacts: Collection[NodeId]) -> Sequence[NodeId]:
        return [destination] if destination in contacts else []
