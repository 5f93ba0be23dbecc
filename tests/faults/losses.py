"""A host is lost for a while, whose VM has another policy than at-most-one.

`restartable`: its keeper goes on from a checkpoint. While the holder is out of contact its guest
may live on; in contact the lower branch stops, and what it did is shown. `replicated`: whoever asks
the service by its name gets an answer, whichever host is lost.
"""

from __future__ import annotations

import trio

from tests.faults.journey import Journey, LostError, WrongError
from tests.faults.mesh import VM, until
from tests.faults.node import Node
from tests.faults.plans import CUT, SIGKILL

KEPT_WITHIN_S = 60.0
RESTARTS_WITHIN_S = 60.0
KEEPER_FAILS_WITHIN_S = 8.0
# In contact, the lower branch has stopped in this time.
STOPS_WITHIN_S = 60.0
# Asked again after so long; an answer has come after so long.
ASKED_AGAIN_S = 0.7
ANSWERED_WITHIN_S = 60.0
ANSWERS = 5
# So long the directory counts on what nodes said, and half as long who asks for a replica.
RECORDS_LIVE_S = 6


async def lose(journey: Journey, node: Node) -> None:
    plan = journey.plan
    if plan.loss == CUT:
        journey.mesh.lines[node.name].cut(silent=plan.silent)
    elif plan.loss == SIGKILL:
        await node.kill()
    else:
        await node.power_off(journey.chance if plan.torn else None)


async def give_back(journey: Journey, node: Node) -> None:
    if journey.plan.loss == CUT:
        journey.mesh.lines[node.name].mend()
    else:
        await node.start()


# --- restartable ---------------------------------------------------------------------------------


async def restarted(journey: Journey) -> None:
    """T keeps the VM's checkpoints, and S is lost."""
    mesh, watch, outcome = journey.mesh, journey.mesh.watch, journey.outcome
    with trio.move_on_after(KEPT_WITHIN_S) as scope:
        while not await _is_kept(mesh["T"]):  # noqa: ASYNC110
            await trio.sleep(0.03)
    if scope.cancelled_caught:
        raise WrongError(f"T keeps no checkpoint: {await mesh['S'].ask('doctor', name=VM)}")
    await trio.sleep(journey.plan.lasts_s)
    outcome.set_back = True
    async with trio.open_nursery() as nursery:
        await lose(journey, mesh["S"])
        nursery.start_soon(_keeper_loses_power, journey)
        with trio.move_on_after(RESTARTS_WITHIN_S) as scope:
            await until(lambda: watch.has_executed("T"))
        if scope.cancelled_caught:
            raise LostError(f"T did not go on: {await mesh['T'].ask('doctor', name=VM)}")
        outcome.hit = True
    again = watch.first_executed("T")
    await trio.sleep(journey.plan.lasts_s)
    await give_back(journey, mesh["S"])
    await _stopped(journey, again)


async def _keeper_loses_power(journey: Journey) -> None:
    """As it gets ready to go on, or when it has; after a while in any case."""
    keeper, plan = journey.mesh["T"], journey.plan
    if plan.keeper_step:
        keeper.page.kill_in(plan.keeper_step, after=plan.after)
        with trio.move_on_after(KEEPER_FAILS_WITHIN_S):
            await keeper.ended()
        await keeper.power_off(journey.chance if plan.torn else None)
        await keeper.start()


async def _is_kept(keeper: Node) -> bool:
    found = await keeper.ask("doctor", name=VM) or {}
    return any(state["kind"] == "checkpoint" for state in found.get("states", ()))


async def _stopped(journey: Journey, again: float) -> None:
    """S meets the branch of T, which runs since `again`: in contact there is one live copy."""
    mesh, watch, outcome = journey.mesh, journey.mesh.watch, journey.outcome
    met = trio.current_time()
    with trio.move_on_after(STOPS_WITHIN_S) as scope:
        while not await journey.is_shown():  # noqa: ASYNC110
            await trio.sleep(0.03)
        await journey.settled_at("T")
    if scope.cancelled_caught:
        raise WrongError(f"the lower branch was not stopped, or not shown: {await mesh.holders()}")
    outcome.apart_until = trio.current_time()
    outcome.alone_s = max(0.0, watch.last_executed("S") - again)
    outcome.found_s = outcome.apart_until - met


# --- replicated ----------------------------------------------------------------------------------


async def answers(journey: Journey) -> None:
    """A replica at S and one at T; who asks for the service is answered all the time."""
    mesh = journey.mesh
    await mesh.start()
    async with trio.open_nursery() as nursery:
        for one, other in (("S", "O"), ("T", "O")):
            nursery.start_soon(mesh.knows, one, other)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mesh.collect)
        replicas = {node.name: await mesh.start_replica(node) for node in mesh.hosts}
        await _answered(journey)
        await _lost_and_back(journey, replicas)
        for name, eid in replicas.items():
            await _stop(journey, name, eid)
        nursery.cancel_scope.cancel()


async def _lost_and_back(journey: Journey, replicas: dict[str, str]) -> None:
    node = journey.mesh[journey.plan.host]
    await trio.sleep(journey.plan.lasts_s)
    await lose(journey, node)
    journey.outcome.set_back = True
    await _answered(journey)
    journey.outcome.hit = True
    await give_back(journey, node)
    await _answered(journey)
    for name, eid in replicas.items():
        await _ask(journey, eid, by=name)
    journey.outcome.recoveries += 1


async def _answered(journey: Journey) -> None:
    """The service, by its name, so many times."""
    for _ in range(ANSWERS):
        await _ask(journey, f"{VM}/ask")


async def _ask(journey: Journey, whom: str, *, by: str = "") -> None:
    """Until it is answered; LostError. `by`: on which host."""
    mesh = journey.mesh
    mesh.mails += 1
    text, began = f"mail-{mesh.mails}", trio.current_time()
    with trio.move_on_after(ANSWERED_WITHIN_S):
        while True:
            await mesh.mail(text, whom)
            with trio.move_on_after(ASKED_AGAIN_S):
                await until(lambda: mesh.has_answer(text, by))
                waited_s = trio.current_time() - began
                journey.outcome.unanswered_s = max(journey.outcome.unanswered_s, waited_s)
                return
    raise LostError(f"{whom} did not answer {text} within {ANSWERED_WITHIN_S:g} s")


async def _stop(journey: Journey, name: str, eid: str) -> None:
    node = journey.mesh[name]
    while True:
        row = await node.row(VM)
        if row is not None and row["state"] == "exited":
            return
        await journey.mesh.mail("stop", eid)
        await trio.sleep(ASKED_AGAIN_S)
