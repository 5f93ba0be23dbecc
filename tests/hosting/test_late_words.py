"""What comes for a VM in the moment in which there was nothing more to remember of it."""

from __future__ import annotations

import trio

from radics_mesh.hosting.host import SERVICE
from radics_mesh.ids import Digest
from radics_mesh.ownership import born
from radics_mesh.vmm.handoff_messages import Release, encode
from tests.hosting.world import World, until
from tests.patience import PATIENCE_S


async def test_a_release_that_comes_too_late_for_its_vm_begins_it_anew(world: World) -> None:
    here, there = await world.start(0), await world.start(1)
    world.connect(0, 1)
    giver, taker = there.me.identity, here.me.identity
    chain = born(giver, "vm", Digest.of(b"image"), bytes(16))
    chain = chain.released(giver, taker.public, Digest.of(b"snapshot"))
    with trio.fail_after(PATIENCE_S):
        vm = await here.hosting._vm_of(chain)
        await vm.met(chain)  # the mesh tells of it first, and of a VM that is not here that is all
        await vm.ended.wait()
        assert not await vm.receive(Release(chain.vm_id, chain), giver.node_id)
        release = encode(Release(chain.vm_id, chain), taker.public)
        await there.agent.send(here.id.service(SERVICE), release)
        await until(lambda: any(v.state == "arriving" for v in here.hosting.vms()))
