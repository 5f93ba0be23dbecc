"""Schedulers on real agents and directories: a VM is pulled to its source, once, and says why.

The VMs here are their subscriptions alone (tests/e2e has real ones): `Host` gives a feed's numbers
as hosting does, and a move is a new feed at the next epoch on the other node.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from radics_mesh.errors import CapacityError
from radics_mesh.hosting.status import FeedStatus, MoveStats, VmStatus
from radics_mesh.ids import Digest, NodeId
from radics_mesh.records import Kind
from radics_mesh.scheduler.decide import Settings
from radics_mesh.scheduler.invite import Invite
from radics_mesh.scheduler.service import Scheduler
from radics_mesh.sources.feed import Feed
from tests.dtn.world import until
from tests.members import member
from tests.sources.world import Site, Vm, World

LINES = [b"a line of some text, number %d" % n for n in range(20_000)]


@dataclass
class Host:
    """A node's VMs, each no more than a feed."""

    number: int
    site: Site
    hosts: dict[int, Host]
    nursery: trio.Nursery
    refuses: bool = False
    hint: str = ""
    idle: bool = False  # nobody sees what its VMs take
    got: list[bytes] = field(default_factory=list)
    running: dict[str, tuple[Vm, Feed, trio.CancelScope]] = field(default_factory=dict)
    came_from: NodeId | None = None

    def start(self, vm: Vm, got: list[bytes]) -> None:
        self.got = got
        scope = trio.CancelScope()
        feed = vm.attach(self.site, "text", len(got))
        self.running["vm"] = (vm, feed, scope)
        self.nursery.start_soon(self._read, feed, scope)

    async def _read(self, feed: Feed, scope: trio.CancelScope) -> None:
        with scope:
            while True:
                batch = await feed.receive(4000)
                self.got += batch.messages
                await feed.acknowledge(batch.first + len(batch.messages) - 1)

    def vms(self) -> list[VmStatus]:
        return [
            VmStatus(
                name=name,
                vm_id=vm.id,
                state="running",
                epoch=vm.ownership.epoch,
                image=Digest.of(b"image"),
                memory_bytes=32 << 20,
                image_bytes=1 << 20,
                last_snapshot_bytes=0,
                sources=("text",),
                feeds=()
                if self.idle
                else (FeedStatus("text", feed.publisher, feed.local, feed.bytes_received),),
                pinned=False,
                moving=False,
                moves=0,
                restarts=0,
                branch=0,
                started_at=None,
                moved_at=None,
                hint=self.hint,
                last_move=MoveStats(self.came_from, False, 2) if self.came_from else None,
            )
            for name, (vm, feed, _) in self.running.items()
        ]

    async def migrate(self, name: str, target: NodeId) -> MoveStats:
        if self.refuses:
            raise CapacityError("no room")
        vm, feed, scope = self.running.pop(name)
        scope.cancel()
        await feed.aclose()
        there = next(host for host in self.hosts.values() if host.site.id == target)
        vm.move(there.number)
        there.came_from = self.site.id
        there.start(vm, self.got)
        return MoveStats(target, True, vm.ownership.epoch, answered_s=0.1)

    def body(self) -> Mapping[str, object]:
        peers = [host.site.id.text for host in self.hosts.values() if host is not self]
        return {
            "name": f"node{self.number}",
            "arch": "x86_64",
            "cores": 4,
            "memory_free": 1 << 30,
            "load": 0.2,
            "vms": len(self.running),
            "neighbours": [[peer, 2] for peer in peers],
        }


@dataclass
class Mesh:
    hosts: dict[int, Host]
    schedulers: dict[int, Scheduler]


