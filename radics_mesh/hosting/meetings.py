"""Where two branches of a VM meet: by the directory's records, by a hand-off message, by what a VM
says. The lower one is heeded no more, and its holder is told; if that is us, our VM gives way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
import trio

from radics_mesh.errors import CapacityError, WireError
from radics_mesh.hosting.host import SERVICE, Host
from radics_mesh.ids import Digest, NodeId, VmId
from radics_mesh.ownership import Ownership
from radics_mesh.records import Kind
from radics_mesh.vmm.handoff_messages import Higher, encode

log = structlog.get_logger(__name__)

_REMEMBERED = 512
# The holder of a lower branch is told again when it is still met after so long.
TELL_AGAIN_S = 10.0


class Meetings:
    """`met` tells a VM of this node of a chain."""

    def __init__(self, host: Host, met: Callable[[Ownership], Awaitable[None]]) -> None:
        self._host = host
        self._met = met
        self._chains: OrderedDict[bytes, Ownership | None] = OrderedDict()
        self._told: OrderedDict[Digest, float] = OrderedDict()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled: tell our VMs of chains, and others of branches that count for more."""
        directory = self._host.directory
        async with trio.open_nursery() as nursery:
            changes, lower = directory.changes(), directory.lower.listen()
            self._host.agent.heed = self.refuses
            task_status.started()
            nursery.start_soon(self._follow_lower, lower)
            async for change in changes:
                if change.kind is not Kind.VM:
                    continue
                with suppress(WireError):  # a record about no VM
                    chain = directory.ownership(VmId.parse(change.subject))
                    if chain is not None:
                        await self._met(chain)

    async def _follow_lower(self, lower: trio.MemoryReceiveChannel[Ownership]) -> None:
        async for chain in lower:
            await self.tell(chain, chain.holder)

    async def tell(self, chain: Ownership, node: NodeId) -> None:
        """A node follows this chain: it should know of the better one."""
        best = self._host.directory.ownership(chain.vm_id)
        now = trio.current_time()
        last = self._told.get(chain.digest)
        known_here = best is None or node == self._host.me.node_id
        if best is None or known_here or (last is not None and now - last < TELL_AGAIN_S):
            return
        self._told[chain.digest] = now
        self._told.move_to_end(chain.digest)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        self._host.counters["lower branches"] += 1
        payload = encode(Higher(best.vm_id, best), self._host.key_of(node))
        try:
            await self._host.agent.send(node.service(SERVICE), payload)
        except CapacityError as error:
            log.warning("not told of a higher branch", node=node.short, reason=str(error))

    def refuses(self, packed: bytes) -> bool:
        """Whether a bundle with this chain comes from a branch that counts no more. The chain's
        signatures hold (`radics_mesh.dtn.trust.security`); what it says may be news."""
        if packed not in self._chains:
            self._chains[packed] = self._host.directory.learn_ownership(packed)
            if len(self._chains) > _REMEMBERED:
                self._chains.popitem(last=False)
        chain = self._chains[packed]
        if chain is None or not self._host.directory.is_lower(chain):
            return False
        self._host.directory.lower.tell(chain)
        return True
