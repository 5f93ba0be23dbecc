"""Real guests on real nodes: run, move, save, resume, restart; nothing lost, nothing twice."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import trio

from radics_mesh.errors import CapacityError, LinkError, UsageError
from radics_mesh.ids import VmId
from radics_mesh.records import Kind
from radics_mesh.vmm import handoff_source
from radics_mesh.vmm.handoff_messages import Frozen
from radics_mesh.vmm.image_store import ImageStore
from tests.hosting.world import MEMORY_BYTES, Site, World, fnv, step, until

# Lines that last, at 30 a second, longer than any machine needs for what happens meanwhile.
LASTING = 1500


async def run_counter(site: Site, image: Path, report_to: Site, sources: tuple[str, ...]) -> None:
    await site.hosting.run_vm(
        image,
        "counter",
        sources=sources,
        arguments=(str(report_to.id.service("report")),),
        memory_bytes=MEMORY_BYTES,
    )


def publish_lines(path: Path, count: int) -> list[str]:
    lines = [f"line number {n} of the text" for n in range(1, count + 1)]
    path.write_text("".join(line + "\n" for line in lines))
    return lines


async def test_a_guest_runs_counts_and_exits(world: World, counter: Path, tmp_path: Path) -> None:
    site = await world.start(0)
    lines = publish_lines(tmp_path / "text", 12)
    await site.sources.publish("text", tmp_path / "text", None)
    await run_counter(site, counter, site, ("text",))
    vm = site.vm()
    await until(lambda: any(r.startswith("end") for r in site.reports))
    await site.agent.send(vm.vm_id.eid, b"hello", source=site.me.identity.eid)
    await site.agent.send(vm.vm_id.eid, b"stop", source=site.me.identity.eid)
    await until(lambda: site.has(state="exited"))
    assert site.reports == [
        "lines 5 at node0 1",
        "lines 10 at node0 1",
        f"end 12 {fnv(lines)} 0",
        "mail 1 hello",
        "mail 2 stop",
    ]
    assert site.vm().status == 7
    log = b"".join([text async for text in site.hosting.logs("counter", follow=True)])
    assert log.decode().splitlines() == [*(f"line {n} at node0 1" for n in range(1, 13)), "done"]


async def post(site: Site, vm: VmId, count: int, pause_s: float = 0.0) -> None:
    for n in range(count):
        await site.agent.send(vm.eid, b"mail %d" % n)
        await trio.sleep(pause_s)


def check_exactly_once(site: Site, lines: list[str], mails: int) -> None:
    """Every report once, in the order of each kind, and the count is that of one process."""
    assert set(site.deliveries.values()) == {1}
    ends = [r for r in site.reports if r.startswith("end")]
    assert ends == [f"end {len(lines)} {fnv(lines)} 0"]
    counts = [int(r.split()[1]) for r in site.reports if r.startswith("lines")]
    assert sorted(counts) == list(range(5, len(lines) + 1, 5))
    mail = sorted(
        (int(r.split()[1]), r.split(" ", 2)[2]) for r in site.reports if r.startswith("mail")
    )
    assert [number for number, _ in mail] == list(range(1, mails + 2))
    assert sorted(text for _, text in mail) == sorted(
        [*(f"mail {n}" for n in range(mails)), "stop"]
    )


async def test_there_and_back_while_data_and_mail_flow(
    world: World, either_counter: Path, tmp_path: Path
) -> None:
    a, b = await world.start(0), await world.start(1)
    world.connect(0, 1)
    lines = publish_lines(tmp_path / "text", LASTING)
    await b.sources.publish("text", tmp_path / "text", 30.0)
    await run_counter(a, either_counter, b, ("text",))
    vm = a.vm().vm_id
    world.nursery.start_soon(post, b, vm, 150, 0.02)
    await until(lambda: "lines 20 at node0 1" in b.reports)
    stats = await a.hosting.migrate("counter", b.id)
    await until(lambda: b.has())
    assert not a.hosting.vms()
    assert stats.snapshot_bytes
    await until(lambda: any("at node1 2" in r for r in b.reports))
    back = await b.hosting.migrate("counter", a.id)
    assert back.answered_s is not None
    assert back.pause_s is not None
    assert 0 < back.pause_s < back.answered_s
    assert back.sent_bytes < stats.sent_bytes  # the image is there already
    await until(lambda: any("at node0 3" in r for r in b.reports))
    await b.sources.publish("text", tmp_path / "text", None)
    await until(lambda: any(r.startswith("end") for r in b.reports))
    await until(lambda: sum(r.startswith("mail") for r in b.reports) == 150)
    await b.agent.send(vm.eid, b"stop")
    await until(lambda: a.has(state="exited"))
    assert a.vm().status == 7
    check_exactly_once(b, lines, 150)
    assert a.vm().moves == 2


async def finish(site: Site, vm: VmId, host: Site, mails: int) -> None:
    """Let the counter come to its end."""
    await until(lambda: any(r.startswith("end") for r in site.reports))
    await until(lambda: len([r for r in site.reports if r.startswith("mail")]) >= mails)
    await site.agent.send(vm.eid, b"stop")
    await until(lambda: host.has(state="exited"))


async def test_save_and_resume_lose_nothing(
    world: World, either_counter: Path, tmp_path: Path
) -> None:
    a = await world.start(0)
    lines = publish_lines(tmp_path / "text", 200)
    await a.sources.publish("text", tmp_path / "text", 100.0)
    await run_counter(a, either_counter, a, ("text",))
    vm = a.vm().vm_id
    await until(lambda: "lines 20 at node0 1" in a.reports)
    await a.hosting.save("counter")
    assert a.vm().state == "saved"
    assert a.vm().pid is None
    await post(a, vm, 5)
    await world.stop(0)
    a = await world.start(0)
    assert a.vm().state == "saved"
    await a.hosting.resume("counter")
    await finish(a, vm, a, 5)
    assert set(a.deliveries.values()) == {1}
    assert [r for r in a.reports if r.startswith("end")] == [f"end 200 {fnv(lines)} 0"]
    assert a.vm().branch == 0


async def test_a_restarted_node_finds_its_guest_alive(
    world: World, counter: Path, tmp_path: Path
) -> None:
    a, b = await world.start(0), await world.start(1)
    world.connect(0, 1)
    lines = publish_lines(tmp_path / "text", 200)
    await b.sources.publish("text", tmp_path / "text", 100.0)
    await run_counter(a, counter, b, ("text",))
    vm, pid = a.vm().vm_id, a.vm().pid
    await until(lambda: "lines 20 at node0 1" in b.reports)
    await post(b, vm, 5)
    await world.stop(0)
    a = await world.start(0)
    world.connect(0, 1)
    assert a.vm().pid == pid
    await post(b, vm, 0)
    await finish(b, vm, a, 5)
    check_exactly_once(b, lines, 5)
    log = b"".join([text async for text in a.hosting.logs("counter")])
    assert log.decode().splitlines() == [*(f"line {n} at node0 1" for n in range(1, 201)), "done"]


async def test_a_guest_that_power_loss_ended_starts_from_its_last_snapshot(
    world: World, counter: Path, tmp_path: Path
) -> None:
    a = await world.start(0)
    lines = publish_lines(tmp_path / "text", LASTING)
    await a.sources.publish("text", tmp_path / "text", 30.0)
    await run_counter(a, counter, a, ("text",))
    vm = a.vm().vm_id
    await until(lambda: "lines 20 at node0 1" in a.reports)
    await a.hosting.save("counter")
    await a.hosting.resume("counter")
    saved = len(a.reports)
    await until(lambda: len(a.reports) > saved + 2)
    pid = a.vm().pid
    assert pid is not None
    await world.stop(0)
    os.kill(pid, signal.SIGKILL)
    a = await world.start(0)
    assert a.vm().branch == 1
    assert any("an earlier state" in row.text for row in a.hosting.journal())
    await a.sources.publish("text", tmp_path / "text", None)
    await finish(a, vm, a, 0)
    assert [r for r in a.reports if r.startswith("end")] == [f"end {LASTING} {fnv(lines)} 0"]


async def test_a_dead_qemu_is_another_event_than_a_dead_node(world: World, counter: Path) -> None:
    a = await world.start(0)
    await run_counter(a, counter, a, ())
    pid = a.vm().pid
    assert pid is not None
    await until(lambda: a.has())
    os.kill(pid, signal.SIGKILL)
    await until(lambda: a.vm().restarts == 1 and a.has())
    assert a.vm().pid != pid
    await a.hosting.stop("counter")
    assert a.vm().state == "stopped"
    with pytest.raises(UsageError, match="ended"):
        await a.hosting.stop("counter")


async def test_one_way_no_answer_is_needed(world: World, counter: Path) -> None:
    """The target is away when the VM leaves, and can say nothing back when it arrives."""
    a, b = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await run_counter(a, counter, b, ())
    await until(lambda: a.has())
    vm = a.vm().vm_id
    await until(lambda: bool(a.directory.known(Kind.NODE, b.id.text)))
    await world.stop(1)
    stats = await a.hosting.migrate("counter", b.id, one_way=True)
    assert stats.pause_s is not None
    assert a.vm().state == "released"
    assert a.hosting.memory_used_bytes() == 0
    with pytest.raises(UsageError, match="not here any more"):
        await a.hosting.stop("counter")
    world.lost = lambda one, other, raw: one == 1
    b = await world.start(1)
    world.connect(0, 1)
    await until(lambda: b.has())
    assert b.vm().epoch == 2
    assert a.vm().state == "released"
    await post(a, vm, 2)
    await until(lambda: len(b.reports) == 2)
    world.lost = lambda one, other, raw: False
    await until(lambda: not a.hosting.vms())  # the certificate is sent again until then


async def test_a_guest_parked_when_its_node_crashed_goes_on_from_its_memory(
    world: World, counter: Path, tmp_path: Path
) -> None:
    a = await world.start(0)
    lines = publish_lines(tmp_path / "text", 200)
    await a.sources.publish("text", tmp_path / "text", 100.0)
    await run_counter(a, counter, a, ("text",))
    vm = a.vm().vm_id
    await until(lambda: "lines 20 at node0 1" in a.reports)
    life = a.hosting.tenant(vm).life
    assert life.guest is not None
    life.keep(parking=True)
    await life.guest.machine.park()
    await world.stop(0)
    a = await world.start(0)
    await until(lambda: a.has())
    await finish(a, vm, a, 0)
    assert [r for r in a.reports if r.startswith("end")] == [f"end 200 {fnv(lines)} 0"]
    assert a.vm().branch == 0


async def test_a_guest_that_was_about_to_park_when_its_node_crashed_is_not_parked(
    world: World, counter: Path
) -> None:
    a = await world.start(0)
    await run_counter(a, counter, a, ())
    await until(lambda: a.has())
    pid = a.vm().pid
    a.hosting.tenant(a.vm().vm_id).life.keep(parking=True)
    await world.stop(0)
    a = await world.start(0)
    await until(lambda: a.has())
    assert a.vm().pid == pid


async def test_a_target_without_room_says_so_and_the_guest_goes_on(
    world: World, counter: Path
) -> None:
    a = await world.start(0)
    world.memory_bytes = MEMORY_BYTES // 2
    b = await world.start(1)
    world.connect(0, 1)
    await run_counter(a, counter, b, ())
    await until(lambda: a.has())
    pid = a.vm().pid
    with pytest.raises(LinkError, match="MiB for a guest"):
        await a.hosting.migrate("counter", b.id)
    assert a.vm().pid == pid
    assert a.vm().state == "running"
    with pytest.raises(UsageError, match="no VM named nobody here; VMs here: counter"):
        await a.hosting.migrate("nobody", b.id)
    with pytest.raises(UsageError, match="here already"):
        await run_counter(a, counter, b, ())
    with pytest.raises(CapacityError, match="are free on node1"):
        await b.hosting.run_vm(counter, "big", memory_bytes=MEMORY_BYTES)
    assert not b.hosting.vms()


async def test_a_target_that_falls_silent_gets_no_vm(
    world: World, counter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut between reservation and snapshot: the parked guest goes on where it was."""
    monkeypatch.setattr(handoff_source, "FROZEN_S", 0.5)
    a, b = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await run_counter(a, counter, b, ())
    await until(lambda: a.has())
    vm = a.vm().vm_id
    world.lost = lambda one, other, raw: isinstance(step(other, raw), Frozen)
    with pytest.raises(LinkError, match="did not answer in time"):
        await a.hosting.migrate("counter", b.id)
    await until(lambda: a.has())
    await post(b, vm, 3)
    await until(lambda: len(b.reports) == 3)
    assert a.vm().branch == 0
    assert not b.hosting.vms()
    world.lost = lambda one, other, raw: False
    monkeypatch.undo()
    await a.hosting.migrate("counter", b.id)
    await until(lambda: b.has())


