"""One run: a VM moves from S to T, something fails on the way, and what was promised is looked for.

Whatever failed, the VM is then to be moved once more, undisturbed, and to come to its end; its
reports are to be complete, and at no moment may two copies of it have executed.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import trio

from tests.faults import losses
from tests.faults.journey import MESSAGES, Journey, LostError, WrongError
from tests.faults.mesh import VM, Mesh, open_mesh
from tests.faults.node import DownError, RecordingError
from tests.faults.outcome import Outcome
from tests.faults.plans import REPLICAS, Plan
from tests.faults.scripts import SCRIPTS
from tests.faults.zygote import Zygote

# Of a run as a whole, on a busy machine.
PATIENCE_S = 120.0


async def run(plan: Plan, place: Path, zygote: Zygote, image: Path) -> Outcome:
    """`place`: a directory of its own, on a tmpfs."""
    outcome = Outcome(plan)
    began = trio.current_time()
    images_at = ("S", "T") if plan.image_at_target else ("S",)
    settings = {"bundle_lifetime_s": plan.lifetime_s, "pool_size": plan.pool}
    if plan.kind == REPLICAS:
        settings["record_ttl_s"] = losses.RECORDS_LIVE_S
    try:
        async with open_mesh(place, zygote, image, images_at, settings) as mesh:
            if plan.witness:
                mesh["S"].settings = {**settings, "require_witness": True}
            with trio.move_on_after(PATIENCE_S) as patience:
                journey = Journey(plan, mesh, place, outcome)
                if plan.kind == REPLICAS:
                    await losses.answers(journey)
                else:
                    await journey.travel(SCRIPTS[plan.kind])
            if patience.cancelled_caught:
                outcome.lost = f"not at its end after {PATIENCE_S:.0f} s: {await states(mesh)}"
            _judge(mesh, outcome)
    except* RecordingError as errors:
        outcome.harness = _first(errors)
    except* (LostError, WrongError, DownError) as errors:
        outcome.lost = _first(errors)
    outcome.seconds = trio.current_time() - began
    return outcome


def _first(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)


async def states(mesh: Mesh) -> str:
    """What each node says of the VM."""
    rows = []
    with trio.move_on_after(2):
        for node in mesh.nodes.values():
            row = await node.row(VM) if node.is_alive else None
            said = f"{row['state']} {row['note']}" if row else "no VM" if node.is_alive else "down"
            rows.append(f"{node.name} {said.strip()}")
    return "; ".join(rows)


def _judge(mesh: Mesh, outcome: Outcome) -> None:
    if not mesh.watch.has_executed("S"):
        outcome.harness = "the watch did not see the guest execute that S had started"
    source, mail = mesh.count("s"), mesh.count("m")
    mail.pop("stop", None)
    if outcome.plan.kind != REPLICAS:
        # While one was alone, which nothing can prevent, it is reported apart.
        outcome.two_live = mesh.watch.two_live(outcome.apart_until)
        outcome.source = _lost_and_doubled(source, "line", MESSAGES)
    outcome.mail = _lost_and_doubled(mail, "mail", mesh.mails)


def _lost_and_doubled(got: Counter[str], stem: str, count: int) -> tuple[int, int]:
    lost = sum(1 for number in range(1, count + 1) if not got[f"{stem}-{number}"])
    return lost, sum(got.values()) - len(got)
