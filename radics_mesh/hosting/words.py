"""What other nodes say about VMs here: each word to the VM that is meant."""

from __future__ import annotations

from collections import Counter
from functools import partial

import trio

from radics_mesh.dtn.agent import Delivery
from radics_mesh.errors import CapacityError, PeerError
from radics_mesh.hosting.arrival import keep_pages
from radics_mesh.hosting.roster import Roster
from radics_mesh.hosting.vm import Vm
from radics_mesh.ids import Digest, NodeId
from radics_mesh.membership import demand
from radics_mesh.ownership import Ownership
from radics_mesh.roles import Role
from radics_mesh.vmm.handoff_messages import (
    Frozen,
    Higher,
    Message,
    Offer,
    Pages,
    Piece,
    Release,
    decode,
)
from radics_mesh.vmm.handoff_state import Phase

_THREAD_FROM_BYTES = 64 << 10


class Words(Roster):
    """See the module."""

    counters: Counter[str]

    async def image_came(self, image: Digest) -> None:
        """An image that was sought is here: VMs that wait for it go on."""
        for vm in list(self._vms.values()):
            await vm.post(partial(vm.image_came, image))

    async def _handle(self, delivery: Delivery) -> None:
        sender = delivery.signer
        if sender is None:
            raise PeerError("a hand-off message without a member's signature")
        message = await self._decoded(delivery.payload)
        self.counters["messages"] += 1
        if isinstance(message, Piece):
            await self._take_piece(message)
            return
        if isinstance(message, Pages):
            await self._take_pages(message, sender)
            return
        if isinstance(message, Offer | Frozen | Release | Higher):
            demand(self._host.certificate(sender), Role.RUN, "hand VMs over")
            if self._host.directory.learn_ownership(message.chain.pack()) is None:
                raise PeerError(f"{sender.short} brings a VM that was not its to take")
        while (vm := await self._vm_for(message)) is not None:
            if await vm.receive(message, sender):
                return

    async def _decoded(self, payload: bytes) -> Message:
        """Much of it in a thread: it is unsealed first. Errors as `decode`."""
        if len(payload) < _THREAD_FROM_BYTES:
            return decode(payload, self._host.me.identity)
        return await trio.to_thread.run_sync(decode, payload, self._host.me.identity)

    async def _take_piece(self, piece: Piece) -> None:
        """Kept durably for whoever needs it; it may have overtaken what announces it."""
        try:
            whole = await trio.to_thread.run_sync(self._host.incoming.add, piece)
        except OSError as error:  # dropped; what is missing is asked for again
            raise CapacityError(f"a piece cannot be kept: {error}") from error
        vm = self._vms.get(piece.vm_id)
        if vm is not None:
            known = vm
            await vm.post(lambda: known.piece_came(piece.digest, whole=whole))

    async def _take_pages(self, pages: Pages, sender: NodeId) -> None:
        """Kept durably as well. Of a one-way move they may come before anything else does."""
        vm = self._vms.get(pages.vm_id)
        try:
            if vm is not None:
                await vm.take_pages(pages, sender)
            else:
                await keep_pages(self._host, pages.vm_id, pages.pack, hold=True)
        except OSError as error:
            raise CapacityError(f"pages cannot be kept: {error}") from error

    async def _vm_for(self, message: Message) -> Vm | None:
        """The VM that is meant; one that another node offers or releases may be new here."""
        if isinstance(message, Offer | Frozen | Release):
            return await self._vm_of(message.chain)
        vm = self._vms.get(message.vm_id)
        return None if vm is None or vm.ended.is_set() else vm

    async def met(self, chain: Ownership) -> None:
        """Somebody has this chain of a VM; if it was here, it may have to give way."""
        vm = self._vms.get(chain.vm_id)
        if vm is not None:
            await vm.met(chain)

    def _held(self) -> list[Vm]:
        return [vm for vm in self._vms.values() if vm.phase not in (Phase.NONE, Phase.RESERVED)]

    async def _set_back(self) -> None:
        for vm in self._held():
            await vm.set_apart()

    async def _start_when_confirmed(self) -> None:
        await self._host.confirmed.wait()
        for vm in list(self._vms.values()):
            await vm.confirmed()
