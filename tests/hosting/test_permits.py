"""Whose VMs run on a node: by certificates, and by the rules of the node's owner."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from radics_mesh.errors import CapacityError, LinkError, PeerError
from radics_mesh.ids import Digest
from radics_mesh.membership import Grant
from radics_mesh.ownership import born
from radics_mesh.permits import NO_RULES, parse
from radics_mesh.roles import Role
from radics_mesh.vmm.handoff_messages import Offer, Terms, encode
from tests.hosting.world import Site, World, until
from tests.patience import PATIENCE_S

MEMORY_BYTES = 64 << 20
NOBODYS = parse('[vms.mine]\nowners = ["me"]\n[vms.rest]\nallow = false')


async def run(site: Site, image: Path, name: str = "vm") -> None:
    await site.hosting.run_vm(image, name, memory_bytes=MEMORY_BYTES)


async def test_a_rule_denies_a_vm_names_itself_to_both_and_can_be_changed(
    world: World, counter: Path
) -> None:
    a, b = await world.start(0), await world.start(1)
    world.connect(0, 1)
    world.permits[1] = NOBODYS
    await run(a, counter)
    with pytest.raises(LinkError, match=r"policy\.toml, rule vms\.rest: VMs of node0 \(founder\)"):
        await a.hosting.migrate("vm", b.id)
    await until(lambda: a.has("vm", "running"))
    assert [number for number, text in world.told if "vms.rest" in text] == [1]
    # By who signed the image, which is known when it has come.
    world.permits[1] = parse('[vms.signed]\nsigners = ["builder"]')
    with pytest.raises(LinkError, match=r"rule vms\.signed: an image signed by node0"):
        await a.hosting.migrate("vm", b.id)
    with pytest.raises(PeerError, match=r"rule vms\.signed"):
        await run(b, counter, "own")
    # As much as the rule gives.
    world.permits[1] = parse("[vms.small]\nmemory_mb = 32")
    with pytest.raises(LinkError, match=r"by policy\.toml, rule vms\.small\) is 32 MiB"):
        await a.hosting.migrate("vm", b.id)
    with pytest.raises(CapacityError, match=r"vms\.small"):
        await run(b, counter, "own")
    world.permits[1] = NO_RULES
    await a.hosting.migrate("vm", b.id)
    await until(lambda: b.has("vm", "running"))


async def test_who_may_not_run_vms_neither_starts_nor_hands_over(
    world: World, counter: Path
) -> None:
    world.members.grants[0] = Grant(Role.OBSERVE | Role.PUBLISH)
    a, b = await world.start(0), await world.start(1)
    world.connect(0, 1)
    with pytest.raises(PeerError, match=r"node0 .* may not run VMs: .* the role run"):
        await run(a, counter)
    # Nor does it with other code than ours: the target refuses it.
    vm = born(a.me.identity, "vm", Digest.of(b"image"), bytes(16))
    terms = Terms("x86_64", "qemu64", MEMORY_BYTES, 1000)
    offer = encode(Offer(vm.vm_id, 1, vm, terms), b.me.identity.public)
    await a.agent.send(b.id.service("handoff"), offer)
    with trio.fail_after(PATIENCE_S):
        while not b.agent.counters["dropped_by_handler"]:  # noqa: ASYNC110
            await trio.sleep(0.005)
    assert b.hosting.vms() == []
    assert b.directory.ownership(vm.vm_id) is None
