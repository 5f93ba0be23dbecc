"""As the holder of VMs: their checkpoints are given to keepers, under mandates.

Nothing of it need survive a crash. What a keeper has not confirmed is offered again, at first after
REPEAT_FIRST_S, then ever more rarely; a keeper that has it already says so at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import structlog
import trio

from radics_mesh.errors import MeshError
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.keeping_messages import Drop, Dropped, Keep, Kept, Message, Part, Want
from radics_mesh.hosting.moving import cut
from radics_mesh.hosting.papers import Papers
from radics_mesh.hosting.policy import BEATS, KEEPERS_CHOSEN, Policy, Survival
from radics_mesh.hosting.table import ENDED
from radics_mesh.hosting.vm import Vm
from radics_mesh.ids import Digest, NodeId, VmId
from radics_mesh.ownership import Mandate
from radics_mesh.records import Kind
from radics_mesh.vmm import delta
from radics_mesh.vmm.delta import Base
from radics_mesh.vmm.handoff_messages import Terms
from radics_mesh.vmm.handoff_state import Phase
from radics_mesh.vmm.stored import Stored

log = structlog.get_logger(__name__)

REPEAT_FIRST_S, REPEAT_LAST_S = 2.0, 300.0
_HELD = (Phase.HOLDING, Phase.OFFERED, Phase.STAGING)


_What = tuple[Digest, Digest, Policy]


@dataclass
class _Offer:
    """What one keeper was last offered of one VM. `what` None: the end."""

    what: _What | None
    next_at: float
    wait_s: float = REPEAT_FIRST_S
    confirmed: bool = False
    refused: str = ""
    # How far copies of its mail are covered by that.
    filed: int = 0


class Giver:
    """See the module. `say` sends one message."""

    def __init__(
        self,
        host: Host,
        vms: Callable[[], Iterable[Vm]],
        say: Callable[[NodeId, Message], Awaitable[None]],
    ) -> None:
        self._host = host
        self._vms = vms
        self._say = say
        self._offers: dict[tuple[VmId, NodeId], _Offer] = {}
        self._seen: dict[VmId, int] = {}
        # What each keeper was offered last, and what it is known to have.
        self._offered: dict[tuple[VmId, NodeId], Base] = {}
        self._kept: dict[tuple[VmId, NodeId], Base] = {}
        self._asked: set[VmId] = set()

    def keepers(self, vm: Vm) -> list[NodeId]:
        """In the order of their turns."""
        policy, me = vm.row.settings.policy, self._host.me.node_id
        if not policy.is_kept:
            return []
        chosen = set(policy.keepers) - {me}
        if not chosen and policy.survival is Survival.RESTARTABLE:
            known = self._host.directory.known(Kind.NODE)
            fresh = sorted({e.record.publisher for e in known if not e.stale} - {me})
            chosen = set(fresh[:KEEPERS_CHOSEN])
        return sorted(chosen)

    def confirmed(self, vm: Vm) -> list[tuple[NodeId, str]]:
        """Keepers of the VM, and what keeps each from having the latest checkpoint (empty: it has
        it)."""
        what = self._what(vm)
        found = []
        for keeper in self.keepers(vm):
            offer = self._offers.get((vm.vm_id, keeper))
            has_it = offer is not None and offer.confirmed and offer.what == what
            reason = (offer.refused if offer else "") or "not confirmed yet"
            found.append((keeper, "" if has_it else reason))
        return found

    async def tick(self, now: float) -> None:
        """Offer what is due."""
        for vm in list(self._vms()):
            if vm.phase not in _HELD or not vm.row.settings.policy.is_kept:
                continue
            what = self._what(vm)
            if what is None and vm.row.wanted not in ENDED:
                self._want_checkpoint(vm)
                continue
            for keeper in self.keepers(vm):
                await self._offer(vm, keeper, what, now)

    def _what(self, vm: Vm) -> _What | None:
        """Checkpoint, chain and policy."""
        snapshot = vm.handoff.tenure.snapshot
        if snapshot is None or vm.row.wanted in ENDED:
            return None
        return snapshot, vm.life.chain.digest, vm.row.settings.policy

    def _want_checkpoint(self, vm: Vm) -> None:
        """There is none yet: the first one is written as soon as the guest is there."""
        if vm.state == "running" and vm.vm_id not in self._asked:
            self._asked.add(vm.vm_id)
            vm.want_checkpoint()

    async def _offer(self, vm: Vm, keeper: NodeId, what: _What | None, now: float) -> None:
        offer = self._offers.get((vm.vm_id, keeper))
        if offer is None or offer.what != what:
            offer = self._offers[vm.vm_id, keeper] = _Offer(what, now)
        after_s = vm.row.settings.policy.after_s
        if now < offer.next_at or (offer.confirmed and (what is None or not after_s)):
            return
        if offer.confirmed:  # a word now and then: silence is what keepers act upon
            offer.wait_s = max(1.0, after_s / BEATS)
        offer.next_at, offer.wait_s = now + offer.wait_s, min(offer.wait_s * 2, REPEAT_LAST_S)
        if what is None:
            await self._say(keeper, Drop(vm.vm_id, vm.life.chain))
        elif key := self._host.key_of(keeper):
            await self._say(keeper, await self._keep(vm, keeper, key, what[0]))

    async def _keep(self, vm: Vm, keeper: NodeId, key: bytes, snapshot: Digest) -> Keep:
        chain, policy = vm.life.chain, vm.row.settings.policy
        manifest = (await vm.life.snapshots.load(snapshot)).manifest
        self._offered[vm.vm_id, keeper] = Base.of(manifest)
        self._offers[vm.vm_id, keeper].filed = Papers.parse(manifest.mailbox).mailbox.filed
        least = self._seen.get(vm.vm_id, 0)
        serial = self._host.custody.serial(vm.vm_id, snapshot, least)
        mandate: Mandate = chain.mandate(
            self._host.me.identity, key, snapshot, serial, policy.after_s
        )
        terms = Terms(
            manifest.architecture,
            manifest.cpu,
            manifest.memory_bytes,
            self._host.images.path(chain.birth.image).stat().st_size,
            max(1, vm.life.snapshots.last_bytes),
        )
        turn = self.keepers(vm).index(keeper)
        return Keep(vm.vm_id, chain, mandate, turn, terms, snapshot, manifest.created)

    # --- what keepers say -----------------------------------------------------------------------

    async def on_kept(self, message: Kept, sender: NodeId) -> None:
        offer = self._offers.get((message.vm_id, sender))
        if offer is None or offer.what is None or offer.what[0] != message.snapshot:
            return
        serial = self._host.custody.serial_of(message.vm_id)
        if message.serial > serial:  # this disk was set back: number anew, above what it has seen
            self._seen[message.vm_id] = message.serial
            offer.next_at = 0.0
            return
        offer.confirmed, offer.refused = not message.reason, message.reason
        offered = self._offered.get((message.vm_id, sender))
        if not offer.confirmed:
            return
        if offered is not None and offered.digest == message.snapshot:
            self._kept[message.vm_id, sender] = offered
        vm = next((vm for vm in self._vms() if vm.vm_id == message.vm_id), None)
        if vm is not None and vm.phase in _HELD and offer.what[1] == vm.life.chain.digest:
            epoch = vm.life.chain.epoch
            self._host.table.copies_covered(vm.vm_id, range(epoch, epoch + 1), offer.filed)

    async def on_dropped(self, message: Dropped, sender: NodeId) -> None:
        offer = self._offers.get((message.vm_id, sender))
        if offer is not None and offer.what is None:
            offer.confirmed = True
            self._offered.pop((message.vm_id, sender), None)
            self._kept.pop((message.vm_id, sender), None)

    async def on_want(self, message: Want, sender: NodeId) -> None:
        """Only a keeper is shown what programs remember."""
        vm = next((vm for vm in self._vms() if vm.vm_id == message.vm_id), None)
        if vm is None or sender not in self.keepers(vm) or vm.phase is Phase.NONE:
            log.warning("a state is asked for by no keeper of it", node=sender.short)
            return
        digest, pieces = message.digest, message.pieces
        content = await self._changes(vm, message, sender)
        if content is not None and message.base is not None:
            digest = delta.name(message.base, digest)
        else:  # pieces of something else were named
            pieces = () if message.base else pieces
            content = await self._content(vm, digest)
        for piece in cut(vm.vm_id, digest, content, pieces):
            self._host.counters["kept bytes sent"] += len(piece.data)
            await self._say(sender, Part(piece))

    async def _changes(self, vm: Vm, message: Want, keeper: NodeId) -> bytes | None:
        """What makes the latest checkpoint of the one that a keeper has; None: it must be sent as a
        whole."""
        base = self._kept.get((vm.vm_id, keeper))
        latest = message.digest == vm.handoff.tenure.snapshot
        if not latest or base is None or base.digest != message.base:
            return None
        state = await vm.life.snapshots.load(message.digest)
        if not isinstance(state, Stored):
            return None
        return await trio.to_thread.run_sync(delta.make, base, state)

    async def _content(self, vm: Vm, digest: Digest) -> bytes:
        if digest == vm.life.chain.birth.image:
            return await trio.to_thread.run_sync(self._host.images.load, digest)
        if digest != vm.handoff.tenure.snapshot:
            raise MeshError("a checkpoint that is not the latest")
        return await trio.to_thread.run_sync(vm.life.snapshots.packed, digest)
