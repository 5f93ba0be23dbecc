"""Real guests in trouble: they do not park, the disk is full, nodes end at bad moments."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import trio

from radics_mesh.errors import CapacityError, GuestError, LinkError, UsageError
from radics_mesh.hosting import life as lives
from radics_mesh.hosting import snapshots, vm_task, vm_view
from radics_mesh.vmm import handoff_source, lock, stored
from radics_mesh.vmm.handoff_messages import Frozen
from tests.hosting.test_service import finish, post, publish_lines, run_counter
from tests.hosting.world import Site, World, fnv, step, until


async def counting(world: World, counter: Path, path: Path, rate: float = 100.0) -> Site:
    """A node whose guest counts 200 lines, and has begun."""
    site = await world.start(0)
    publish_lines(path, 200)
    await site.sources.publish("text", path, rate)
    await run_counter(site, counter, site, ("text",))
    await until(lambda: "lines 20 at node0 1" in site.reports)
    return site


def check_one_count(site: Site) -> None:
    lines = [f"line number {n} of the text" for n in range(1, 201)]
    assert [r for r in site.reports if r.startswith("end")] == [f"end 200 {fnv(lines)} 0"]
    assert set(site.deliveries.values()) == {1}


async def test_a_guest_that_does_not_park_goes_on(
    world: World, counter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And when it parks after all, long after that was given up, it goes on from there."""
    monkeypatch.setattr(lives, "PARK_S", 0.3)
    a = await counting(world, counter, tmp_path / "text")
    b = await world.start(1)
    world.connect(0, 1)
    vm, pid = a.vm().vm_id, a.vm().pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(LinkError, match="did not park in time"):
        await a.hosting.migrate("counter", b.id)
    with pytest.raises(GuestError, match="did not park in time"):
        await a.hosting.save("counter")
    assert a.vm().pid == pid
    assert a.vm().state == "running"
    os.kill(pid, signal.SIGCONT)
    await until(lambda: a.vm().pid not in (pid, None))
    await finish(a, vm, a, 0)
    check_one_count(a)
    assert a.vm().branch == 0


