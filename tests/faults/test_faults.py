"""`make faults` in a reduced form: a fault of each kind, where it could do harm."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.faults.__main__ import prepare
from tests.faults.outcome import Outcome
from tests.faults.plans import CUT, POWER, REPLICAS, RESTART, SIGKILL, Plan
from tests.faults.run import run
from tests.faults.table import complaint
from tests.faults.zygote import Zygote


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="radics-faults-", dir="/dev/shm"))
    prepare(path)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def zygote(place: Path) -> Iterator[Zygote]:
    zygote = Zygote(place / "record.so")
    yield zygote
    zygote.close()


PLANS = (
    # The target loses power just after it has the snapshot, the source with the guest's end near.
    (
        Plan(1, POWER, victim="T", step=28, torn=True, lasts_s=0.1),
        Plan(2, SIGKILL, victim="S", step=40, after=True, lasts_s=0.1),
    ),
    # The relay forgets what it had not synced; the line breaks in the middle of the snapshot.
    (
        Plan(3, POWER, victim="R", step=20, after=True, lasts_s=0.1),
        Plan(4, CUT, line="S", piece=25, silent=False, lasts_s=0.2, one_way=True),
    ),
    # A keeper goes on while the holder's guest lives, unheard; a service loses one of its hosts.
    (
        Plan(5, RESTART, loss=SIGKILL, lasts_s=0.1),
        Plan(6, REPLICAS, loss=POWER, host="S", lasts_s=0.1),
    ),
)


@pytest.mark.parametrize("pair", PLANS, ids=["hosts", "between", "policies"])
async def test_a_vm_moves_whatever_fails(
    place: Path, zygote: Zygote, pair: tuple[Plan, Plan]
) -> None:
    outcomes: list[Outcome] = []

    async def one(plan: Plan) -> None:
        here = place / str(plan.seed)
        here.mkdir()
        outcomes.append(await run(plan, here, zygote, place / "ticker.img"))

    async with trio.open_nursery() as nursery:
        for plan in pair:
            nursery.start_soon(one, plan)
    for outcome in outcomes:
        assert outcome.is_good, complaint(outcome)
        assert outcome.hit
        assert outcome.moves or outcome.plan.kind in (RESTART, REPLICAS)
