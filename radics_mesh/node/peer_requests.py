"""Requests about who is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from radics_mesh.control_shapes.mesh import PeerRow
from radics_mesh.gossip.liveness import Standing
from radics_mesh.node.services import Services

Answer = Mapping[str, Any]


class PeerRequests:
    """The handlers, over one node's services."""

    def __init__(self, services: Services) -> None:
        self._node = services

    async def peers(self) -> Answer:
        rows = [self._row(standing) for standing in self._node.liveness.standings()]
        swim = self._node.liveness.swim
        return {
            "peers": sorted(rows, key=lambda row: (row["name"], row["id"])),
            "health": swim.health.score,
            "counters": dict(swim.counters),
            "records": dict(self._node.comparing.entropy.counters),
        }

    def _row(self, standing: Standing) -> PeerRow:
        host, port = standing.address or ("", 0)
        return PeerRow(
            id=standing.node.text,
            name=self._node.names.last_of(standing.node),
            state=standing.state.value,
            for_s=standing.for_s,
            heard_s=standing.heard_s,
            address=f"{host}:{port}" if host else None,
            incarnation=standing.incarnation,
            accusers=standing.accusers,
        )
