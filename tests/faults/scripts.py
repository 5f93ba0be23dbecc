"""The kinds of fault: what happens to a VM that runs at S, and is to be at T or S afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
import trio.testing

from radics_mesh.errors import GuestError
from tests.faults import losses
from tests.faults.journey import Journey, WrongError
from tests.faults.mesh import VM, until
from tests.faults.node import Node
from tests.faults.plans import (
    CUT,
    FLIP,
    FULL,
    LATE,
    NOTHING,
    POWER,
    REPLAY,
    RESTART,
    ROLLBACK,
    SIGKILL,
    TWICE,
)

Script = Callable[[Journey], Awaitable[None]]

# A fault that was not met in this time after the end of the move is brought about.
MET_WITHIN_S = 1.0
DAY_S = 86_400.0
# A VM whose state is damaged may find another copy in this time.
WAITS_S = 10.0
# A node without contact that must start nothing is looked at for this long.
ALONE_S = 2.5
# In contact, an old disk is found out in this time.
FOUND_WITHIN_S = 15.0
SHOWN_WITHIN_S = 5.0
# Time for what is a day late to arrive.
LATE_S = 1.5
# The files that a VM's directory keeps for it.
_KEPT = frozenset({".snapshot", ".manifest", ".snap"})


def during_move(fault: Script) -> Script:
    """The fault lies in wait, and the VM is moved."""

    async def script(journey: Journey) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fault, journey)
            await trio.testing.wait_all_tasks_blocked(0.002)
            await journey.move("S", "T", one_way=journey.plan.one_way)
            journey.moved.set()

    return script


async def _met(journey: Journey, happens: Callable[[], Awaitable[None]]) -> None:
    """Wait for it; it is a hit if it happens in the move, or soon after."""
    async with trio.open_nursery() as nursery:

        async def give_up() -> None:
            await journey.moved.wait()
            await trio.sleep(MET_WITHIN_S)
            nursery.cancel_scope.cancel()

        nursery.start_soon(give_up)
        await happens()
        journey.outcome.hit = True
        nursery.cancel_scope.cancel()


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
    await _met(journey, victim.ended)


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
    await _met(journey, line.was_cut)
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
    await _met(journey, lambda: until(lambda: victim.page.refused > 0))
    victim.page.fill_in(0)
    await trio.sleep(plan.lasts_s)
    victim.page.empty()
    await trio.sleep(0.2)
    if not victim.is_alive:
        await victim.start()


async def _flip(journey: Journey) -> None:
    """A bit of what is on a host's disk for the VM. It goes on from another copy, or it waits and
    says so; and it goes on once the disk is as it was."""
    if journey.plan.victim == "S":
        await _flip_saved(journey)
    else:
        await during_move(_flip_coming)(journey)


async def _flip_saved(journey: Journey) -> None:
    node = journey.mesh["S"]
    await node.client.call("save", name=VM)
    await node.kill()
    undo = _flip_a_bit(journey, node)
    await node.start()
    before = trio.current_time()
    try:
        await node.client.call("resume", name=VM)
    except GuestError as error:
        journey.outcome.hit = True
        if "snapshot" not in str(error) and "page" not in str(error):
            raise WrongError(f"resume did not say what is wrong: {error}") from error
        if journey.mesh.watch.executing("S", before):
            raise WrongError(f"a guest runs although {error}") from error
        await node.kill()
        undo()
        await node.start()
        await node.client.call("resume", name=VM)
    await journey.settled()
    await journey.mesh.knows("S", "T")
    await journey.move("S", "T", one_way=journey.plan.one_way)


async def _flip_coming(journey: Journey) -> None:
    plan, node = journey.plan, journey.mesh["T"]
    await _ended_at(journey, node, plan.second_step, after=plan.after)
    await node.kill()
    undo = _flip_a_bit(journey, node)
    await node.start()
    with trio.move_on_after(WAITS_S):
        await journey.settled()
        return
    row = await node.row(VM)
    if row is None or not row["note"]:
        raise WrongError(f"a bit was flipped at T, and nobody says what the VM waits for: {row}")
    await node.kill()
    undo()
    await node.start()


def _flip_a_bit(journey: Journey, node: Node) -> Callable[[], None]:
    """In a file of the VM's or in the store of pages; what puts it right again."""
    hosting = node.state / "hosting"
    kept = [p for p in (hosting / "vms").rglob("*") if p.suffix in _KEPT and p.stat().st_size]
    kept += [p for p in (hosting / "pages").rglob("*") if p.is_file() and p.stat().st_size]
    kept += [p for p in (hosting / "incoming").rglob("*") if p.is_file() and p.stat().st_size]
    if not kept:
        return lambda: None
    path = journey.chance.choice(sorted(kept))
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[journey.chance.randrange(len(flipped))] ^= 1 << journey.chance.randrange(8)
    journey.outcome.detail = str(path.relative_to(node.state))
    node.alter(path, bytes(flipped))

    def undo() -> None:
        if path.exists():
            node.alter(path, content)

    return undo


