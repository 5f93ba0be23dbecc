"""A node whose disk was put back from an old copy, with real guests: found out at first contact."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
import trio

from radics_mesh.errors import LinkError
from radics_mesh.hosting.custody import Sort
from radics_mesh.hosting.policy import Policy
from radics_mesh.vmm import lock
from tests.dht.world import at
from tests.hosting.test_branches import kept_at, post, run_kept
from tests.hosting.world import Site, World, until

AT_MOST_ONE = Policy()


async def power_off(world: World, number: int) -> None:
    """The node, its directory and its guests are gone; its disk is not."""
    await world.stop(number)
    await world.members.kill(number)
    for path in (world.path / f"node{number}").glob("hosting/*/*/lock"):
        found = lock.holder(path)
        if found is not None:
            signal.pidfd_send_signal(found[1], signal.SIGKILL)
            await trio.lowlevel.wait_readable(found[1])
            os.close(found[1])


def copy_disk(world: World, number: int, to: str) -> None:
    def unfit(where: str, names: list[str]) -> list[str]:
        paths = [Path(where) / name for name in names]
        return [path.name for path in paths if not (path.is_dir() or path.is_file())]

    for folder in (f"node{number}", f"state{number}"):
        shutil.copytree(world.path / folder, world.path / to / folder, ignore=unfit)


def put_back(world: World, number: int, copy: str) -> None:
    for folder in (f"node{number}", f"state{number}"):
        shutil.rmtree(world.path / folder)
        (world.path / copy / folder).rename(world.path / folder)


def said(site: Site, words: str) -> bool:
    return any(words in row.text for row in site.hosting.journal())


async def test_an_old_copy_of_a_disk_stops_what_others_hold_by_now(
    world: World, counter: Path
) -> None:
    one, two = await world.start(0), await world.start(1)
    world.connect(0, 1)
    vm = await run_kept(one, counter, two, AT_MOST_ONE)
    await until(lambda: one.has())
    await one.hosting.checkpoint("counter")
    await power_off(world, 0)
    copy_disk(world, 0, "copy")

    one = await world.start(0)
    world.connect(0, 1)
    await until(lambda: one.has())
    await until(lambda: two.hosting.witness.seen(one.id) == one.hosting.witness.boot)
    await one.hosting.migrate("counter", two.id)
    await until(lambda: two.has())
    await power_off(world, 0)
    put_back(world, 0, "copy")

    world.members.network.partition([at(0)], [at(1)])
    one = await world.start(0)
    await until(lambda: one.has())  # alone, it cannot know
    world.members.network.heal()
    world.connect(0, 1)
    await until(lambda: said(one, "was set back to an older state of its disk"))
    await until(lambda: said(one, "stops here at epoch 1"))
    [state] = one.hosting.custody.states(vm)
    assert state.sort is Sort.DIVERGENT
    assert two.has()
    assert two.vm().epoch == 2
    found = await one.hosting.recovery.diagnose("counter")
    assert (found.holder, found.epoch) == (two.id.short, 2)
    assert [one.sort for one in found.states] == ["divergent"]
    assert any("recover counter --force" in way for way in found.ways)
    await post(one, vm, "stop")
    await until(lambda: "mail 1 stop" in two.reports)


async def test_a_vm_that_nobody_else_has_goes_on_as_a_new_branch(
    world: World, counter: Path
) -> None:
    one, two = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await run_kept(one, counter, two, AT_MOST_ONE)
    await until(lambda: one.has())
    await power_off(world, 0)
    copy_disk(world, 0, "copy")
    one = await world.start(0)
    world.connect(0, 1)
    await until(lambda: one.has())
    boot = one.hosting.witness.boot
    assert boot.number == 2
    await until(lambda: two.hosting.witness.seen(one.id) == boot)
    branch = one.vm().branch
    await power_off(world, 0)
    put_back(world, 0, "copy")
    one = await world.start(0)
    world.connect(0, 1)
    await until(lambda: said(one, "was set back to an older state of its disk"))
    await until(lambda: one.has() and one.vm().branch == branch + 1)
    assert one.hosting.witness.boot.number > boot.number
    await until(lambda: said(two, "was set back to an older state of its disk"))


async def test_with_require_witness_nothing_starts_before_a_peer_confirms(
    world: World, counter: Path
) -> None:
    world.require_witness.add(0)
    one, two = await world.start(0), await world.start(1)
    with pytest.raises(LinkError, match="confirmed"):
        await run_kept(one, counter, two, AT_MOST_ONE)
    world.connect(0, 1)
    await until(lambda: said(one, "confirms this start"))
    policy = Policy(keepers=(two.id,))
    vm = await run_kept(one, counter, two, policy)
    await kept_at(one, vm, two)
    await power_off(world, 0)
    one = await world.start(0)
    await until(lambda: one.has(state="waiting"))
    assert "--require-witness" in one.vm().note
    world.connect(0, 1)
    await until(lambda: one.has())
    assert one.vm().note == "" or "set back" in one.vm().note
