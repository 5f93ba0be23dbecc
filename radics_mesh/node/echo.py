"""What every node answers: a bundle to its service `echo` comes back with the same payload."""

from __future__ import annotations

from radics_mesh.dtn.agent import Agent, Delivery
from radics_mesh.dtn.wire.bundle import ADMINISTRATIVE, BULK
from radics_mesh.ids import NONE_EID, NodeId

SERVICE = "echo"
# Who asked knows how long it waits; nobody waits longer than this for a round trip.
REPLY_LIFETIME_S = 24 * 3600


class Echo:
    def __init__(self, node_id: NodeId, agent: Agent) -> None:
        self._endpoint = node_id.service(SERVICE)
        self._agent = agent
        agent.register(self._endpoint, self._answer)

    async def _answer(self, delivery: Delivery) -> None:
        """CapacityError, KeyUnknown: the reply is lost, for want of room, or because nobody was to
        read the request and the asker's key is not known.

        An echo is not echoed: two nodes would go on for ever. Nor is it sent to who cannot take it:
        to a node's own endpoint come administrative records only.
        """
        asker = delivery.source
        if asker == NONE_EID or delivery.flags & ADMINISTRATIVE or asker.endswith("/"):
            return
        if asker.endswith(f"/{SERVICE}"):
            return
        await self._agent.send(
            asker,
            delivery.payload,
            source=self._endpoint,
            lifetime_s=REPLY_LIFETIME_S,
            priority=BULK,
            encrypt=delivery.encrypted,
        )
