"""Checkpoints of VMs at other nodes: the service that givers and custodians share.

giver (holder) --KEEP, PART--> custodian (keeper) --KEPT, WANT--> giver
Between two checkpoints mail goes to keepers by itself: copying.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import structlog
import trio

from radics_mesh.dtn.agent import Delivery
from radics_mesh.errors import CapacityError, MeshError, PeerError
from radics_mesh.hosting.copying import Copying
from radics_mesh.hosting.custodian import CUSTODY_MAX_BYTES, Custodian
from radics_mesh.hosting.custody import State
from radics_mesh.hosting.giver import Giver
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.keeping_messages import (
    SERVICE,
    Drop,
    Dropped,
    Filed,
    Keep,
    Kept,
    Letters,
    Message,
    Part,
    Want,
    decode,
    encode,
)
from radics_mesh.hosting.life import reason_of
from radics_mesh.hosting.moving import Incoming
from radics_mesh.hosting.vm import Vm
from radics_mesh.ids import NodeId
from radics_mesh.ownership import Ownership

log = structlog.get_logger(__name__)

# How often it is looked what is due.
TICK_S = 0.5
# Bulk goes behind what somebody waits for.
_PART_PRIORITY, _PRIORITY = 0, 1


class Keeping:
    def __init__(
        self,
        host: Host,
        path: Path,
        vms: Callable[[], Iterable[Vm]],
        go_on: Callable[[State, Ownership], Awaitable[None]],
    ) -> None:
        incoming = Incoming(path, CUSTODY_MAX_BYTES)
        self._host = host
        self.giver = Giver(host, vms, self._say)
        self.custodian = Custodian(host, incoming, self._say, go_on)
        self.copying = Copying(host, vms, self.giver.keepers, self.custodian.keeps, self._say)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        endpoint = self._host.me.node_id.service(SERVICE)
        registration = self._host.agent.register(endpoint, self._handle)
        self.custodian.begin(trio.current_time())
        task_status.started()
        try:
            for vm_id in {state.vm_id for state in self._host.custody.states()}:
                await self.custodian.announce(vm_id)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.copying.run)
                await self._tick_for_ever()
        finally:
            await registration.end()

    async def _tick_for_ever(self) -> None:
        while True:
            await self._guarded(self.giver.tick)
            await self._guarded(self.custodian.tick)
            await trio.sleep(TICK_S)

    async def _guarded(self, tick: Callable[[float], Awaitable[None]]) -> None:
        try:
            await tick(trio.current_time())
        except (MeshError, OSError) as error:
            log.warning("keeping of checkpoints", reason=reason_of(error))

    async def _say(self, to: NodeId, message: Message) -> None:
        """Whatever matters is said again."""
        key = self._host.key_of(to)
        if not key:
            return
        priority = _PART_PRIORITY if isinstance(message, Part) else _PRIORITY
        try:
            await self._host.agent.send(
                to.service(SERVICE), encode(message, key), priority=priority
            )
        except CapacityError as error:
            log.warning("keeping message not sent", to=to.short, reason=str(error))

    async def _handle(self, delivery: Delivery) -> None:
        sender = delivery.signer
        if sender is None:
            raise PeerError("a keeping message without a member's signature")
        message = decode(delivery.payload, self._host.me.identity)
        try:
            await self._take(message, sender)
        except OSError as error:  # dropped; it is said again
            raise CapacityError(f"a checkpoint cannot be kept: {error}") from error

    async def _take(self, message: Message, sender: NodeId) -> None:
        match message:
            case Keep():
                await self.custodian.on_keep(message, sender)
            case Part(piece):
                await self.custodian.on_piece(piece, sender)
            case Drop():
                await self.custodian.on_drop(message, sender)
            case Kept():
                await self.giver.on_kept(message, sender)
            case Want():
                await self.giver.on_want(message, sender)
            case Dropped():
                await self.giver.on_dropped(message, sender)
            case Letters():
                await self.copying.on_letters(message, sender)
            case Filed():
                await self.copying.on_filed(message, sender)
