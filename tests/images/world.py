"""Nodes with images: real agents over real stores, real directories, links in memory."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import trio

from radics_mesh.dtn.agent import Agent
from radics_mesh.ids import NodeId
from radics_mesh.images.service import Images
from radics_mesh.me import Me
from radics_mesh.vmm import probe
from radics_mesh.vmm.image_manifest import PIECE_BYTES
from radics_mesh.vmm.image_store import ImageStore
from tests import world
from tests.dtn.world import Node, running
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

    @property
    def agent(self) -> Agent:
        return self.node.agent


@dataclass
class World(world.World[Site]):
    quota_bytes: int = 8 << 20

    async def run(
        self,
        number: int,
        me: Me,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
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
