"""Nodes with images: real agents over real stores, real directories, links in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import trio

from radics_mesh.dtn.agent import Contact
from radics_mesh.ids import NodeId
from radics_mesh.images.service import Images
from radics_mesh.link_memory import MemoryNetwork
from radics_mesh.me import Me
from radics_mesh.membership import Verifier
from radics_mesh.vmm import probe
from radics_mesh.vmm.image_manifest import PIECE_BYTES
from radics_mesh.vmm.image_store import ImageStore
from tests.dht.world import TrioClock
from tests.dtn.world import Node, carry, running, until
from tests.members import MESH, Members, member
from tests.vmm import stubs

PIECES = 9


def image(seed: int = 0) -> bytes:
    """One that boots, of PIECES pieces."""
    kernel = probe.kernel(stubs.IDLE)
    return kernel + Random(seed).randbytes(PIECES * PIECE_BYTES - 1000 - len(kernel))


@dataclass
class Site:
    node: Node
    images: Images
    scope: trio.CancelScope

    @property
    def id(self) -> NodeId:
        return self.node.id


@dataclass
class World:
    nursery: trio.Nursery
    path: Path
    quota_bytes: int = 8 << 20
    members: Members = field(init=False)
    sites: dict[int, Site] = field(default_factory=dict)
    lost: Callable[[int, int, bytes], bool] = lambda one, other, raw: False
    _contacts: dict[tuple[int, int], Contact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.members = Members(self.nursery, MemoryNetwork(Random(1)), self.path)

    async def start(self, number: int) -> Site:
        """A node; started again under the same number it has what it had on disk."""
        if number not in self.members.peers:
            await self.members.start(number, bootstrap=[0] if number else [])
        identity, chain = member(number)
        me = Me(identity, Verifier(MESH), chain, TrioClock())
        await self.nursery.start(self._run, number, me)
        return self.sites[number]

    async def _run(
        self, number: int, me: Me, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        path = self.path / f"node{number}"
        path.mkdir(exist_ok=True)
        scope = trio.CancelScope()
        try:
            with scope:
                async with running(me, path) as node, trio.open_nursery() as nursery:
                    images = Images(
                        path=path / "partial",
                        store=ImageStore(path / "images", self.quota_bytes),
                        me=me,
                        agent=node.agent,
                        directory=self.members[number],
                    )
                    await nursery.start(images.run)
                    self.sites[number] = Site(node, images, scope)
                    task_status.started()
                    await trio.sleep_forever()
        finally:
            del self.sites[number]

    async def stop(self, number: int) -> None:
        """As a kill: nothing is said to anybody."""
        for ends in [ends for ends in self._contacts if number in ends]:
            self._contacts.pop(ends).close()
        self.sites[number].scope.cancel()
        await until(lambda: number not in self.sites)

    def connect(self, one: int, other: int) -> None:
        for a, b in ((one, other), (other, one)):
            here, there = self.sites[a].node, self.sites[b].node
            self._contacts[a, b] = here.agent.contact_up(there.id, self._link(a, b))

    def _link(self, a: int, b: int) -> Callable[[bytes], Awaitable[None]]:
        take = carry(self.sites[b].node, self.sites[a].id)

        async def transmit(raw: bytes) -> None:
            if not self.lost(a, b, raw):
                await take(raw)

        return transmit
