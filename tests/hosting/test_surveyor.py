"""A survey kept up from a guest's start is what its memory holds, however it was started."""

from __future__ import annotations

from pathlib import Path

import pytest

from radics_mesh.hosting import pool
from radics_mesh.vmm.image import architecture_of
from radics_mesh.vmm.waiting import Kind
from tests.hosting.test_service import run_counter
from tests.hosting.world import MEMORY_BYTES, Site, World, until


async def check(site: Site) -> None:
    """Of the guest that runs; it is parked for this, and ended."""
    life = site.hosting.tenant(site.vm().vm_id).life
    guest, surveyor = life.guest, life.surveyor
    assert guest is not None
    assert surveyor is not None
    await guest.ready.wait()
    await surveyor.ahead()
    before = surveyor.stage
    await guest.machine.park(known=before)
    changed = guest.machine.changed_at_end
    assert changed is not None
    assert changed.since == before > 0
    assert await surveyor.last() == await guest.machine.look(None, changed)
    await site.hosting.stop("counter")


async def test_cold_warm_and_out_of_the_pool(
    world: World, counter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "QUIET_S", 0.05)
    world.pool_size = 2
    a = await world.start(0)
    a.hosting.pool.want(Kind(architecture_of(counter.read_bytes()).name, MEMORY_BYTES))
    for booted in (False, True):

        def waits(booted: bool = booted) -> bool:
            kinds = [w.kind for w in a.hosting.pool.waiting if w.kind.memory_bytes == MEMORY_BYTES]
            return any((kind.image is not None) is booted for kind in kinds)

        await until(waits)
        await run_counter(a, counter, a, ())
        await check(a)
    await run_counter(a, counter, a, ())
    await until(a.has)
    await a.hosting.save("counter")
    await a.hosting.resume("counter")
    await check(a)
