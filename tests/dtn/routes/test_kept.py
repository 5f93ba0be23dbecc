"""PRoPHET's table over restarts, with clocks that can be believed and others."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from radics_mesh.clock import EARLIEST_PLAUSIBLE
from radics_mesh.dtn.routes.kept import Kept, packed, parse
from radics_mesh.dtn.routes.prophet import Parameters, Predictabilities, Remembered
from radics_mesh.errors import WireError
from tests.dtn.routes.bundles import A, B, C
from tests.dtn.world import HandClock

GAMMA = Parameters().gamma


def table(path: Path, clock: HandClock) -> tuple[Kept, Predictabilities]:
    kept, predictabilities = Kept(path, clock), Predictabilities(A, Parameters())
    kept.attach(predictabilities)
    return kept, predictabilities


def restarted(path: Path, wall: float) -> tuple[Predictabilities, HandClock]:
    """In a process whose monotonic clock has begun anew."""
    clock = clock_at(wall, 5.0)
    return table(path, clock)[1], clock


def clock_at(wall: float, now: float = 1000.0) -> HandClock:
    return HandClock(now, wall - now)


async def test_it_ages_by_what_has_passed(tmp_path: Path) -> None:
    path, clock = tmp_path / "table", clock_at(EARLIEST_PLAUSIBLE + 1000)
    kept, before = table(path, clock)
    before.meet(B, clock.monotonic())
    before.hear(B, {C: 0.6})
    await kept.flushed()
    after, now = restarted(path, clock.wall() + 3600)
    assert after[B] == pytest.approx(0.5 * GAMMA**60)
    assert after[C] == pytest.approx(0.27 * GAMMA**60)
    after.meet(B, now.monotonic())  # an hour since the last time, which is more than typical
    p = 0.5 * GAMMA**60
    assert after[B] == pytest.approx(p + (0.99 - p) * 0.7)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (0.0, EARLIEST_PLAUSIBLE + 5000),  # no clock then
        (EARLIEST_PLAUSIBLE + 1000, 0.0),  # none now
        (EARLIEST_PLAUSIBLE + 1000, EARLIEST_PLAUSIBLE),  # set back
    ],
)
def test_clocks_that_say_nothing(tmp_path: Path, written: float, read: float) -> None:
    path, clock = tmp_path / "table", clock_at(written)
    kept, before = table(path, clock)
    before.meet(B, clock.monotonic())
    kept.close()
    after, _ = restarted(path, read)
    assert after[B] == 0.5


def test_time_while_it_runs_counts_too(tmp_path: Path) -> None:
    path, clock = tmp_path / "table", clock_at(0)
    kept, before = table(path, clock)
    before.meet(B, clock.monotonic())
    clock.now += 600
    kept.close()
    assert restarted(path, 0)[0][B] == pytest.approx(0.5 * GAMMA**10)


def test_damage_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "table"
    true = packed(1.0, [Remembered(B, 0.5, 2.0), Remembered(C, 0.25, None)])
    assert parse(true) == (1.0, [Remembered(B, 0.5, 2.0), Remembered(C, 0.25, None)])
    for place in range(len(true)):
        with pytest.raises(WireError):
            parse(true[:place])
        path.write_bytes(true[:place])
        assert table(path, HandClock())[1].items() == []


async def test_nothing_is_written_for_a_node_without_it(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "table", HandClock())
    await kept.flushed()
    kept.close()
    assert not await trio.Path(tmp_path / "table").exists()
