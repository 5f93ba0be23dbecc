"""Trio shell: the VMs of this node. What the node, the scheduler and the user call.

Everything about one VM happens in that VM's task (radics_mesh.hosting.vm); here they are found,
made, and told what other nodes say.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog
import trio

from radics_mesh.config import Config, Quota
from radics_mesh.debug.explain import explain, explain_saved
from radics_mesh.directory import Directory
from radics_mesh.dtn.agent import Agent, Delivery
from radics_mesh.errors import CapacityError, MeshError, PeerError, UsageError
from radics_mesh.hosting.arrival import keep_pages
from radics_mesh.hosting.boots import Boots
from radics_mesh.hosting.collecting import collect_for_ever
from radics_mesh.hosting.commit import AT_ONCE, Commit
from radics_mesh.hosting.conduct import DEFAULT, Conduct
from radics_mesh.hosting.custody import Custody, State
from radics_mesh.hosting.host import SERVICE, Host
from radics_mesh.hosting.keeping import Keeping
from radics_mesh.hosting.life import first_created
from radics_mesh.hosting.meetings import Meetings
from radics_mesh.hosting.move import Move
from radics_mesh.hosting.moving import Incoming
from radics_mesh.hosting.notices import Notices
from radics_mesh.hosting.papers import Mailbox, Settings
from radics_mesh.hosting.policy import AT_MOST_ONE, Policy
from radics_mesh.hosting.pool import Pool
from radics_mesh.hosting.progress import Progress
from radics_mesh.hosting.recovery import Recovery
from radics_mesh.hosting.shelf import Shelf
from radics_mesh.hosting.status import MoveStats, VmStatus
from radics_mesh.hosting.strays import end_strays
from radics_mesh.hosting.table import ENDED, JournalRow, Table, VmRow, Wanted
from radics_mesh.hosting.vm import Vm
from radics_mesh.hosting.witness import Witness
from radics_mesh.ids import Digest, NodeId, VmId
from radics_mesh.me import Me
from radics_mesh.ownership import Ownership, born
from radics_mesh.records import Kind
from radics_mesh.sources.service import Sources
from radics_mesh.vmm import architecture, qemu
from radics_mesh.vmm import images as image_files
from radics_mesh.vmm.cgroup import Groups
from radics_mesh.vmm.handoff import Handoff
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
from radics_mesh.vmm.handoff_state import OFFER_S, Phase, Tenure
from radics_mesh.vmm.image_store import ImageStore
from radics_mesh.vmm.pages import PageStore
from radics_mesh.vmm.snapshot import Snapshot
from radics_mesh.vmm.stored import references

log = structlog.get_logger(__name__)

# VMs that this node may hear of, its own included.
VMS_MAX = 1024
DEFAULT_MEMORY_BYTES = 64 << 20
# Of standard input, in one message.
FEED_BYTES = 32 << 10


class Hosting:
    """`path` is a directory of its own; `memory_bytes` is for all guests together."""

    def __init__(
        self,
        *,
        path: Path,
        agent: Agent,
        sources: Sources,
        directory: Directory,
        images: ImageStore,
        me: Me,
        config: Config,
        accelerator: str,
        memory_bytes: int,
        name_of: Callable[[NodeId], str] = lambda node: node.short,
        mesh: Callable[[], bytes] = bytes,
        seek_image: Callable[[Digest, NodeId], None] | None = None,
    ) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._table = Table(path / "vms.sqlite")
        self._vms: dict[VmId, Vm] = {}
        self._notices = Notices(directory, agent, images)
        self._nursery: trio.Nursery | None = None
        pages = PageStore(path / "pages", config.page_quota_bytes)
        self._host = Host(
            agent=agent,
            sources=sources,
            directory=directory,
            images=images,
            pages=pages,
            me=me,
            config=config,
            table=self._table,
            incoming=Incoming(path / "incoming", max(memory_bytes, 64 << 20)),
            custody=Custody(path / "custody", pages),
            root=path / "vms",
            accelerator=accelerator,
            groups=Groups.here(),
            pool=Pool(
                path / "pool",
                ram_directory=config.ram_directory,
                accelerator=accelerator,
                images=images,
                clock=me.clock,
                size=config.pool_size,
                memory_bytes=DEFAULT_MEMORY_BYTES,
            ),
            memory_bytes=memory_bytes,
            journal=self._note,
            name_of=name_of,
            tenants=lambda: self._vms.values(),
            mesh=mesh,
            seek_image=seek_image,
        )
        self.counters = self._host.counters
        self.shelf = Shelf(self._host, self._vms)
        # Of VMs that are here, and of states in custody.
        pages.refer(lambda: references(self._host.root))
        pages.refer(lambda: references(path))
        self._journalled = trio.Event()
        self.meetings = Meetings(self._host, self.met)
        self._boots = Boots(path / "boots.sqlite")
        self.witness = Witness(self._host, self._boots, self._held, self._set_back)
        if not config.require_witness:
            self._host.confirmed.set()
        self.keeping = Keeping(
            self._host, path / "keeping", lambda: self._vms.values(), self.recover_from
        )
        self.recovery = Recovery(
            self._host,
            lambda: self._vms.values(),
            self.keeping.custodian.silent_s,
            self.recover_from,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started when every VM is again what it was.

        On cancellation guests go on: the next run adopts them.
        """
        registration = None
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._notices.run)
                nursery.start_soon(collect_for_ever, self._host.pages)
                await nursery.start(self._host.pool.run)
                rows = self._table.rows()
                await end_strays(self._host.root, [row.vm_id for row in rows])
                for row in rows:
                    vm = self._vms[row.vm_id] = self._vm(row)
                for vm in list(self._vms.values()):
                    await nursery.start(self._serve, vm)
                endpoint = self._host.me.node_id.service(SERVICE)
                registration = self._host.agent.register(endpoint, self._handle)
                await nursery.start(self.keeping.run)
                await nursery.start(self.meetings.run)
                await nursery.start(self.witness.run)
                nursery.start_soon(self._start_when_confirmed)
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None
            if registration is not None:
                registration.close()
            self._table.close()
            self._host.pages.close()
            self._host.custody.close()
            self._boots.close()

    async def _serve(
        self, vm: Vm, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        try:
            await vm.run(task_status=task_status)
        finally:
            if self._vms.get(vm.vm_id) is vm:
                del self._vms[vm.vm_id]

    def _vm(self, row: VmRow) -> Vm:
        assert self._nursery is not None
        return Vm(self._host, row, self._nursery, self._notices)

    # --- what the user wants --------------------------------------------------------------------

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
        # Not to be started by `run`: first_start does, and tells its caller of an error.
        row = VmRow(chain.vm_id, name, Wanted.STOPPED, tenure, settings, clean=True, arrived=wall)
        self._table.receive(row, Mailbox())
        vm = self._vms[row.vm_id] = self._vm(row)
        await nursery.start(self._serve, vm)
        try:
            await vm.call(lambda: self._first_start(vm))
        except MeshError:
            await vm.call(vm.discard)
            raise
        self._note("info", f"{name} started from image {digest.short}")
        return vm.status()

    async def _first_start(self, vm: Vm) -> None:
        self._host.check_name(vm.name)
        self._host.check_room(vm.row.settings.memory_bytes, vm.owner, but=vm.vm_id)
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
            if isinstance(image, Digest):
                image_files.check_fits(images.load(image), memory_bytes)
                return image
            content = image_files.read(image)
            info = images.put(content)
            qemu.find(architecture.named(info.architecture))
            image_files.check_fits(content, memory_bytes)
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

    async def _key_of(self, node: NodeId) -> bytes:
        await self._host.directory.lookup(Kind.NODE, node.text)
        key = self._host.key_of(node)
        if not key:
            raise UsageError(f"node {node.short} is not known here, so its key is not")
        return key

    def vms(self) -> list[VmStatus]:
        """The VMs here, those that have ended or are being released included."""
        return [vm.status() for vm in self._vms.values() if self._is_shown(vm)]

    def vm(self, name: str) -> VmStatus:
        """UsageError when there is none."""
        return self._find(name).status()

    def tenant(self, vm_id: VmId) -> Vm:
        """The VM itself, for who must look inside; KeyError when it is not known here."""
        return self._vms[vm_id]

    def images_in_use(self) -> set[Digest]:
        """Images of VMs that are here, come, or are not yet known to be elsewhere."""
        here = {image for vm in self._vms.values() if (image := vm.image_in_use) is not None}
        return here | {state.chain.birth.image for state in self._host.custody.states()}

    async def image_came(self, image: Digest) -> None:
        """An image that was sought is here: VMs that wait for it go on."""
        for vm in list(self._vms.values()):
            await vm.post(partial(vm.image_came, image))

    def departed(self) -> list[VmId]:
        """VMs that were here and are another node's now."""
        return [vm.vm_id for vm in self._vms.values() if vm.state == "moved"]

    def moves(self) -> list[tuple[str, MoveStats]]:
        """The last move of each VM that came here or left, by name; those that left included."""
        return [(vm.name, vm.last_move) for vm in self._vms.values() if vm.last_move is not None]

    def memory_used_bytes(self) -> int:
        """By guests, and reserved for guests that come."""
        return self._host.memory_used_bytes()

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

    def named(self, name: str) -> Vm:
        """The VM of a name itself, for who must look inside; UsageError when there is none."""
        return self._find(name)

    def tenants(self) -> list[Vm]:
        return list(self._vms.values())

    def quota_of(self, owner: NodeId) -> Quota | None:
        return self._host.quota_of(owner)

    @property
    def custody(self) -> Custody:
        return self._host.custody

    @property
    def pool(self) -> Pool:
        return self._host.pool

    @property
    def pages(self) -> PageStore:
        return self._host.pages

    def journal(self) -> list[JournalRow]:
        """What happened to VMs here, oldest first."""
        return self._table.journal()

    async def journalled(self) -> None:
        """Until the journal grows."""
        await self._journalled.wait()

    # --- what other nodes say -------------------------------------------------------------------

    async def _handle(self, delivery: Delivery) -> None:
        sender = delivery.signer
        if sender is None:
            raise PeerError("a hand-off message without a member's signature")
        message = decode(delivery.payload, self._host.me.identity)
        self.counters["messages"] += 1
        if isinstance(message, Piece):
            await self._take_piece(message)
            return
        if isinstance(message, Pages):
            await self._take_pages(message, sender)
            return
        if isinstance(message, Offer | Frozen | Release | Higher):
            self._host.directory.learn_ownership(message.chain.pack())
        while (vm := await self._vm_for(message)) is not None:
            if await vm.receive(message, sender):
                return

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

    async def _vm_of(self, chain: Ownership) -> Vm:
        vm = self._vms.get(chain.vm_id)
        if vm is not None and not vm.ended.is_set():
            return vm
        if len(self._vms) >= VMS_MAX:
            raise CapacityError(f"{VMS_MAX} VMs are known here")
        row = VmRow(chain.vm_id, chain.name, Wanted.MOVED, Tenure(chain.vm_id), Settings(1 << 20))
        vm = self._vms[chain.vm_id] = self._vm(row)
        await self._running().start(self._serve, vm)
        return vm

    # --- branches -------------------------------------------------------------------------------

    async def choose_policy(self, name: str, policy: Policy) -> None:
        """UsageError: it is not here, or its policy cannot become that."""
        vm = self._find(name)
        await vm.call(lambda: vm.choose_policy(policy))

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

    async def recover_from(self, state: State, chain: Ownership) -> None:
        """Go on here from a state that is kept here. MeshError: it cannot be, or must not."""
        custody, me = self._host.custody, self._host.me
        self._host.check_may_start()
        vm, now = await self._vm_of(chain), me.clock.wall()
        kept = state in custody.states(state.vm_id)
        read = custody.content if kept else vm.life.snapshots.packed
        content = await trio.to_thread.run_sync(read, state.snapshot)
        snapshot = await trio.to_thread.run_sync(Snapshot.unpack, content, me.verifier, now)
        owner = NodeId.of_key(chain.birth.holder)
        self._host.check_room(snapshot.manifest.memory_bytes, owner, but=state.vm_id)
        await vm.call(lambda: vm.recover(chain, snapshot))
        if kept:
            await trio.to_thread.run_sync(custody.drop, state)
            await self.keeping.custodian.announce(state.vm_id)

    # --- inside ---------------------------------------------------------------------------------

    def _find(self, name: str, *, moved: bool = False) -> Vm:
        """By name, else by id. One that is here goes before one that has ended or left."""
        shown = [vm for vm in self._vms.values() if moved or self._is_shown(vm)]
        named = [vm for vm in shown if name in (vm.name, vm.vm_id.text)]
        named.sort(key=lambda vm: (vm.is_current, vm.row.arrived), reverse=True)
        if named:
            return named[0]
        here = ", ".join(sorted({vm.name for vm in shown})) or "there is none"
        raise UsageError(f"no VM named {name} here; VMs here: {here}")

    def _is_shown(self, vm: Vm) -> bool:
        return (
            not vm.is_done
            and vm.state != "moved"
            and (vm.handoff.tenure.chain is not None or vm.handoff.tenure.certificate is not None)
        )

    def _note(self, level: str, text: str) -> None:
        try:
            self._table.note(self._host.me.clock.wall(), level, text)
        except OSError as error:  # a full disk: the log has it, and the VM comes first
            log.warning("not in the journal", reason=str(error))
        getattr(log, level)("vm", text=text)
        self._journalled.set()
        self._journalled = trio.Event()

    def _running(self) -> trio.Nursery:
        if self._nursery is None:
            raise UsageError("the node's VMs are not served yet")
        return self._nursery
