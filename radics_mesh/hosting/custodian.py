"""As a keeper: checkpoints of VMs that others hold, and going on from them when those are silent.

A holder is silent when nothing was heard of it for the time in its mandate: no record of the node
or of its VM, no word about the checkpoint. A keeper that was off itself counts from its own start.
The first keeper's turn is after that time, the second's after twice the time, and so on; each looks
once more for a chain that counts for more before it goes on. Cut off from all others it goes on,
too: the price of `restartable`, paid when the two meet (radics_mesh.vmm.handoff_branches).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import structlog
import trio

from radics_mesh.errors import (
    CapacityError,
    GuestError,
    MeshError,
    PeerError,
    UsageError,
    WireError,
)
from radics_mesh.hosting.copies import branched_at
from radics_mesh.hosting.custody import Sort, State
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.keeping_messages import Drop, Dropped, Keep, Kept, Message, Want
from radics_mesh.hosting.moving import Incoming
from radics_mesh.hosting.papers import Mailbox, Papers
from radics_mesh.hosting.table import ENDED
from radics_mesh.ids import Digest, NodeId, VmId
from radics_mesh.ownership import Ownership
from radics_mesh.records import Kind
from radics_mesh.vmm import architecture, delta, qemu
from radics_mesh.vmm.delta import Base
from radics_mesh.vmm.handoff_messages import Piece
from radics_mesh.vmm.snapshot import Snapshot

log = structlog.get_logger(__name__)

# For others' checkpoints and divergent states together.
CUSTODY_MAX_BYTES = 2 << 30
# What is missing is asked for again when nothing of it has come for so long.
QUIET_S = 2.0
_WORDS = frozenset(wanted.value for wanted in ENDED)


@dataclass
class _Coming:
    """`base`: the state here of which the holder may send only what makes the new one of it."""

    keep: Keep
    sender: NodeId
    base: Base | None

    @property
    def changes(self) -> Digest | None:
        """What that goes by."""
        return delta.name(self.base.digest, self.keep.snapshot) if self.base else None


class Custodian:
    """See the module. `say` sends one message; `go_on` starts a VM here by a recovery."""

    def __init__(
        self,
        host: Host,
        incoming: Incoming,
        say: Callable[[NodeId, Message], Awaitable[None]],
        go_on: Callable[[State, Ownership], Awaitable[None]],
    ) -> None:
        self._host = host
        self._incoming = incoming
        self._say = say
        self._go_on = go_on
        self._started = 0.0
        self._coming: dict[VmId, _Coming] = {}
        self._heard: dict[Digest, float] = {}
        # When a holder last spoke to us, and what kept a VM from going on here.
        self._spoke: dict[NodeId, float] = {}
        self._hindered: dict[VmId, str] = {}

    def begin(self, now: float) -> None:
        """Silence counts from here."""
        self._started = now

    # --- keeping --------------------------------------------------------------------------------

    async def on_keep(self, message: Keep, sender: NodeId) -> None:
        chain = message.chain
        if chain.holder != sender:
            raise PeerError(f"{sender.short} has a VM kept that it does not hold")
        chain.check_mandate(message.mandate, self._host.me.identity.public, message.snapshot)
        if self._host.directory.learn_ownership(chain.pack()) is None:
            raise PeerError(f"{sender.short} has a VM kept that was not its to take")
        self._spoke[sender] = trio.current_time()
        if self._is_void(chain):
            await self._refuse(message, sender, "the VM is known to be another node's by now")
            return
        held = self._checkpoint(message.vm_id)
        if held is not None and self._is_older(message, held):
            assert held.mandate is not None
            await self._say(sender, Kept(message.vm_id, held.mandate.serial, message.snapshot))
            return
        if held is not None and held.snapshot == message.snapshot:
            state = replace(held, chain=chain, mandate=message.mandate, turn=message.turn)
            await trio.to_thread.run_sync(self._host.custody.renew, state)
            await self._confirm(message, sender)
            return
        try:
            self._check_fits(message)
        except MeshError as error:
            await self._refuse(message, sender, str(error))
            return
        await self._gather(self._begin(message, sender, held))

    def _begin(self, message: Keep, sender: NodeId, held: State | None) -> _Coming:
        old = self._coming.get(message.vm_id)
        if old is not None and (old.keep.snapshot, old.sender) == (message.snapshot, sender):
            old.keep = message
            return old
        base = self._host.custody.base(held.snapshot) if held is not None else None
        coming = self._coming[message.vm_id] = _Coming(message, sender, base)
        return coming

    def _checkpoint(self, vm_id: VmId) -> State | None:
        states = self._host.custody.states(vm_id)
        return next((state for state in states if state.sort is Sort.CHECKPOINT), None)

    @staticmethod
    def _is_older(message: Keep, held: State) -> bool:
        if held.chain != message.chain:
            return held.chain.beats(message.chain)
        return held.mandate is not None and message.mandate.serial < held.mandate.serial

    def _check_fits(self, message: Keep) -> None:
        birth = message.chain.birth
        self._host.check_runs(NodeId.of_key(birth.holder), birth.image)
        terms = message.terms
        wanted = architecture.named(terms.arch)
        if terms.baseline != wanted.baseline:
            raise UsageError(f"no {terms.arch} {terms.baseline} guests here")
        qemu.find(wanted)
        used = sum(s.bytes for s in self._host.custody.states() if s.vm_id != message.vm_id)
        if used + terms.snapshot_bytes > CUSTODY_MAX_BYTES:
            raise CapacityError("no room for more checkpoints of others")

    async def _refuse(self, message: Keep, sender: NodeId, reason: str) -> None:
        await self._say(sender, Kept(message.vm_id, 0, message.snapshot, reason))

    def keeps(self, vm_id: VmId) -> bool:
        """Whether a checkpoint of it is here, or comes."""
        return vm_id in self._coming or self._checkpoint(vm_id) is not None

    async def _kept(self, keep: Keep, sender: NodeId, mailbox: Mailbox) -> None:
        """A checkpoint is here, durably: so copies of the mail that it holds are not needed."""
        epochs = range(branched_at(keep.chain), keep.chain.epoch + 1)
        self._host.table.copies_covered(keep.vm_id, epochs, mailbox.filed)
        await self._confirm(keep, sender)

    async def _confirm(self, message: Keep, sender: NodeId) -> None:
        await self._say(sender, Kept(message.vm_id, message.mandate.serial, message.snapshot))
        await self.announce(message.vm_id)

    async def on_drop(self, message: Drop, sender: NodeId) -> None:
        """Its holder says that the VM has ended."""
        if message.chain.holder != sender:
            raise PeerError(f"{sender.short} has a VM dropped that it does not hold")
        self._coming.pop(message.vm_id, None)
        held = self._checkpoint(message.vm_id)
        if held is not None and not held.chain.overrules(message.chain):
            await trio.to_thread.run_sync(self._host.custody.drop, held)
            self._host.table.drop_copies(message.vm_id)
            await self.announce(message.vm_id)
        await self._say(sender, Dropped(message.vm_id))

    async def on_piece(self, piece: Piece, sender: NodeId) -> None:
        coming = self._coming.get(piece.vm_id)
        if coming is None or coming.sender != sender:
            return
        keep = coming.keep
        if piece.digest not in (keep.snapshot, keep.chain.birth.image, coming.changes):
            raise PeerError("a piece of something else than was to be kept")
        if piece.digest == keep.snapshot:  # its holder knows of our base no more
            coming.base = None
        what = keep.snapshot if piece.digest != keep.chain.birth.image else piece.digest
        self._heard[what] = trio.current_time()
        if await trio.to_thread.run_sync(self._incoming.add, piece):
            await self._gather(coming)

    async def _gather(self, coming: _Coming) -> None:
        """Ask for what is missing; once all is here, keep it."""
        keep = coming.keep
        image = keep.chain.birth.image
        has_image = self._host.images.holds(image) or await self._take_image(image)
        if not has_image:
            await self._ask(coming, image)
        what = coming.changes or keep.snapshot
        whole = await trio.to_thread.run_sync(self._incoming.whole, what)
        if whole is None:
            await self._ask(coming, keep.snapshot)
        elif has_image and coming.base is not None:
            await self._keep_changed(coming, coming.base, whole)
        elif has_image:
            await self._keep(keep, coming.sender, whole)

    async def _ask(self, coming: _Coming, digest: Digest) -> None:
        now = trio.current_time()
        if now - self._heard.get(digest, -QUIET_S) < QUIET_S:
            return
        self._heard[digest] = now
        vm_id, base = coming.keep.vm_id, coming.base
        if base is None or digest != coming.keep.snapshot:
            want = Want(vm_id, digest, self._incoming.missing(digest))
        else:
            missing = self._incoming.missing(delta.name(base.digest, digest))
            want = Want(vm_id, digest, missing, base.digest)
        await self._say(coming.sender, want)

    async def _take_image(self, image: Digest) -> bool:
        content = await trio.to_thread.run_sync(self._incoming.whole, image)
        if content is None:
            return False
        self._incoming.drop(image)
        await trio.to_thread.run_sync(self._host.images.put_named, content, image)
        return True

    async def _keep(self, keep: Keep, sender: NodeId, content: bytes) -> None:
        self._coming.pop(keep.vm_id, None)
        self._heard.pop(keep.snapshot, None)
        self._incoming.drop(keep.snapshot)
        snapshot = await self._unpack(content)
        if snapshot.digest != keep.snapshot or snapshot.manifest.vm != keep.vm_id:
            raise WireError("another checkpoint than was announced")
        snapshot.check_fits(keep.chain.birth.image)
        papers = Papers.parse(snapshot.manifest.mailbox)
        state = self._state(keep, len(content))
        await trio.to_thread.run_sync(self._host.custody.keep, state, content)
        await self._kept(keep, sender, papers.mailbox)

    async def _keep_changed(self, coming: _Coming, base: Base, content: bytes) -> None:
        """Of what makes it of the checkpoint before. When that does not do, all of it is sent."""
        keep = coming.keep
        self._coming.pop(keep.vm_id, None)
        self._heard.pop(keep.snapshot, None)
        self._incoming.drop(delta.name(base.digest, keep.snapshot))
        verifier, now = self._host.me.verifier, self._host.me.clock.wall()
        state = self._state(keep, 0)

        def work() -> Mailbox:
            signed, packs = delta.read(content, base, keep.terms.memory_bytes, keep.snapshot)
            snapshot = Snapshot(*signed, packs=())
            snapshot.check_signature(verifier, now)
            snapshot.check_fits(keep.chain.birth.image)
            if snapshot.manifest.vm != keep.vm_id:
                raise WireError("another VM's checkpoint than was announced")
            papers = Papers.parse(snapshot.manifest.mailbox)
            self._host.custody.keep_changed(state, signed, packs)
            return papers.mailbox

        try:
            mailbox = await trio.to_thread.run_sync(work)
        except (WireError, GuestError) as error:
            log.warning("a checkpoint's changes do not do", reason=str(error))
            coming.base = None
            self._coming[keep.vm_id] = coming
            await self._gather(coming)
            return
        await self._kept(keep, coming.sender, mailbox)

    def _state(self, keep: Keep, size_bytes: int) -> State:
        return State(
            vm_id=keep.vm_id,
            snapshot=keep.snapshot,
            sort=Sort.CHECKPOINT,
            chain=keep.chain,
            created=keep.created,
            bytes=size_bytes,
            at=self._host.me.clock.wall(),
            mandate=keep.mandate,
            turn=keep.turn,
        )

    async def _unpack(self, content: bytes) -> Snapshot:
        verifier, now = self._host.me.verifier, self._host.me.clock.wall()
        return await trio.to_thread.run_sync(lambda: Snapshot.unpack(content, verifier, now))

    async def announce(self, vm_id: VmId) -> None:
        """State in the directory what is kept here, so that `doctor` finds it from anywhere."""
        states = self._host.custody.states(vm_id)[:3]
        if not states:
            await self._host.directory.withdraw(Kind.CHECKPOINT, vm_id.text)
            return
        rows = [
            [s.sort.value, s.chain.epoch, int(s.created), s.bytes, bytes(s.snapshot)[:8]]
            for s in states
        ]
        name = states[0].chain.name
        await self._host.directory.announce(
            Kind.CHECKPOINT, vm_id.text, {"name": name, "states": rows}
        )

    # --- going on -------------------------------------------------------------------------------

    async def tick(self, now: float) -> None:
        """Ask again, and go on with what is silent."""
        for coming in list(self._coming.values()):
            await self._gather(coming)
        for state in self._host.custody.states():
            if state.sort is not Sort.CHECKPOINT:
                continue
            if self._is_ours(state.chain):
                await trio.to_thread.run_sync(self._host.custody.drop, state)
                await self.announce(state.vm_id)
            elif self._host.confirmed.is_set() and self._is_due(state, now):
                await self._restart(state, now)

    def _is_ours(self, chain: Ownership) -> bool:
        """Whether the VM has come here since: what is held is newer."""
        best = self._host.directory.ownership(chain.vm_id)
        tenant = next((t for t in self._host.tenants() if t.vm_id == chain.vm_id), None)
        here = tenant is not None and tenant.is_current
        return here and best is not None and best.beats(chain)

    def _is_due(self, state: State, now: float) -> bool:
        mandate = state.mandate
        if mandate is None or mandate.after_s == 0 or self._is_void(state.chain):
            return False
        return self.silent_s(state, now) >= mandate.after_s * (state.turn + 1)

    def _is_void(self, chain: Ownership) -> bool:
        """Whether the VM was handed on or recovered since: another holder's mandates count."""
        best = self._host.directory.ownership(chain.vm_id)
        return best is not None and best.beats(chain)

    def silent_s(self, state: State, now: float) -> float:
        """How long nothing was heard of a checkpoint's holder."""
        holder = state.chain.holder
        known = [
            *self._host.directory.known(Kind.NODE, holder.text),
            *self._host.directory.known(Kind.VM, state.vm_id.text),
        ]
        ages = [e.age_s for e in known if e.record.publisher == holder]
        return min(now - self._spoke.get(holder, self._started), now - self._started, *ages)

    async def _restart(self, state: State, now: float) -> None:
        entry = await self._host.directory.vm(state.vm_id)
        if entry is not None and str(entry.record.body.get("state")) in _WORDS:
            return  # its holder was silent, but had said that it has ended
        if not self._is_due(state, trio.current_time()):
            return
        assert state.mandate is not None
        try:
            chain = state.chain.recovered(self._host.me.identity, state.snapshot, state.mandate)
            await self._go_on(state, chain)
        except (MeshError, OSError) as error:
            reason = str(error)
            if self._hindered.get(state.vm_id) != reason:
                self._hindered[state.vm_id] = reason
                self._host.journal(
                    "warning", f"{state.chain.name} cannot go on from its checkpoint: {reason}"
                )
            return
        self._hindered.pop(state.vm_id, None)