@pytest.fixture
async def mesh(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[Mesh]:
    """Nodes 0 and 1; node 1 publishes."""
    world = World(nursery, tmp_path)
    mesh = Mesh({}, {})
    for number in (0, 1):
        site = await world.start(number)
        mesh.hosts[number] = Host(number, site, mesh.hosts, nursery)
    world.connect(0, 1)
    for number, host in mesh.hosts.items():
        site = host.site
        await site.directory.announce(Kind.NODE, site.id.text, host.body())
        mesh.schedulers[number] = Scheduler(
            me=site.id,
            agent=site.node.agent,
            directory=site.directory,
            sources=site.sources,
            hosting=host,
            describe=host.body,
            settings=Settings(hysteresis=0.15, horizon_s=60.0, observe_s=0.5, dwell_s=1.0),
            overload=0.85,
            clock=site.node.me.clock,
        )
        await nursery.start(mesh.schedulers[number].run)
    file = tmp_path / "text"
    file.write_bytes(b"\n".join(LINES))
    await mesh.hosts[1].site.sources.publish("text", file, 500.0)
    yield mesh
    nursery.cancel_scope.cancel()


async def test_a_vm_is_pulled_to_its_source_and_both_sides_can_say_why(mesh: Mesh) -> None:
    here, there = mesh.hosts[0], mesh.hosts[1]
    here.start(Vm(), [])
    await until(lambda: "vm" in there.running)
    before = len(there.got)
    assert before > 100
    await until(lambda: len(there.got) > before + 100)
    assert there.got == LINES[: len(there.got)]
    assert there.running["vm"][1].local
    left = mesh.schedulers[0].decision("vm")
    assert left is not None
    assert left.vm_facts.since_move_s >= 1.0
    why = "\n".join(mesh.schedulers[0].explain("vm"))
    assert "vm moves to node1" in why
    assert "vm is not here any more" in why
    assert "traffic" in why
    # The publisher's node had invited it, and there it stays.
    assert mesh.schedulers[1].counters["invited"] > 0
    assert mesh.schedulers[0].counters["invitations"] > 0
    assert mesh.schedulers[0].counters["moves"] == 1
    await until(lambda: mesh.schedulers[1].decision("vm") is not None)
    decision = mesh.schedulers[1].decision("vm")
    assert decision is not None
    assert decision.target is None
    assert decision.candidates[0].against == "the VM came from there"
    await until(lambda: mesh.schedulers[1].rate(decision.vm_facts.vm_id) > 0)


@pytest.mark.parametrize("hint", ["on node1", "near text"])
async def test_a_vm_without_sources_goes_where_its_program_asks_to_be(
    mesh: Mesh, hint: str
) -> None:
    here, there = mesh.hosts[0], mesh.hosts[1]
    here.hint, here.idle = hint, True
    here.start(Vm(), [])
    await until(lambda: "vm" in there.running)
    assert f"its program asks for: {hint}" in mesh.schedulers[0].explain("vm")


async def test_a_refused_move_is_not_tried_again_at_once(mesh: Mesh) -> None:
    here = mesh.hosts[0]
    here.refuses = True
    here.start(Vm(), [])
    await until(lambda: mesh.schedulers[0].counters["moves failed"] == 1)
    decided = mesh.schedulers[0].decision("vm")
    await until(lambda: mesh.schedulers[0].decision("vm") is not decided)
    why = mesh.schedulers[0].explain("vm")
    assert any("refused it lately" in line for line in why)
    assert any("its last move from here" in line and "failed" in line for line in why)
    assert not any("the last time it was moved" in line or "not here" in line for line in why)
    assert "vm" in here.running


async def test_an_invitation_for_a_vm_that_is_not_here_or_not_fed_changes_nothing(
    mesh: Mesh,
) -> None:
    sender, receiver = mesh.hosts[1], mesh.hosts[0]
    vm = Vm()
    for invite in (Invite(vm.id, "text", sender.body()), Invite(vm.id, "text", {})):
        await sender.site.node.agent.send(receiver.site.id.service("scheduler"), invite.encode())
    agent = receiver.site.node.agent
    await until(lambda: agent.counters["delivered"] + agent.counters["dropped"] >= 1)
    await until(lambda: mesh.schedulers[0].counters["invitations late"] == 1)
    assert mesh.schedulers[0].explain("vm") == ["nothing was decided about vm on this node"]
    assert member(0)[0].node_id == receiver.site.id
