"""Real guests set back to a checkpoint: what they took comes again, what they said came once."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import trio

from radics_mesh.errors import MeshError
from radics_mesh.hosting import vm_checkpoints, vm_mail, vm_restarts, vm_tenancy
from radics_mesh.hosting.commit import Commit
from radics_mesh.ids import Eid, NodeId, VmId
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


class Trouble:
    """Nodes 0 and 2 host a VM in turns, 1 tells it things and watches; what may happen to them."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = Random(seed)

    async def start(self) -> None:
        for number in range(3):
            await self.world.start(number)
        for one, other in ((0, 1), (1, 2), (0, 2)):
            self.world.connect(one, other)

    def holder(self) -> int | None:
        """Where it runs; None while it is on its way."""
        return next((n for n in (0, 2) if self.world.sites[n].has("it")), None)

    async def strike(self) -> str:
        """One thing happens; what."""
        names = ("power_loss", "node_ends", "qemu_ends", "checkpoint", "move")
        name = self.random.choice(names)
        await until(lambda: self.holder() is not None)
        number = self.holder()
        assert number is not None
        pid = self.world.sites[number].vm("it").pid
        with suppress(MeshError):  # it moves or is just starting
            if name == "checkpoint":
                await self.world.sites[number].hosting.checkpoint("it")
            elif name == "move":
                target = self.world.sites[2 - number].id
                self.world.nursery.start_soon(self._move, number, target)
            if name in ("power_loss", "node_ends"):
                await self.world.stop(number)
            if name in ("power_loss", "qemu_ends") and pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if number not in self.world.sites:
                await self.world.start(number)
                for other in {0, 1, 2} - {number}:
                    self.world.connect(number, other)
        return f"{name} on {number}"

    async def _move(self, number: int, target: NodeId) -> None:
        with suppress(MeshError):
            await self.world.sites[number].hosting.migrate("it", target)


# `make rollbacks RUNS=50 SEED=1` takes more.
FIRST = int(os.environ.get("ROLLBACKS_SEED", "1"))
RUNS = int(os.environ.get("ROLLBACKS_RUNS", "1"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + RUNS))
async def test_each_output_is_seen_once_whatever_happens(
    world: World, teller: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(vm_tenancy, "RETRY_S", (0.1,) * 9)
    monkeypatch.setattr(vm_restarts, "RETRY_S", (0.1,) * 9)
    trouble, lines = Trouble(world, seed), publish_lines(tmp_path / "text", 3000)
    await trouble.start()
    here, observer = world.sites[0], world.sites[1]
    await observer.sources.publish("text", tmp_path / "text", 200.0)
    to = str(observer.id.service("report"))
    commit = Commit.of(trouble.random.choice([0, 0.2, 0.5]), output=True)
    eid = await run(here, teller, "it", to, "10", "text", commit=commit)
    mails: list[str] = []
    for _ in range(5):
        for _ in range(trouble.random.randrange(1, 12)):
            mails.append(f"m{len(mails)}")
            await say(observer, eid, mails[-1])
            await trio.sleep(trouble.random.uniform(0, 0.05))
        print(await trouble.strike())
    await say(observer, eid, "stop")
    await until(lambda: any(r.endswith(": stop") for r in observer.reports))
    assert set(observer.deliveries.values()) == {1}
    numbers = [int(report.split()[1]) for report in told(observer, "tick")]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    got = sorted(told(observer, "line"), key=lambda text: int(text.split()[1][:-1]))
    assert got == [f"line {n}: {line}" for n, line in enumerate(lines[: len(got)], 1)]
    letters = [report.split(": ")[1] for report in told(observer, "mail")]
    assert sorted(letters) == sorted([*mails, "stop"])
    hosts = (world.sites[0], world.sites[2])
    assert {vm.branch for site in hosts for vm in site.hosting.vms()} == {0}


async def test_what_waits_for_a_checkpoint_moves_along(world: World, teller: Path) -> None:
    commit = Commit.of(3600, output=True)
    here, observer, vm = await observed(world, teller, "0", commit=commit)
    await say(observer, vm.eid, "a")
    await until(lambda: here.hosting._table.held_bytes(vm) > 0)
    await here.hosting.migrate("it", observer.id)
    await until(lambda: observer.reports == ["mail 1: a"])
    assert observer.vm("it").commit == commit
    await until(lambda: observer.hosting._table.mailbox(vm).outbound == ())  # said, then noted
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


async def test_kept_mail_asks_for_a_checkpoint_and_then_makes_room(
    world: World, teller: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vm_checkpoints, "KEPT_MAX_BYTES", 2_000)
    monkeypatch.setattr(vm_mail, "KEPT_LAST_BYTES", 3_000)
    here, observer, vm = await observed(world, teller, "0", commit=Commit())
    await say(observer, vm.eid, *(f"m{n}" for n in range(20)))
    await until(lambda: len(observer.reports) == 20)
    await until(lambda: here.hosting._table.kept_bytes(vm) <= 3_000)
    await until(lambda: here.vm("it").last_checkpoint is not None)
    assert set(observer.deliveries.values()) == {1}


async def test_a_guest_that_goes_on_when_its_node_ends_is_not_taken_for_parked(
    world: World, teller: Path
) -> None:
    """The node ended when its guest went on and its row did not say so yet."""
    here, observer, vm = await observed(world, teller, "0", commit=Commit())
    await until(lambda: here.has("it"))
    await here.hosting.save("it")
    await here.hosting.resume("it")
    await until(lambda: here.has("it"))
    await here.hosting.checkpoint("it")
    pid = here.vm("it").pid
    here.hosting.tenant(vm).life.keep(parking=True)
    await world.stop(0)
    here = await world.start(0)
    world.connect(0, 1)
    await say(observer, vm.eid, "a")
    await until(lambda: observer.reports == ["mail 1: a"])
    assert here.vm("it").pid == pid
    assert here.vm("it").branch == 0


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
    await until(lambda: getattr(a.vm().last_checkpoint, "count", 0) >= 3)
    await finish(b, vm, a, 30)
    check_exactly_once(b, lines, 30)
    assert (a.vm().branch, a.vm().restarts) == (0, 0)
    assert not [row for row in a.hosting.journal() if "checkpoint" in row.text]
    assert not [row for row in a.hosting.journal() if "goes on" in row.text]
