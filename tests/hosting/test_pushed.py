"""The scheduler with real guests: an overloaded host pushes one away, and it is left in peace."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest

from radics_mesh.hosting.fitness import guests_here
from radics_mesh.records import Kind
from radics_mesh.scheduler import service
from radics_mesh.scheduler.decide import Settings
from radics_mesh.scheduler.service import Scheduler
from tests.hosting.test_service import run_counter
from tests.hosting.world import Site, World, until

# Above the limit now and then, never most of the time: no host is overloaded by it.
NOISE = (0.1, 0.9, 0.3)


async def schedule(
    world: World, site: Site, peer: Site, load: Callable[[], float], name: str = ""
) -> Scheduler:
    """A scheduler for a site whose processors are as busy as `load` says."""

    def body() -> dict[str, object]:
        return {
            "name": name or site.id.short,
            "arch": "x86_64",
            "guests": guests_here(),
            "cores": 4,
            "memory_free": 1 << 30,
            "load": load(),
            "vms": len(site.hosting.vms()),
            "neighbours": [[peer.id.text, 2]],
        }

    await site.directory.announce(Kind.NODE, site.id.text, body())
    scheduler = Scheduler(
        me=site.id,
        agent=site.agent,
        directory=site.directory,
        sources=site.sources,
        hosting=site.hosting,
        describe=body,
        settings=Settings(hysteresis=0.15, horizon_s=60.0, observe_s=0.1, dwell_s=0.1),
        overload=0.85,
        clock=site.me.clock,
    )
    await world.nursery.start(scheduler.run)
    return scheduler


async def test_an_overloaded_host_pushes_a_guest_away_and_it_stays_there(
    world: World, counter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "DECIDE_EVERY_S", 0.05)
    noise, looks = cycle(NOISE), 0

    def noisy() -> float:
        nonlocal looks
        looks += 1
        return next(noise)

    a, b = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await run_counter(a, counter, b, ())
    await until(lambda: a.has())
    busy = 0.97
    there = await schedule(world, b, a, noisy)
    await until(lambda: bool(a.directory.known(Kind.NODE, b.id.text)))
    here = await schedule(world, a, b, lambda: busy)
    await until(lambda: b.has() and here.counters["moves"] == 1)
    busy = 0.1
    why = "\n".join(here.explain("counter"))
    assert "counter is not here any more" in why
    assert "overloaded" in why
    seen = looks
    await until(lambda: looks > seen + 40)
    assert b.has()
    assert b.vm().epoch == 2
    assert there.counters["moves"] + there.counters["moves failed"] == 0
    assert "counter stays" in there.explain("counter")[0]


@pytest.mark.parametrize("place", ["node1", "text"])
async def test_a_program_gets_where_it_asks_to_be(
    world: World, caller: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """By name, or near a source that it does not even read."""
    monkeypatch.setattr(service, "DECIDE_EVERY_S", 0.05)
    a, b = await world.start(0), await world.start(1)
    world.connect(0, 1)
    (tmp_path / "text").write_text("line\n")
    await b.sources.publish("text", tmp_path / "text", None)
    await schedule(world, b, a, lambda: 0.1, "node1")
    await until(lambda: bool(a.directory.known(Kind.NODE, b.id.text)))
    await until(lambda: bool(a.directory.known(Kind.SOURCE, "text")))
    here = await schedule(world, a, b, lambda: 0.1, "node0")
    await a.hosting.run_vm(caller, "counter", arguments=("hint", place), memory_bytes=16 << 20)
    await until(lambda: b.has())
    assert b.vm().hint.endswith(place)
    await until(lambda: here.counters["moves"] == 1)
    assert f"its program asks for: {b.vm().hint}" in here.explain("counter")
