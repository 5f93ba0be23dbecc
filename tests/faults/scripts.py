"""The kinds of fault: what happens to a VM that runs at S, and is to be at T or S afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
import trio.testing

from tests.faults.journey import Journey
from tests.faults.mesh import until
from tests.faults.node import Node
from tests.faults.plans import CUT, FULL, LATE, NOTHING, POWER, SIGKILL, TWICE

Script = Callable[[Journey], Awaitable[None]]

# A fault that was not met in this time after the move was ordered is brought about.
MET_WITHIN_S = 2.5
DAY_S = 86_400.0


def during_move(fault: Script) -> Script:
    """The fault lies in wait, and the VM is moved."""

    async def script(journey: Journey) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fault, journey)
            await trio.testing.wait_all_tasks_blocked(0.002)
            await journey.move("S", "T", one_way=journey.plan.one_way)

    return script


async def _nothing(journey: Journey) -> None:
    """Counts what there is in a move that could fail: see plans.py."""
    nodes, lines = journey.mesh.nodes, journey.mesh.lines

    def counted() -> dict[str, int]:
        steps = {f"{name}'s steps": node.page.steps for name, node in nodes.items()}
        growths = {f"{name}'s growths": node.page.growths for name, node in nodes.items()}
        pieces = {f"pieces {name}-R": line.chunks for name, line in lines.items()}
        return steps | growths | pieces

    before = counted()
    await journey.move("S", "T", one_way=journey.plan.one_way)
    journey.outcome.counts = {name: n - before[name] for name, n in counted().items()}


# --- a process, or the power of its computer -----------------------------------------------------


async def _sigkill(journey: Journey) -> None:
    plan, victim = journey.plan, journey.mesh[journey.plan.victim]
    await _ended_at(journey, victim, plan.step, after=plan.after)
    await victim.kill()
    await trio.sleep(plan.lasts_s)
    await victim.start()


async def _power_loss(journey: Journey) -> None:
    plan, victim = journey.plan, journey.mesh[journey.plan.victim]
    await _ended_at(journey, victim, plan.step, after=plan.after)
    await _without_power(journey, victim)


async def _two_power_losses(journey: Journey) -> None:
    """Of two nodes, each at a step of its own, so that they may be down at once."""
    plan = journey.plan
    async with trio.open_nursery() as nursery:
        for name, step in ((plan.victim, plan.step), (plan.second, plan.second_step)):

            async def one(victim: Node, step: int) -> None:
                await _ended_at(journey, victim, step, after=plan.after)
                await _without_power(journey, victim)

            nursery.start_soon(one, journey.mesh[name], step)


async def _ended_at(journey: Journey, victim: Node, step: int, *, after: bool) -> None:
    """At the chosen step; or some time after the move, if that was not met."""
    victim.page.kill_in(step, after=after)
    with trio.move_on_after(MET_WITHIN_S):
        await victim.ended()
        journey.outcome.hit = True


async def _without_power(journey: Journey, victim: Node) -> None:
    await victim.kill()
    journey.outcome.set_back |= any(True for _ in victim.qemus())
    await victim.power_off(journey.chance if journey.plan.torn else None)
    await trio.sleep(journey.plan.lasts_s)
    await victim.start()


# --- the line between them ----------------------------------------------------------------------


async def _cut(journey: Journey) -> None:
    await _cut_for(journey, 0.0)


async def _late(journey: Journey) -> None:
    """A day goes by, everywhere, while the line is cut: what was said arrives a day late."""
    await _cut_for(journey, DAY_S)


async def _cut_for(journey: Journey, more_s: float) -> None:
    """`more_s`: that much more time goes by, by the clocks of all."""
    plan, line = journey.plan, journey.mesh.lines[journey.plan.line]
    line.cut_in(plan.piece, silent=plan.silent)
    with trio.move_on_after(MET_WITHIN_S):
        await line.was_cut()
        journey.outcome.hit = True
    line.cut(silent=plan.silent)
    await trio.sleep(plan.lasts_s)
    for node in journey.mesh.nodes.values():
        node.page.advance(more_s)
    line.mend()


# --- the disk -----------------------------------------------------------------------------------


async def _full(journey: Journey) -> None:
    """No room from the chosen write on; a node that ends for that is started when there is."""
    plan, victim = journey.plan, journey.mesh[journey.plan.victim]
    victim.page.fill_in(plan.growth)
    with trio.move_on_after(MET_WITHIN_S):
        await until(lambda: victim.page.refused > 0)
        journey.outcome.hit = True
    victim.page.fill_in(0)
    await trio.sleep(plan.lasts_s)
    victim.page.empty()
    await trio.sleep(0.2)
    if not victim.is_alive:
        await victim.start()


SCRIPTS: dict[str, Script] = {
    NOTHING: _nothing,
    SIGKILL: during_move(_sigkill),
    POWER: during_move(_power_loss),
    TWICE: during_move(_two_power_losses),
    CUT: during_move(_cut),
    LATE: during_move(_late),
    FULL: during_move(_full),
}
