from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from radics_mesh.jobs import JOBS_MAX, Jobs


async def test_jobs_wait_for_workers_and_run_side_by_side(nursery: trio.Nursery) -> None:
    jobs, done, gate = Jobs(), [], trio.Event()

    async def slow() -> None:
        await gate.wait()
        done.append("slow")

    async def fast() -> None:
        done.append("fast")

    assert jobs.start(slow)
    assert jobs.start(fast)
    nursery.start_soon(jobs.run, 2)
    await wait_all_tasks_blocked()
    assert done == ["fast"]
    gate.set()
    await wait_all_tasks_blocked()
    assert done == ["fast", "slow"]
    nursery.cancel_scope.cancel()


async def test_once_at_a_time(nursery: trio.Nursery) -> None:
    jobs, done = Jobs(), []

    async def note() -> None:
        done.append(1)

    assert jobs.start(note, once="x")
    assert not jobs.start(note, once="x")
    nursery.start_soon(jobs.run, 1)
    await wait_all_tasks_blocked()
    assert jobs.start(note, once="x")
    await wait_all_tasks_blocked()
    assert len(done) == 2
    nursery.cancel_scope.cancel()


async def test_too_many_are_dropped_and_counted() -> None:
    jobs = Jobs()
    taken = [jobs.start(trio.lowlevel.checkpoint, once=number) for number in range(JOBS_MAX + 2)]
    assert taken[-3:] == [True, False, False]
    assert jobs.dropped == 2


async def test_a_job_that_fails_is_not_hidden() -> None:
    jobs = Jobs()

    async def fail() -> None:
        raise ZeroDivisionError

    jobs.start(fail)
    with pytest.RaisesGroup(pytest.RaisesExc(ZeroDivisionError), flatten_subgroups=True):
        await jobs.run(1)