async def _relay_set_back(journey: Journey) -> None:
    """The relay gets a medium on which the release is still to be delivered, a day later."""
    mesh, relay, line = journey.mesh, journey.mesh["R"], journey.mesh.lines["T"]
    line.cut()
    await journey.move("S", "T", one_way=True)
    with trio.move_on_after(WAITS_S):
        while not (await relay.ask("bundles") or {"bundles": ()})["bundles"]:  # noqa: ASYNC110
            await trio.sleep(0.02)
    await trio.sleep(journey.plan.lasts_s)
    await relay.kill()
    copy = journey.place / "copy"
    relay.copy_state(copy)
    await relay.start()
    line.mend()
    await journey.settled()
    await mesh.knows("T", "S")
    await journey.move("T", "S")
    await journey.settled()
    await relay.put_back(copy)
    for node in mesh.nodes.values():
        node.page.advance(DAY_S)
    await relay.start()
    journey.outcome.hit = True
    await trio.sleep(LATE_S)


async def _set_back(journey: Journey) -> None:
    """S gets an old copy of its disk, from when it held the VM, and starts alone. At first contact
    it learns that; with `--require-witness` it has started nothing until then."""
    mesh, node, line = journey.mesh, journey.mesh["S"], journey.mesh.lines["S"]
    watch = mesh.watch
    copy = journey.place / "copy"
    await node.kill()
    node.copy_state(copy)
    await node.start()
    await journey.settled()
    await mesh.knows("S", "T")
    await journey.move("S", "T", one_way=journey.plan.one_way)
    await journey.settled_at("T")
    line.cut()
    await node.put_back(copy)
    began = trio.current_time()
    await node.start()
    if journey.plan.witness:
        await trio.sleep(ALONE_S)
        if watch.executing("S", began):
            raise WrongError("a guest started at S before a peer had confirmed its start")
    else:
        with trio.move_on_after(WAITS_S) as scope:
            await until(lambda: watch.executing("S", began))
        if scope.cancelled_caught:
            raise WrongError("alone, S did not start what its disk says is its")
        await trio.sleep(journey.plan.lasts_s)
        journey.outcome.set_back = True
    journey.outcome.hit = True
    line.mend()
    mended = trio.current_time()
    with trio.move_on_after(FOUND_WITHIN_S) as scope:
        await journey.settled_at("T")
        while not await mesh.said("S", "was set back to an older state of its disk"):  # noqa: ASYNC110
            await trio.sleep(0.03)
    if scope.cancelled_caught:
        raise WrongError(f"S was not told that its disk is old: {await mesh.holders()}")
    journey.outcome.alone_s = max(0.0, watch.last_executed("S") - began)
    journey.outcome.found_s = trio.current_time() - mended
    if watch.executing("S", began):
        with trio.move_on_after(SHOWN_WITHIN_S) as scope:
            while not await journey.is_shown():  # noqa: ASYNC110
                await trio.sleep(0.05)
        if scope.cancelled_caught:
            raise WrongError("what S did alone is not shown")
        # It is kept once the guest stands still; before that S says no more than where the VM is.
        journey.outcome.apart_until = trio.current_time()
    stopped = trio.current_time()
    await trio.sleep(LATE_S)
    if watch.executing("S", stopped):
        raise WrongError("a guest still executes at S")


SCRIPTS: dict[str, Script] = {
    NOTHING: _nothing,
    SIGKILL: during_move(_sigkill),
    POWER: during_move(_power_loss),
    TWICE: during_move(_two_power_losses),
    CUT: during_move(_cut),
    LATE: during_move(_late),
    FULL: during_move(_full),
    FLIP: _flip,
    REPLAY: _relay_set_back,
    ROLLBACK: _set_back,
    RESTART: losses.restarted,
}
