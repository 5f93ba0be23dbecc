"""Real guests set back to a checkpoint: what they took comes again, what they said came once."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from random import Random

import pytest
import trio

from radics_mesh.hosting.commit import Commit
from radics_mesh.ids import Eid, VmId
from tests.hosting.test_api import run
from tests.hosting.test_service import check_exactly_once, finish, post, publish_lines, run_counter
from tests.hosting.world import Site, World, until


async def observed(
    world: World, teller: Path, *words: str, commit: Commit
) -> tuple[Site, Site, VmId]:
    """A node with a teller, and one that it tells."""
    here, observer = await world.start(0), await world.start(1)
    world.connect(0, 1)
    to = str(observer.id.service("report"))
    await run(here, teller, "it", to, *words, commit=commit)
    return here, observer, here.vm("it").vm_id


async def power_loss(world: World) -> Site:
    """Node 0 and its QEMU are gone at one stroke, and come back with what is on disk."""
    pid = world.sites[0].vm("it").pid
    await world.stop(0)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    here = await world.start(0)
    world.connect(0, 1)
    return here


async def say(site: Site, vm: Eid, *texts: str) -> None:
    for text in texts:
        await site.agent.send(vm, text.encode())


def told(site: Site, kind: str) -> list[str]:
    return [report for report in site.reports if report.startswith(kind)]


async def test_mail_taken_since_the_checkpoint_comes_again(world: World, teller: Path) -> None:
    here, observer, vm = await observed(world, teller, "0", commit=Commit())
    await say(observer, vm.eid, "a", "b")
    await until(lambda: len(observer.reports) == 2)
    await here.hosting.checkpoint("it")
    await say(observer, vm.eid, "c", "d")
    await until(lambda: len(observer.reports) == 4)
    here = await power_loss(world)
    await until(lambda: len(observer.reports) == 6)
    await say(observer, vm.eid, "e")
    await until(lambda: len(observer.reports) == 7)
    again = ["mail 3: c", "mail 4: d"]
    assert observer.reports == ["mail 1: a", "mail 2: b", *again, *again, "mail 5: e"]
    assert here.vm("it").branch == 1
    assert "branch 1: what it sends may come twice" in here.vm("it").note


async def test_without_a_checkpoint_all_mail_comes_again(world: World, teller: Path) -> None:
    here, observer, vm = await observed(world, teller, "0", commit=Commit())
    await say(observer, vm.eid, "a", "b")
    await until(lambda: len(observer.reports) == 2)
    here = await power_loss(world)
    await until(lambda: len(observer.reports) == 4)
    assert observer.reports == ["mail 1: a", "mail 2: b"] * 2
    assert here.vm("it").branch == 1


async def test_what_is_not_covered_is_not_sent(world: World, teller: Path) -> None:
    commit = Commit.of(3600, output=True)
    here, observer, vm = await observed(world, teller, "0", commit=commit)
    await say(observer, vm.eid, "a")
    await until(lambda: here.hosting._table.held_bytes(vm) > 0)
    here = await power_loss(world)
    await until(lambda: here.hosting._table.held_bytes(vm) > 0)
    await here.agent._store.flushed()
    assert observer.reports == []
    await here.hosting.checkpoint("it")
    await until(lambda: observer.reports == ["mail 1: a"])
    await say(observer, vm.eid, "stop")
    await until(lambda: here.has("it", "exited"))
    await until(lambda: observer.reports == ["mail 1: a", "mail 2: stop"])


@pytest.mark.parametrize("seed", [1])
async def test_each_output_is_seen_once_whatever_is_lost(
    world: World, teller: Path, tmp_path: Path, seed: int
) -> None:
    random = Random(seed)
    lines = publish_lines(tmp_path / "text", 3000)
    here, observer = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await observer.sources.publish("text", tmp_path / "text", 200.0)
    to = str(observer.id.service("report"))
    eid = await run(here, teller, "it", to, "3", "text", commit=Commit.of(0.2, output=True))
    mails: list[str] = []
    for _ in range(4):
        goal = len(observer.reports) + random.randrange(1, 60)
        while len(observer.reports) < goal:
            mails.append(f"m{len(mails)}")
            await say(observer, eid, mails[-1])
            await trio.sleep(random.uniform(0, 0.05))
        here = await power_loss(world)
    await say(observer, eid, "stop")
    await until(lambda: here.has("it", "exited"))
    await until(lambda: any(r.endswith(": stop") for r in observer.reports))
    assert set(observer.deliveries.values()) == {1}
    numbers = [int(report.split()[1]) for report in told(observer, "tick")]
    assert numbers == list(range(1, len(numbers) + 1))
    got = told(observer, "line")
    assert got == [f"line {n}: {line}" for n, line in enumerate(lines[: len(got)], 1)]
    letters = [report.split(": ")[1] for report in told(observer, "mail")]
    assert sorted(letters) == sorted([*mails, "stop"])
    assert here.vm("it").branch == 0


async def test_what_waits_for_a_checkpoint_moves_along(world: World, teller: Path) -> None:
    commit = Commit.of(3600, output=True)
    here, observer, vm = await observed(world, teller, "0", commit=commit)
    await say(observer, vm.eid, "a")
    await until(lambda: here.hosting._table.held_bytes(vm) > 0)
    await here.hosting.migrate("it", observer.id)
    await until(lambda: observer.reports == ["mail 1: a"])
    assert observer.vm("it").commit == commit
    assert observer.hosting._table.mailbox(vm).outbound == ()
    await say(observer, vm.eid, "b")
    await until(lambda: observer.hosting._table.held_bytes(vm) > 0)
    await observer.hosting.checkpoint("it")
    await until(lambda: observer.reports == ["mail 1: a", "mail 2: b"])


async def test_there_and_back_a_bundle_that_comes_again_is_known(
    world: World, teller: Path
) -> None:
    """By its mailbox, on whatever node; the node's bundle store forgets what was a VM's."""
    here, observer, vm = await observed(world, teller, "0", commit=Commit())
    seen: list[bytes] = []

    def lost(one: int, other: int, raw: bytes) -> bool:
        if one == 1 and b"come again" in raw:
            seen.append(raw)
        return False

    world.lost = lost
    await say(observer, vm.eid, "come again")
    await until(lambda: len(observer.reports) == 1)
    [raw] = seen
    await here.agent.receive(raw, observer.id)
    await here.hosting.migrate("it", observer.id)
    await until(lambda: observer.has("it"))
    await here.agent.receive(raw, observer.id)  # forwarded to where it is now
    await observer.hosting.migrate("it", here.id)
    await until(lambda: here.has("it"))
    await here.agent.receive(raw, observer.id)
    await say(observer, vm.eid, "news")
    await until(lambda: len(observer.reports) == 2)
    assert observer.reports == ["mail 1: come again", "mail 2: news"]
    assert here.agent.counters["duplicate"] == 0


async def test_a_guest_goes_on_in_its_qemu_and_notices_nothing(
    world: World, either_counter: Path, tmp_path: Path
) -> None:
    a, b = await world.start(0), await world.start(1)
    world.connect(0, 1)
    lines = publish_lines(tmp_path / "text", 200)
    await b.sources.publish("text", tmp_path / "text", 100.0)
    await run_counter(a, either_counter, b, ("text",))
    await until(lambda: a.has())
    vm = a.vm().vm_id
    world.nursery.start_soon(post, b, vm, 30, 0.02)
    await a.hosting.checkpoint("counter", every_s=0.1)
    await finish(b, vm, a, 30)
    last = a.vm().last_checkpoint
    assert last is not None
    assert last.count >= 3
    check_exactly_once(b, lines, 30)
    assert (a.vm().branch, a.vm().restarts) == (0, 0)
    assert not [row for row in a.hosting.journal() if "checkpoint" in row.text]
    assert not [row for row in a.hosting.journal() if "goes on" in row.text]
