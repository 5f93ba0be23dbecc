"""This node, as the protocols need it: its key, its place in the mesh, its clocks."""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.clock import Clock
from radics_mesh.identity import Identity
from radics_mesh.ids import NodeId
from radics_mesh.membership import Mesh, Verifier


@dataclass(frozen=True)
class Me:
    """An admitted node. `chain` is its own packed membership chain."""

    identity: Identity
    verifier: Verifier
    chain: bytes
    clock: Clock

    @property
    def node_id(self) -> NodeId:
        return self.identity.node_id

    @property
    def mesh(self) -> Mesh:
        return self.verifier.mesh
