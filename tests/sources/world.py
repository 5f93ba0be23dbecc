"""Nodes with sources: real agents over real stores, real directories, links in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from radics_mesh.directory.service import Directory
from radics_mesh.dtn.agent import Agent
from radics_mesh.ids import Digest, NodeId, VmId
from radics_mesh.me import Me
from radics_mesh.ownership import Ownership, born
from radics_mesh.sources.feed import Feed
from radics_mesh.sources.gate import Gate
from radics_mesh.sources.service import Sources
from tests import world
from tests.dtn.world import Node, running
from tests.members import member
from tests.patience import PATIENCE_S


@dataclass
class Site:
    """One node: its agent, its directory, its sources."""

    node: Node
    directory: Directory
    sources: Sources
    scope: trio.CancelScope

    @property
    def id(self) -> NodeId:
        return self.node.id

    @property
    def agent(self) -> Agent:
        return self.node.agent


@dataclass
class World(world.World[Site]):
    async def run(
        self,
        number: int,
        me: Me,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        directory = self.members[number]
        path = self.path / f"node{number}"
        path.mkdir(exist_ok=True)
        scope = trio.CancelScope()
        try:
            with scope:
                async with running(me, path) as node, trio.open_nursery() as nursery:
                    sources = Sources(
                        path=path / "sources.sqlite",
                        me=me.node_id,
                        agent=node.agent,
                        directory=directory,
                        clock=me.clock,
                        gate=Gate(me.certificate_of),
                    )
                    await nursery.start(sources.run)
                    self.sites[number] = Site(node, directory, sources, scope)
                    task_status.started()
                    await trio.sleep_forever()
        finally:
            del self.sites[number]


@dataclass
class Vm:
    """A VM as far as its right to subscribe goes. It is born on node 0."""

    ownership: Ownership = field(
        default_factory=lambda: born(member(0)[0], "vm", Digest.of(b"image"), bytes(16))
    )
    holder: int = 0

    @property
    def id(self) -> VmId:
        return self.ownership.vm_id

    def move(self, to: int) -> None:
        target = member(to)[0]
        self.ownership = self.ownership.released(
            member(self.holder)[0], target.public, Digest.of(b"snapshot")
        )
        self.holder = to

    def attach(self, site: Site, source: str, after: int) -> Feed:
        owned = self.ownership
        return site.sources.attach(owned.vm_id.eid, owned.epoch, source, after, owned.pack())


async def take(feed: Feed, count: int, max_bytes: int = 2000) -> list[bytes]:
    """At least `count` messages, acknowledged; fewer only at the end."""
    messages: list[bytes] = []
    with trio.fail_after(PATIENCE_S):
        while len(messages) < count:
            batch = await feed.receive(max_bytes)
            messages += batch.messages
            await feed.acknowledge(batch.first + len(batch.messages) - 1)
            if batch.end:
                break
    return messages
