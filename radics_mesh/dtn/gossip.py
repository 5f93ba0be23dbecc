"""Tells neighbours what is held here, and takes in what they tell: `routing` on every node.

A thin Trio shell over radics_mesh.dtn.routes.table. Only a node of which some bundles leave copies
begins; every node answers when it is asked, so one that knows nothing of copies can carry them.
Again and again while a contact lasts: what was told then grows old.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
import trio

from radics_mesh.clock import Clock, Monotonic
from radics_mesh.dtn.agent import Agent
from radics_mesh.dtn.routes.digests import digest
from radics_mesh.dtn.routes.messages import SERVICE, Summary
from radics_mesh.dtn.routes.neighbours import HELD_MAX
from radics_mesh.dtn.routes.table import RoutingTable
from radics_mesh.dtn.rules.processing import Delivery
from radics_mesh.dtn.wire.bundle import EXPEDITED
from radics_mesh.errors import CapacityError, MeshError, WireError
from radics_mesh.ids import NodeId

log = structlog.get_logger(__name__)

# How often neighbours are told again. Shorter: fewer copies sent to who has one; more messages.
TELL_EVERY_S = 30.0
# What is said is old after this.
_LIFETIME_S = 60
# Contacts come in bursts when a node starts; one look at the store is enough for them.
_SETTLE_S = 0.05


class Gossip:
    """`run` it beside the agent. `noted`: see Allotted.flushed."""

    def __init__(
        self,
        *,
        own: NodeId,
        agent: Agent,
        table: RoutingTable,
        clock: Clock,
        noted: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
        tell_every_s: float = TELL_EVERY_S,
    ) -> None:
        self._own = own
        self._agent = agent
        self._table = table
        self._clock = clock
        self._noted = noted
        self._tell_every_s = tell_every_s
        # Neighbours in contact, and when they were told last.
        self._told: dict[NodeId, Monotonic] = {}
        self._woken = trio.Event()
        agent.follow_contacts(self._contacts_changed)
        agent.register(own.service(SERVICE), self._take)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            self._woken = trio.Event()
            if self._table.spreads:
                await self._tell_all()
            with trio.move_on_after(self._tell_every_s):
                await self._woken.wait()
                await trio.sleep(_SETTLE_S)

    def _contacts_changed(self) -> None:
        now_there = {c.peer for c in self._agent.contacts() if isinstance(c.peer, NodeId)}
        self._told = {peer: at for peer, at in self._told.items() if peer in now_there}
        self._woken.set()

    async def _tell_all(self) -> None:
        now = self._clock.monotonic()
        peers = {c.peer for c in self._agent.contacts() if isinstance(c.peer, NodeId)}
        for peer in sorted(peers):
            at = self._told.get(peer)
            if at is None or now - at >= self._tell_every_s:
                await self._tell(peer)
        try:
            await self._noted()
        except CapacityError as error:
            log.warning("routing", reason=str(error))

    def _is_told_long_ago(self, peer: NodeId) -> bool:
        at = self._told.get(peer)
        return at is None or self._clock.monotonic() - at >= self._tell_every_s / 2

    async def _tell(self, peer: NodeId) -> None:
        """Both that a neighbour is told something and that it is asked something is this."""
        now = self._clock.monotonic()
        self._told[peer] = now
        held = [digest(one.bundle_id) for one in self._agent.held_here()]
        summary = self._table.summary(peer, held[-HELD_MAX:], now, asks=self._table.spreads)
        try:
            await self._agent.send(
                peer.service(SERVICE), summary.pack(), lifetime_s=_LIFETIME_S, priority=EXPEDITED
            )
        except MeshError as error:  # a full store; the neighbour gets no copies then
            log.warning("neighbour is not told what is here", peer=peer.text, reason=str(error))

    async def _take(self, delivery: Delivery) -> None:
        peer = delivery.signer
        if peer is None:
            raise WireError("a summary that nobody signed")
        summary = Summary.parse(delivery.payload)
        if summary.asks and self._is_told_long_ago(peer):
            await self._tell(peer)
        try:
            if self._table.heard(peer, summary, self._clock.monotonic()):
                self._agent.clear_needless()
        finally:
            self._agent.routes_changed()
