"""Nodes with VMs: real guests, real agents over real stores, real directories, links in memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import trio

from radics_mesh.config import Config, Quota
from radics_mesh.directory.service import Directory
from radics_mesh.dtn.agent import Agent, Delivery
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.wire.bundle import Bundle
from radics_mesh.hosting.service import Hosting
from radics_mesh.hosting.status import VmStatus
from radics_mesh.ids import NodeId
from radics_mesh.images.service import Images
from radics_mesh.me import Me
from radics_mesh.permits import NO_RULES, Permits
from radics_mesh.sources.gate import Gate
from radics_mesh.sources.service import Sources
from radics_mesh.vmm.handoff_messages import Message, decode
from radics_mesh.vmm.image_store import ImageStore
from tests import world
from tests.members import announce_node, member
from tests.world import until as until

MEMORY_BYTES = 32 << 20


@dataclass
class Site:
    """One node. `reports`: payloads that its `report` service got, in order."""

    me: Me
    agent: Agent
    store: BundleStore
    directory: Directory
    sources: Sources
    hosting: Hosting
    images: Images
    scope: trio.CancelScope
    reports: list[str] = field(default_factory=list)
    deliveries: Counter[str] = field(default_factory=Counter)

    @property
    def id(self) -> NodeId:
        return self.me.node_id

    async def take_report(self, delivery: Delivery) -> None:
        self.reports.append(delivery.payload.decode())
        self.deliveries[str(delivery.bundle_id)] += 1

    def vm(self, name: str = "counter") -> VmStatus:
        return self.hosting.vm(name)

    def has(self, name: str = "counter", state: str = "running") -> bool:
        return any(vm.name == name and vm.state == state for vm in self.hosting.vms())


@dataclass
class World(world.World[Site]):
    ram: Path = field(kw_only=True)
    memory_bytes: int = 128 << 20
    pool_size: int = 0
    # By number; a node reads its own when it starts.
    quotas: dict[int, tuple[Quota, ...]] = field(default_factory=dict)
    # By number, as they are at each time; and what was said to a node's user.
    permits: dict[int, Permits] = field(default_factory=dict)
    told: list[tuple[int, str]] = field(default_factory=list)
    # Numbers of the nodes that start nothing before a peer has confirmed their start.
    require_witness: set[int] = field(default_factory=set)
    # By number: through which neighbour bundles for another node go; read when a node starts.
    routes: dict[int, dict[int, int]] = field(default_factory=dict)

    async def start(self, number: int) -> Site:
        site = await super().start(number)
        await announce_node(self.members[number], f"node{number}")
        return site

    async def run(
        self,
        number: int,
        me: Me,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        path = self.path / f"node{number}"
        path.mkdir(exist_ok=True)
        directory = self.members[number]
        store = BundleStore.open(path, quota_bytes=64 << 20, clock=me.clock)
        agent = Agent(
            me=me,
            store=store,
            router=StaticRoutes(
                {_id(to): [_id(hop)] for to, hop in self.routes.get(number, {}).items()}
            ),
            locate=directory.locate,
            lifetime_s=3600,
        )
        sources = Sources(
            path=path / "sources.sqlite",
            me=me.node_id,
            agent=agent,
            directory=directory,
            clock=me.clock,
            gate=Gate(
                me.certificate_of,
                lambda: self.permits.get(number, NO_RULES),
                lambda text: self.told.append((number, text)),
            ),
        )
        images = Images(
            path=path / "incoming-images",
            store=ImageStore(path / "images"),
            me=me,
            agent=agent,
            directory=directory,
        )
        hosting = Hosting(
            path=path / "hosting",
            agent=agent,
            sources=sources,
            directory=directory,
            images=images.store,
            me=me,
            config=Config(
                state=path,
                name=f"node{number}",
                ram_directory=self.ram,
                pool_size=self.pool_size,
                quotas=self.quotas.get(number, ()),
                require_witness=number in self.require_witness,
            ),
            accelerator="tcg",
            memory_bytes=self.memory_bytes,
            seek_image=images.seek,
            permits=lambda: self.permits.get(number, NO_RULES),
            tell_denied=lambda text: self.told.append((number, text)),
        )
        site = Site(me, agent, store, directory, sources, hosting, images, trio.CancelScope())
        try:
            with site.scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(agent.run)
                    await nursery.start(sources.run)
                    await nursery.start(images.run)
                    await nursery.start(hosting.run)
                    nursery.start_soon(images.tell, hosting.image_came)
                    agent.register(me.node_id.service("report"), site.take_report)
                    self.sites[number] = site
                    task_status.started()
        finally:
            self.sites.pop(number, None)
            store.close()


def _id(number: int) -> NodeId:
    return member(number)[0].node_id


def step(to: int, raw: bytes) -> Message | None:
    """What a bundle to a node says about a move, as only that node can read it."""
    bundle = Bundle.parse(raw)
    if not bundle.destination.endswith("/handoff"):
        return None
    return decode(bundle.payload, member(to)[0])


def fnv(lines: list[str]) -> int:
    """As counter.cpp hashes."""
    value = 14695981039346656037
    for byte in "".join(lines).encode():
        value = (value ^ byte) * 1099511628211 % 2**64
    return value