async def test_a_snapshot_that_cannot_be_written_costs_no_state(
    world: World, counter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await counting(world, counter, tmp_path / "text")
    vm, pid = a.vm().vm_id, a.vm().pid

    def full(path: Path, content: bytes, *, mode: int = 0o644) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(stored, "write_durably", full)
        with pytest.raises(GuestError, match=r"was not saved: .*No space left"):
            await a.hosting.save("counter")
    assert a.vm().pid not in (pid, None)
    await finish(a, vm, a, 0)
    check_one_count(a)
    assert a.vm().branch == 0


async def test_no_room_for_a_snapshot_is_found_out_before_the_guest_is_parked(
    world: World, counter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await counting(world, counter, tmp_path / "text")
    pid, sizes = a.vm().pid, list(os.statvfs(tmp_path))
    sizes[4] = 1  # f_bavail
    with monkeypatch.context() as patched:
        patched.setattr(os, "statvfs", lambda path: os.statvfs_result(sizes))
        with pytest.raises(CapacityError, match="MiB may be needed for its snapshot"):
            await a.hosting.save("counter")
    assert (a.vm().pid, a.vm().state) == (pid, "running")


async def test_on_a_full_disk_a_guest_waits_and_loses_nothing(
    world: World, counter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vm_task, "FULL_WAIT_S", 0.02)
    a = await counting(world, counter, tmp_path / "text", 200.0)
    vm = a.vm().vm_id
    database = a.hosting._table._db
    [(pages,)] = database.execute("PRAGMA page_count").fetchall()
    database.execute(f"PRAGMA max_page_count={pages}")
    for _ in range(2):  # the mailbox needs pages
        await post(a, vm, 8)
    await a.agent.send(vm.eid, bytes(20_000))
    with trio.move_on_after(0.3):
        await until(lambda: any(r.startswith("end") for r in a.reports))
    database.execute("PRAGMA max_page_count=1000000")
    await until(lambda: sum(r.startswith("mail") for r in a.reports) == 17)
    await finish(a, vm, a, 0)
    check_one_count(a)


async def test_a_parked_guest_survives_that_its_node_ends_again_and_again(
    world: World, counter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between finding it parked and having its snapshot."""
    a = await counting(world, counter, tmp_path / "text")
    vm = a.vm().vm_id
    life = a.hosting.tenant(vm).life
    assert life.guest is not None
    life.keep(parking=True)
    await life.guest.machine.park()
    await world.stop(0)
    reached = trio.Event()

    async def never(self: snapshots.Snapshots, snapshot: object) -> None:
        reached.set()
        await trio.sleep_forever()

    with monkeypatch.context() as patched:
        patched.setattr(snapshots.Snapshots, "store", never)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.run, 0, a.me)
            await reached.wait()
            nursery.cancel_scope.cancel()
    a = await world.start(0)
    await until(lambda: a.has())
    await finish(a, vm, a, 0)
    check_one_count(a)
    assert a.vm().branch == 0


async def test_no_qemu_stands_by_for_ever(
    world: World, counter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target crashes with a QEMU on standby, and the source gives the move up."""
    monkeypatch.setattr(handoff_source, "FROZEN_S", 0.3)
    a, b = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await run_counter(a, counter, b, ())
    await until(lambda: a.has())
    world.lost = lambda one, other, raw: isinstance(step(other, raw), Frozen)
    with pytest.raises(LinkError, match="in time"):
        await a.hosting.migrate("counter", b.id)
    [path] = tmp_path.glob("node1/hosting/vms/*/lock")
    world.cut(0, 1)
    assert not lock.is_free(path)
    await world.stop(1)
    assert not lock.is_free(path)
    await world.start(1)
    assert not path.parent.exists()
    assert a.has()


async def test_a_saved_vm_moves_as_it_is(world: World, counter: Path, tmp_path: Path) -> None:
    a, b = await counting(world, counter, tmp_path / "text"), await world.start(1)
    world.connect(0, 1)
    vm = a.vm().vm_id
    await a.hosting.save("counter")
    await a.hosting.migrate("counter", b.id)
    await until(lambda: b.has(state="saved"))
    assert b.vm().pid is None
    assert not a.hosting.vms()
    await world.stop(1)
    b = await world.start(1)
    world.connect(0, 1)
    assert b.vm().state == "saved"
    await b.hosting.resume("counter")
    await finish(a, vm, b, 0)
    check_one_count(a)
    assert (b.vm().epoch, b.vm().moves, b.vm().branch) == (2, 1, 0)


async def test_a_saved_vm_that_is_not_taken_stays_saved(
    world: World, counter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handoff_source, "FROZEN_S", 0.5)
    a, b = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await run_counter(a, counter, b, ())
    await until(lambda: a.has())
    await a.hosting.save("counter")
    world.lost = lambda one, other, raw: isinstance(step(other, raw), Frozen)
    async with trio.open_nursery() as nursery:

        async def move() -> None:
            with pytest.raises(LinkError, match="in time"):
                await a.hosting.migrate("counter", b.id)

        nursery.start_soon(move)
        await until(lambda: a.has(state="moving"))
        with pytest.raises(UsageError, match="not saved: it is moving"):
            await a.hosting.resume("counter")
    assert a.vm().state == "saved"
    assert a.vm().pid is None
    world.lost = lambda one, other, raw: False
    await a.hosting.resume("counter")
    await until(lambda: a.has())


async def test_a_guest_that_does_not_answer_is_told(
    world: World, counter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vm_view, "SILENT_S", 0.3)
    a = await counting(world, counter, tmp_path / "text", 1000.0)
    pid = a.vm().pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    await post(a, a.vm().vm_id, 1)
    await until(lambda: "has not answered for" in a.vm().note)
    os.kill(pid, signal.SIGCONT)
    await until(lambda: not a.vm().note)
    await finish(a, a.vm().vm_id, a, 1)
    check_one_count(a)


async def test_an_exit_counts_although_a_job_that_began_before_writes_the_row(
    world: World, counter: Path
) -> None:
    a = await world.start(0)
    await run_counter(a, counter, a, ())
    await until(lambda: a.has())
    vm = a.hosting.tenant(a.vm().vm_id)

    async def job() -> None:
        await a.agent.send(vm.vm_id.eid, b"stop")
        guest = vm.life.guest
        assert guest is not None
        await guest.finished.wait()
        vm.life.keep(parking=True)

    await vm.call(job)
    await until(lambda: a.vm().state in ("exited", "failed"))
    assert (a.vm().state, a.vm().status) == ("exited", 7)


async def test_who_could_not_start_goes_on_exactly_when_it_can(
    world: World, counter: Path, tmp_path: Path
) -> None:
    """Its guest was never heard, so what it says bears the names that it would have had."""
    a = await counting(world, counter, tmp_path / "text")
    vm = a.vm().vm_id
    await a.hosting.save("counter")
    aside = world.ram.rename(world.ram.with_suffix(".aside"))
    world.ram.write_text("no directory")
    await a.hosting.resume("counter")
    await until(lambda: "counter cannot start" in "".join(r.text for r in a.hosting.journal()))
    world.ram.unlink()
    aside.rename(world.ram)
    await until(lambda: a.has())
    await finish(a, vm, a, 0)
    check_one_count(a)
    assert a.vm().branch == 0
