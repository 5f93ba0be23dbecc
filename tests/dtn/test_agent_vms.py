"""Agents together: bundles for VMs that move, and from them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import trio
from trio.testing import wait_all_tasks_blocked

from radics_mesh.dtn.agent import Delivery
from radics_mesh.errors import LinkError
from radics_mesh.ids import Digest, Eid, NodeId
from radics_mesh.me import Me
from radics_mesh.ownership import born
from tests.dtn.world import Members, Node, connect, running, until
from tests.patience import PATIENCE_S


async def test_bundles_follow_a_vm(tmp_path: Path, members: Members) -> None:
    """To A while the VM is there; when it leaves for B what waits goes after it, through A."""
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    vm = born(a.identity, "vm", Digest.of(b"image"), bytes(16))
    inbox = Eid(f"{vm.vm_id.eid}in")
    at: dict[str, NodeId] = {"vm": a.node_id}

    def locate(eid: Eid) -> NodeId | None:
        return at["vm"] if eid.vm_id == vm.vm_id else None

    paused = trio.Event()

    async def pause(delivery: Delivery) -> None:
        paused.set()
        await trio.sleep_forever()

    async with (
        running(a, tmp_path / "a", locate=locate) as node_a,
        running(b, tmp_path / "b", locate=locate) as node_b,
        running(c, tmp_path / "c", locate=locate) as node_c,
    ):
        for other in (node_b, node_c):
            connect(node_a, other)
        registration = node_a.agent.register(vm.vm_id.eid, node_a.collect, prefix=True)
        await node_c.agent.send(inbox, b"one")
        await node_a.received(1)
        registration.close()
        at["vm"] = NodeId(bytes(20))  # on its way, nobody knows where
        await node_c.agent.send(inbox, b"two")
        node_a.agent.routes_changed()
        node_c.agent.routes_changed()
        await wait_all_tasks_blocked(0.01)
        assert len(node_b.delivered) == 0
        at["vm"] = b.node_id
        node_b.agent.register(vm.vm_id.eid, node_b.collect, prefix=True)
        connect(node_c, node_b)
        (delivery,) = await node_b.received(1)
        assert delivery.payload == b"two"
        assert delivery.signer == c.node_id


async def test_what_waited_for_a_vm_is_its_own_once_it_is_here(
    tmp_path: Path, members: Members
) -> None:
    me = members.me("a")
    vm = born(me.identity, "vm", Digest.of(b"image"), bytes(16))
    async with running(me, tmp_path) as node:
        for payload in (b"one", b"two"):
            await node.agent.send(Eid(f"{vm.vm_id.eid}in"), payload)
        assert [b.state for b in node.agent.bundles()] == ["waiting", "waiting"]
        node.agent.register(vm.vm_id.eid, node.collect, prefix=True)
        assert [d.payload for d in await node.received(2)] == [b"one", b"two"]


async def test_a_vm_that_moved_behind_the_sender(tmp_path: Path, members: Members) -> None:
    """A sent it to B, where the VM was; B sends it back, since that is the only way."""
    a, b = members.me("a"), members.me("b")
    vm = born(a.identity, "vm", Digest.of(b"image"), bytes(16))
    at = {"vm": b.node_id}

    def locate(eid: Eid) -> NodeId | None:
        return at["vm"]

    async with (
        running(a, tmp_path / "a", locate=locate) as node_a,
        running(b, tmp_path / "b", locate=locate) as node_b,
    ):
        connect(node_a, node_b)
        await node_a.agent.send(Eid(f"{vm.vm_id.eid}in"), b"x")
        await until(lambda: len(node_b.store) == 1 and len(node_a.store) == 0)
        at["vm"] = a.node_id
        node_a.agent.register(vm.vm_id.eid, node_a.collect, prefix=True)
        node_b.agent.routes_changed()
        assert [d.payload for d in await node_a.received(1)] == [b"x"]


async def test_a_bundle_that_crosses_itself_is_not_lost(tmp_path: Path, members: Members) -> None:
    """B has it and its acknowledgement was lost, the VM moves behind A: on the next contact each
    sends it to the other, and each has it already."""
    a, b = members.me("a"), members.me("b")
    vm = born(a.identity, "vm", Digest.of(b"image"), bytes(16))
    at_a, at_b = [b.node_id], [b.node_id]
    both = trio.Event()
    flying = 0

    async with (
        running(a, tmp_path / "a", locate=lambda eid: at_a[0]) as node_a,
        running(b, tmp_path / "b", locate=lambda eid: at_b[0]) as node_b,
    ):

        async def unheard(raw: bytes) -> None:
            await node_b.agent.receive(raw, a.node_id)
            raise LinkError("the acknowledgement was lost")

        async def crossing(to: Node, by: Me, raw: bytes) -> None:
            nonlocal flying
            flying += 1
            if flying == 2:
                both.set()
            await both.wait()
            await to.agent.receive(raw, by.node_id)

        contact = node_a.agent.contact_up(b.node_id, unheard)
        await node_a.agent.send(Eid(f"{vm.vm_id.eid}in"), b"x")
        await until(lambda: contact.closed)
        at_b[0] = a.node_id
        node_a.agent.contact_up(b.node_id, partial(crossing, node_b, a))
        node_b.agent.contact_up(a.node_id, partial(crossing, node_a, b))
        with trio.fail_after(PATIENCE_S):
            await both.wait()
            await until(lambda: node_a.agent.counters["duplicate"] > 0)
            await until(lambda: node_b.agent.counters["duplicate"] > 0)
        await wait_all_tasks_blocked()
        assert len(node_a.store) + len(node_b.store) > 0
        node_a.agent.register(vm.vm_id.eid, node_a.collect, prefix=True)
        assert (await node_a.received(1))[0].payload == b"x"


async def test_a_vms_output_carries_its_ownership(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    vm = born(a.identity, "vm", Digest.of(b"image"), bytes(16))
    async with running(a, tmp_path / "a") as node_a, running(b, tmp_path / "b") as node_b:
        node_b.agent.register(b.node_id.service("inbox"), node_b.collect)
        connect(node_a, node_b)
        sent = await node_a.agent.send(
            b.node_id.service("inbox"),
            b"out",
            source=Eid(f"{vm.vm_id.eid}out"),
            stamp=(1, 42),
            ownership=vm.pack(),
        )
        (delivery,) = await node_b.received(1)
        assert delivery.bundle_id == sent
        assert delivery.vm_chain == vm.pack()
        assert delivery.signer == a.node_id
