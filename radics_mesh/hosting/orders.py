"""What users want of the VMs here."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import trio

from radics_mesh.debug.explain import explain, explain_saved
from radics_mesh.errors import CapacityError, MeshError, UsageError
from radics_mesh.hosting.commit import AT_ONCE, Commit
from radics_mesh.hosting.conduct import DEFAULT, Conduct
from radics_mesh.hosting.move import Move
from radics_mesh.hosting.papers import Settings
from radics_mesh.hosting.policy import AT_MOST_ONE, Policy
from radics_mesh.hosting.progress import Progress
from radics_mesh.hosting.roster import Roster
from radics_mesh.hosting.starts import first_created
from radics_mesh.hosting.status import MoveStats, VmStatus
from radics_mesh.hosting.table import ENDED, VmRow, Wanted
from radics_mesh.hosting.vm import Vm
from radics_mesh.ids import Digest, NodeId
from radics_mesh.ownership import born
from radics_mesh.records import Kind
from radics_mesh.vmm import architecture, qemu
from radics_mesh.vmm.handoff import Handoff
from radics_mesh.vmm.handoff_state import OFFER_S, Phase

DEFAULT_MEMORY_BYTES = 64 << 20
# Of standard input, in one message.
FEED_BYTES = 32 << 10


class Orders(Roster):
    """See the module. `name`: of a VM here, else its id; UsageError when there is none."""

    async def run_vm(
        self,
        image: Path | Digest,
        name: str,
        *,
        sources: Sequence[str] = (),
        arguments: Sequence[str] = (),
        environment: Sequence[str] = (),
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        pinned: bool = False,
        has_stdin: bool = False,
        commit: Commit = AT_ONCE,
        policy: Policy = AT_MOST_ONE,
        conduct: Conduct = DEFAULT,
    ) -> VmStatus:
        """Make a VM and start it. UsageError, CapacityError, GuestError: there is none then.

        `environment` is "K=V" each; `has_stdin`: it will be fed (`feed`).
        """
        nursery = self._running()
        self._host.check_may_start()
        self._host.check_name(name)
        self._host.check_room(memory_bytes, self._host.me.node_id)
        digest = await self._have_image(image, memory_bytes)
        for old in [v for v in self._vms.values() if v.name == name and v.row.wanted in ENDED]:
            await old.call(old.discard)
        me = self._host.me
        chain = born(me.identity, name, digest, os.urandom(16))
        wall = me.clock.wall()
        created = first_created(wall, int.from_bytes(os.urandom(3)))
        settings = Settings(
            memory_bytes,
            tuple(sources),
            tuple(arguments),
            pinned,
            created=created,
            environment=tuple(environment),
            has_stdin=has_stdin,
            commit=commit,
            policy=policy,
            conduct=conduct,
        )
        tenure = Handoff.born(chain, me.identity).tenure
        # Not to be started by `run`: first_start does, and tells its caller of an error. It is
        # durable from then on, and not at all before.
        row = VmRow(chain.vm_id, name, Wanted.STOPPED, tenure, settings, clean=True, arrived=wall)
        vm = self._vms[row.vm_id] = self._vm(row)
        await nursery.start(self._serve, vm)
        try:
            await vm.call(lambda: self._first_start(vm))
        except MeshError:
            await vm.call(vm.discard)
            raise
        self._journal.note("info", f"{name} started from image {digest.short}")
        return vm.status()

    async def _first_start(self, vm: Vm) -> None:
        self._host.check_name(vm.name)
        image = vm.life.chain.birth.image
        self._host.check_room(vm.row.settings.memory_bytes, vm.owner, vm.vm_id, image)
        self._notices.changed_hands(vm.life.chain)
        vm.life.row = replace(vm.row, wanted=Wanted.RUNNING)  # durable when it starts
        try:
            await vm.first_start()
        except OSError as error:
            raise CapacityError(f"{vm.name} cannot start: {error}") from error

    async def _have_image(self, image: Path | Digest, memory_bytes: int) -> Digest:
        """That a machine of this size can start it, and, of a file, that it is kept here."""
        images = self._host.images

        def keep() -> Digest:
            info = images.info(image) if isinstance(image, Digest) else images.put_file(image)
            qemu.find(architecture.named(info.architecture))
            info.check_fits(memory_bytes)
            return info.digest

        try:
            return await trio.to_thread.run_sync(keep)
        except OSError as error:
            raise CapacityError(f"the image cannot be kept: {error}") from error

    async def stop(self, name: str) -> None:
        """End a VM for good. UsageError when there is none or it has ended."""
        vm = self._find(name)
        await vm.call(vm.stop)

    async def kill(self, name: str) -> None:
        """End a VM at once, whatever it is doing: for good, with its state."""
        await self._find(name).kill()

    async def feed(self, name: str, data: bytes, *, end: bool = False) -> None:
        """More for a VM's standard input, then perhaps its end. On return it is kept, durably."""
        vm = self._find(name)
        for start in range(0, len(data), FEED_BYTES):
            await vm.feed(data[start : start + FEED_BYTES], end=False)
        if end:
            await vm.feed(b"", end=True)

    async def save(self, name: str) -> None:
        """Write a VM's state to disk and end its guest, until `resume`."""
        vm = self._find(name)
        await vm.call(vm.save)

    async def checkpoint(self, name: str, every_s: float | None = None) -> None:
        """Write a VM's state to disk while it goes on: now, or from now on every so often (0: not
        any more). UsageError, CapacityError, GuestError."""
        vm = self._find(name)
        await vm.call(vm.checkpoint_now if every_s is None else lambda: vm.choose(every_s))

    async def resume(self, name: str) -> None:
        vm = self._find(name)
        await vm.call(vm.resume)

    async def migrate(
        self,
        name: str,
        target: NodeId,
        *,
        one_way: bool = False,
        key: bytes = b"",
        limit: float | None = None,
        patience_s: float = OFFER_S,
    ) -> MoveStats:
        """Hand a VM over; returns when the target has acknowledged, one way when it is released
        and all that the target needs is in the bundle store. `key`: the target's public key, where
        no record says it. `limit`: bytes a second at most; `patience_s`: how long an answer of the
        target may take, over slow bundles.

        LinkError: it was given up, and the VM goes on here. Cancelling stops only the waiting.
        """
        vm = self._find(name)
        if not one_way and target == self._host.me.node_id:
            raise UsageError(f"{name} is on that node already")
        move = Move(target, one_way=one_way, limit=limit, patience_s=patience_s)
        if one_way and not key:
            key = await self._key_of(target)
        await vm.call(lambda: vm.begin_move(move, key))
        stats = await move.wait()
        if one_way:
            await vm.all_sent()
        return stats

    async def cancel_move(self, name: str) -> None:
        """Give a move up, whose VM then goes on here; UsageError when it is too late."""
        vm = self._find(name)
        await vm.call(vm.cancel_move)

    def progress(self, name: str) -> Progress | None:
        """Of a VM's move from here, until it is released."""
        return self._find(name).progress()

    async def all_sent(self, name: str) -> None:
        """Until all that a released VM's target needs is in the bundle store."""
        await self._find(name, moved=True).all_sent()

    async def owed_is_stored(self) -> None:
        """Until all that one-way releases owe is in the bundle store: after a restart, too."""
        for vm in list(self._vms.values()):
            tenure = vm.handoff.tenure
            if tenure.one_way and tenure.phase is Phase.RELEASED:
                await vm.all_sent()

    async def _key_of(self, node: NodeId) -> bytes:
        await self._host.directory.lookup(Kind.NODE, node.text)
        key = self._host.key_of(node)
        if not key:
            raise UsageError(f"node {node.short} is not known here, so its key is not")
        return key

    async def logs(self, name: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """What a VM printed here; `follow`: and prints, until it ends or leaves."""
        vm = self._find(name, moved=True)
        async for text in vm.life.log.read(follow=follow):
            yield text

    async def stack(self, name: str) -> list[list[str]]:
        """What each thread of a VM does, and where it was called from: lines of text.

        UsageError: it neither runs nor is saved here. GuestError: it did not say.
        """
        vm = self._find(name)
        guest = vm.life.guest
        if guest is None or guest.machine.is_parked:
            image, snapshot = await self.saved(name)
            return await explain_saved(image, snapshot)
        threads = await guest.machine.threads()
        streams = {s.stream: s.source for s in guest.machine.streams() if s.source}
        return await explain(guest.machine.files.image, threads, streams)

    async def saved(self, name: str) -> tuple[Path, Path]:
        """Files of a VM that is saved here: its image, its snapshot; UsageError when it is not."""
        vm = self._find(name)
        digest = vm.handoff.tenure.snapshot
        if vm.state != "saved" or digest is None:
            raise UsageError(f"{name} is {vm.state}, not saved; `save {name}` parks it")
        snapshot = await vm.life.snapshots.carried(digest)
        return self._host.images.path(vm.life.chain.birth.image), snapshot

    async def choose_policy(self, name: str, policy: Policy) -> None:
        """UsageError: it is not here, or its policy cannot become that."""
        vm = self._find(name)
        await vm.call(lambda: vm.choose_policy(policy))