async def move_if_here(site: Site, target: Site) -> None:
    with suppress(UsageError, LinkError):
        await site.hosting.migrate("counter", target.id)


@pytest.mark.parametrize("seed", [1])  # `make faults` takes many more, of worse things
async def test_moves_while_messages_are_lost_and_nodes_crash(
    world: World, counter: Path, tmp_path: Path, seed: int
) -> None:
    random = Random(seed)
    # A bundle that is lost here counts as taken by the receiver: only the hand-off stands that.
    world.lost = lambda one, other, raw: step(other, raw) is not None and random.random() < 0.1
    hub = await world.start(2)
    for number in (0, 1):
        await world.start(number)
        world.connect(number, 2)
        ImageStore(tmp_path / f"node{number}" / "images").put(counter.read_bytes())
    world.connect(0, 1)
    lines = publish_lines(tmp_path / "text", LASTING)
    await hub.sources.publish("text", tmp_path / "text", 40.0)
    await run_counter(world.sites[0], counter, hub, ("text",))
    vm = world.sites[0].vm().vm_id
    world.nursery.start_soon(post, hub, vm, 100, 0.05)
    for _ in range(8):
        for number in (0, 1):
            site, other = world.sites[number], world.sites[1 - number]
            world.nursery.start_soon(move_if_here, site, other)
        await trio.sleep(random.random() * 0.5)
        victim = random.randrange(2)
        await world.stop(victim)
        await world.start(victim)
        world.connect(0, 1)
        world.connect(victim, 2)
    await hub.sources.publish("text", tmp_path / "text", None)
    await until(lambda: any(r.startswith("end") for r in hub.reports))
    await until(lambda: sum(r.startswith("mail") for r in hub.reports) == 100)
    await hub.agent.send(vm.eid, b"stop")
    await until(lambda: any(site.has(state="exited") for site in world.sites.values()))
    check_exactly_once(hub, lines, 100)
