"""Sends what a VM has said and a durable checkpoint covers (theory: radics_mesh.hosting.outbox)."""

from __future__ import annotations

from collections.abc import Callable

import trio

from radics_mesh.errors import CapacityError, UsageError, WireError
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.outbox import Outbound
from radics_mesh.ids import Eid, VmId
from radics_mesh.ownership import Ownership

# A full bundle store is tried again after this.
_AGAIN_S = 0.5
_BATCH = 64


class Releases:
    """Of one VM, for as long as this node holds it: `chain` is then its ownership, else None."""

    def __init__(
        self,
        host: Host,
        vm_id: VmId,
        chain: Callable[[], Ownership | None],
        say: Callable[[str], None],
    ) -> None:
        self._host = host
        self._vm_id = vm_id
        self._chain = chain
        self._say = say
        self._more = trio.Event()

    def kick(self) -> None:
        """There may be something to send."""
        self._more.set()

    async def run(self) -> None:
        while True:
            self._more = trio.Event()
            try:
                await self._send_all()
            except OSError:  # the disk is full: what was sent is sent again, under its name
                await trio.sleep(_AGAIN_S)
                continue
            await self._more.wait()

    async def _send_all(self) -> None:
        table = self._host.table
        while batch := table.to_send(self._vm_id, _BATCH):
            chain = self._chain()
            if chain is None:  # it left, and took along what was not sent
                return
            async with trio.open_nursery() as nursery:  # so that they share a commit
                for message in batch:
                    nursery.start_soon(self._send, message, chain)
                    await trio.lowlevel.checkpoint()  # each gets to the store before the next
            table.sent(self._vm_id, batch)

    async def _send(self, message: Outbound, chain: Ownership) -> None:
        while True:
            try:
                await self._host.agent.send(
                    Eid(message.destination),
                    message.payload,
                    source=Eid(message.source),
                    lifetime_s=message.lifetime_s or None,
                    stamp=(message.created, message.number),
                    ownership=chain.pack(),
                )
            except CapacityError:
                await trio.sleep(_AGAIN_S)
            except (WireError, UsageError) as error:
                self._say(f"cannot send to {message.destination[:80]!r}: {error}")
                return
            else:
                return
