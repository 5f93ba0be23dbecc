"""The request to change the mesh key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from radics_mesh.errors import UsageError
from radics_mesh.identity import Identity
from radics_mesh.membership import Chain
from radics_mesh.node.services import Services
from radics_mesh.node.state import StateDirectory
from radics_mesh.rotations import may_rotate

Answer = Mapping[str, Any]


class RotateRequests:
    """The handlers, over one node's services."""

    def __init__(self, services: Services) -> None:
        self._node = services

    async def rotate(self, overlap_s: float) -> Answer:
        signer, chain = self._signer()
        rekeying = self._node.rekeying
        statement = await rekeying.rotate(signer, chain, int(overlap_s))
        waiting = sorted(self._node.names.last_of(one) for one in rekeying.waiting())
        return {
            "epoch": statement.epoch,
            "key": statement.key_id.hex(),
            "overlap_s": statement.overlap_s,
            "waiting": waiting,
        }

    def _signer(self) -> tuple[Identity, bytes]:
        """This node, if it may, else the genesis key if this node founded the mesh. UsageError."""
        me = self._node.me
        if me.verifier.is_out(me.chain):
            raise UsageError("this node is no member any more: nobody would take its key")
        if may_rotate(Chain.parse(me.chain)):
            return me.identity, me.chain
        genesis = StateDirectory(self._node.config.state).genesis()
        if genesis is not None and genesis.public == me.mesh.genesis:
            return genesis, b""
        raise UsageError(
            "only members with the role operate can change the mesh key, or the holder of the"
            " mesh's genesis key"
        )
