"""Real guests whose holder is lost: a keeper goes on, two branches meet, the lower one stops."""

from __future__ import annotations

from pathlib import Path

import pytest
from trio.testing import MockClock

from radics_mesh.dtn.rules.processing import originate
from radics_mesh.errors import PeerError, UsageError
from radics_mesh.hosting.custody import Sort
from radics_mesh.hosting.policy import Policy, Survival
from radics_mesh.ids import VmId
from radics_mesh.ownership import BRANCH_EPOCHS
from radics_mesh.records import Kind
from tests.hosting.world import MEMORY_BYTES, Site, World, until

# No machine is so slow that a holder seems silent for this long.
KEPT_AFTER_S = 1800
RESTARTABLE = Survival.RESTARTABLE


async def run_kept(site: Site, image: Path, report_to: Site, policy: Policy) -> VmId:
    vm = await site.hosting.run_vm(
        image,
        "counter",
        arguments=(str(report_to.id.service("report")),),
        memory_bytes=MEMORY_BYTES,
        policy=policy,
    )
    return vm.vm_id


async def post(site: Site, vm: VmId, text: str) -> None:
    await site.agent.send(vm.eid, text.encode(), source=site.me.identity.eid)


async def kept_at(site: Site, vm: VmId, keeper: Site) -> None:
    """Until the keeper has the latest checkpoint."""
    tenant = site.hosting.tenant(vm)
    giver = site.hosting.keeping.giver
    await until(lambda: giver.confirmed(tenant) == [(keeper.id, "")])


def taken(site: Site, since: int) -> set[str]:
    """Mail that guests say they took, as their second one or later."""
    words = [report.split(" ", 2) for report in site.reports if report.startswith("mail ")]
    return {text for _, number, text in words if int(number) >= since}


async def lose(world: World, number: int) -> None:
    await world.stop(number)
    await world.members.kill(number)


async def test_a_keeper_goes_on_when_the_holder_is_silent_and_the_lower_branch_gives_way(
    world: World, counter: Path, real_time_jumps: MockClock
) -> None:
    one, two = await world.start(0), await world.start(1)
    world.connect(0, 1)
    vm = await run_kept(one, counter, two, Policy(keepers=(two.id,)))
    await kept_at(one, vm, two)
    await post(two, vm, "before")
    await until(lambda: "mail 1 before" in two.reports)
    whole = one.hosting.counters["kept bytes sent"]
    await one.hosting.checkpoint("counter")
    await kept_at(one, vm, two)
    assert one.hosting.counters["kept bytes sent"] - whole < whole / 4  # what has changed
    await post(two, vm, "after the checkpoint")
    await until(lambda: "mail 2 after the checkpoint" in two.reports)

    await one.hosting.choose_policy("counter", Policy(RESTARTABLE, KEPT_AFTER_S, (two.id,)))
    await kept_at(one, vm, two)
    one_chain = one.hosting.tenant(vm).life.chain
    await lose(world, 0)
    real_time_jumps.jump(KEPT_AFTER_S)
    await until(lambda: two.has())
    status = two.vm()
    assert (status.epoch, status.branch) == (BRANCH_EPOCHS, 1)
    assert two.hosting.custody.states(vm) == []
    await post(two, vm, "to the higher branch")
    # What the lower branch had taken comes again; in which order is left open.
    await until(lambda: taken(two, 2) == {"after the checkpoint", "to the higher branch"})

    late = originate(
        one.me,
        two.id.service("report"),
        b"of the lower branch",
        source=vm.eid,
        stamp=(1, 1),
        lifetime_s=60,
        ownership=one_chain.pack(),
        priority=1,
    )
    with pytest.raises(PeerError, match="counts no more"):
        await two.agent.receive(late.encode(), one.id)
    one = await world.start(0)  # its guest has gone on all the time
    world.connect(0, 1)
    await until(lambda: any("stops here at epoch 1" in r.text for r in one.hosting.journal()))
    assert one.hosting.vms() == []
    [divergent] = one.hosting.custody.states(vm)
    assert divergent.sort is Sort.DIVERGENT
    assert divergent.chain.epoch == 1
    assert divergent.higher is not None
    assert divergent.higher.epoch == BRANCH_EPOCHS
    await post(one, vm, "from the other side")
    await until(lambda: "mail 4 from the other side" in two.reports)
    await two.hosting.migrate("counter", one.id)  # the higher branch may come back
    await until(lambda: one.has())
    assert one.vm().epoch == BRANCH_EPOCHS + 1
    assert one.hosting.custody.states(vm) == [divergent]


async def test_an_operator_forces_a_recovery_from_what_a_keeper_has(
    world: World, counter: Path
) -> None:
    one, two = await world.start(0), await world.start(1)
    world.connect(0, 1)
    vm = await run_kept(one, counter, two, Policy(keepers=(two.id,)))
    await kept_at(one, vm, two)
    await lose(world, 0)
    with pytest.raises(UsageError, match="--force"):
        await two.hosting.recovery.recover("counter", force=False)
    await two.hosting.recovery.recover("counter", force=True)
    await until(lambda: two.has())
    assert two.hosting.tenant(vm).life.chain.links[-1].how == "forced"
    await post(two, vm, "stop")
    await until(lambda: "mail 1 stop" in two.reports)


async def test_a_vm_that_has_ended_is_kept_no_more(world: World, counter: Path) -> None:
    one, two = await world.start(0), await world.start(1)
    world.connect(0, 1)
    vm = await run_kept(one, counter, two, Policy(keepers=(two.id,)))
    await kept_at(one, vm, two)
    await one.hosting.stop("counter")
    await until(lambda: two.hosting.custody.states(vm) == [])


async def test_a_release_to_a_node_that_is_gone_for_good_is_taken_back_by_force(
    world: World, counter: Path
) -> None:
    one, two = await world.start(0), await world.start(1)
    world.connect(0, 1)
    vm = await run_kept(one, counter, one, Policy())
    await until(lambda: one.has())
    await until(lambda: bool(one.directory.known(Kind.NODE, two.id.text)))
    target = two.id
    await lose(world, 1)
    await one.hosting.migrate("counter", target, one_way=True)
    found = await one.hosting.recovery.diagnose("counter")
    assert (found.holder, found.epoch) == (target.short, 2)
    assert "not acknowledged yet" in found.open[0]
    assert "until it is acknowledged" in found.ways[0]
    with pytest.raises(UsageError, match="may be alive"):
        await one.hosting.recovery.recover("counter", force=False)
    assert one.hosting.tenant(vm).state == "released"
    await one.hosting.recovery.recover("counter", force=True)
    await until(lambda: one.has())
    assert one.vm().epoch == BRANCH_EPOCHS
    await post(one, vm, "stop")
    await until(lambda: "mail 1 stop" in one.reports)
