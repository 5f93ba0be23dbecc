"""Trio shell: the VMs of this node. What the node, the scheduler and the user call.

Everything about one VM happens in that VM's task (radics_mesh.hosting.vm); here they are found,
made, and told what other nodes say.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio

from radics_mesh.config import Config, Quota
from radics_mesh.directory.service import Directory
from radics_mesh.dtn.agent import Agent
from radics_mesh.hosting.boots import Boots
from radics_mesh.hosting.collecting import collect_for_ever
from radics_mesh.hosting.custody import Custody, State
from radics_mesh.hosting.host import SERVICE, Host
from radics_mesh.hosting.journal import Journal
from radics_mesh.hosting.keeping import Keeping
from radics_mesh.hosting.meetings import Meetings
from radics_mesh.hosting.moving import Incoming
from radics_mesh.hosting.notices import Notices
from radics_mesh.hosting.orders import DEFAULT_MEMORY_BYTES, Orders
from radics_mesh.hosting.pool import Pool
from radics_mesh.hosting.recovery import Recovery
from radics_mesh.hosting.shelf import Shelf
from radics_mesh.hosting.status import MoveStats
from radics_mesh.hosting.strays import end_strays
from radics_mesh.hosting.table import Table
from radics_mesh.hosting.vm import Vm
from radics_mesh.hosting.witness import Witness
from radics_mesh.hosting.words import Words
from radics_mesh.ids import Digest, NodeId, VmId
from radics_mesh.me import Me
from radics_mesh.ownership import Ownership
from radics_mesh.permits import NO_RULES, Permits
from radics_mesh.sources.service import Sources
from radics_mesh.vmm.cgroup import Groups
from radics_mesh.vmm.image_store import ImageStore
from radics_mesh.vmm.pages import PageStore
from radics_mesh.vmm.snapshot import Snapshot
from radics_mesh.vmm.stored import references


class Hosting(Words, Orders):
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
        permits: Callable[[], Permits] = lambda: NO_RULES,
        tell_denied: Callable[[str], None] = lambda text: None,
    ) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._table = Table(path / "vms.sqlite")
        self._journal = Journal(self._table, me.clock.wall)
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
            journal=self._journal.note,
            name_of=name_of,
            tenants=lambda: self._vms.values(),
            mesh=mesh,
            seek_image=seek_image,
            permits=permits,
            tell_denied=tell_denied,
        )
        self.counters = self._host.counters
        self.shelf = Shelf(self._host, self._vms)
        # Of VMs that are here, and of states in custody.
        pages.refer(lambda: references(self._host.root))
        pages.refer(lambda: references(path))
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
                nursery.start_soon(self._journal.run)
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
                await registration.end()
            self._journal.write()
            self._table.close()
            self._host.pages.close()
            self._host.custody.close()
            self._boots.close()

    def images_in_use(self) -> set[Digest]:
        """Images of VMs that are here, come, or are not yet known to be elsewhere."""
        here = {image for vm in self._vms.values() if (image := vm.image_in_use) is not None}
        return here | {state.chain.birth.image for state in self._host.custody.states()}

    def departed(self) -> list[VmId]:
        """VMs that were here and are another node's now."""
        return [vm.vm_id for vm in self._vms.values() if vm.state == "moved"]

    def moves(self) -> list[tuple[str, MoveStats]]:
        """The last move of each VM that came here or left, by name; those that left included."""
        return [(vm.name, vm.last_move) for vm in self._vms.values() if vm.last_move is not None]

    def memory_used_bytes(self) -> int:
        """By guests, and reserved for guests that come."""
        return self._host.memory_used_bytes()

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

    async def recover_from(self, state: State, chain: Ownership) -> None:
        """Go on here from a state that is kept here. MeshError: it cannot be, or must not."""
        custody, me = self._host.custody, self._host.me
        self._host.check_may_start()
        vm = await self._vm_of(chain)
        kept = state in custody.states(state.vm_id)
        read = custody.content if kept else vm.life.snapshots.packed
        content = await trio.to_thread.run_sync(read, state.snapshot)
        snapshot = await trio.to_thread.run_sync(Snapshot.unpack, content, me.verifier, None)
        owner = NodeId.of_key(chain.birth.holder)
        image = chain.birth.image
        self._host.check_room(snapshot.manifest.memory_bytes, owner, state.vm_id, image)
        await vm.call(lambda: vm.recover(chain, snapshot))
        if kept:
            await trio.to_thread.run_sync(custody.drop, state)
            await self.keeping.custodian.announce(state.vm_id)
