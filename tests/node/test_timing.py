"""Time between real agents: asked, told, judged, kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from radics_mesh.clock import Wall
from radics_mesh.codec import pack
from radics_mesh.errors import UsageError
from radics_mesh.me import Me
from radics_mesh.membership import Verifier
from radics_mesh.node.timing import FILE_NAME, SERVICE, Timing, is_vouched
from radics_mesh.timekeeping import Quality
from tests.dtn.world import START, Members, Node, TrioClock, connect, running, until


class Wrong(TrioClock):
    """Off by so many seconds; None: it says 1970."""

    def __init__(self, off_s: float | None) -> None:
        self.off_s = off_s

    def wall(self) -> Wall:
        if self.off_s is None:
            return Wall(super().wall() - START)
        return Wall(super().wall() + self.off_s)


MEMBERS = Members(TrioClock())


@asynccontextmanager
async def site(
    name: str, path: Path, off_s: float | None, *, vouched: bool
) -> AsyncIterator[tuple[Node, Timing, list[str]]]:
    directory = path / name
    directory.mkdir(exist_ok=True)
    known = MEMBERS.me(name)
    me = Me(known.identity, Verifier(MEMBERS.mesh), known.chain, Wrong(off_s))
    told: list[str] = []
    timing = Timing(
        me, directory, vouched=lambda: vouched, tell=lambda text, level: told.append(text)
    )
    async with running(me, directory) as node:
        timing.attach(node.agent, list)
        await node.nursery.start(timing.run)
        yield node, timing, told


async def test_a_node_in_1970_takes_the_median_and_one_liar_moves_it_nowhere(
    tmp_path: Path,
) -> None:
    async with (
        site("a", tmp_path, 0.0, vouched=True) as (a, _, _),
        site("b", tmp_path, 0.0, vouched=True) as (b, _, _),
        site("liar", tmp_path, 1e8, vouched=True) as (liar, liars, _),
        site("guess", tmp_path, -1e8, vouched=False) as (guess, guesses, _),
        site("new", tmp_path, None, vouched=False) as (new, timing, told),
    ):
        assert timing.keeper.quality() is Quality.NONE
        for other in (a, b, liar, guess):
            connect(new, other)
        await until(lambda: timing.keeper.quality() is Quality.MESH)
        assert abs(new.me.judged() - a.me.clock.wall()) < 5
        assert told[0] == "time is mesh here"
        assert liars.keeper.quality() is Quality.TRUSTED
        # Who has no trusted clock says nothing, and hears too few.
        assert guesses.keeper.quality() is Quality.NONE
        mark = timing.keeper.mark
    kept = Timing(new.me, tmp_path / "new", vouched=lambda: False)
    assert kept.keeper.judged(Wall(5.0)) >= int(mark)


async def test_a_clock_that_is_a_day_off_is_told_of(tmp_path: Path) -> None:
    async with (
        site("a", tmp_path, 0.0, vouched=True) as (a, _, _),
        site("b", tmp_path, 0.0, vouched=True) as (b, _, _),
        site("c", tmp_path, 0.0, vouched=True) as (c, _, _),
        site("late", tmp_path, -86400.0, vouched=True) as (late, timing, told),
    ):
        for other in (a, b, c):
            connect(late, other)
        await until(lambda: bool(told))
        assert told == ["this clock is 86400 s behind the others'"]
        assert timing.keeper.quality() is Quality.TRUSTED


async def test_answers_to_no_question_and_nonsense_are_refused(tmp_path: Path) -> None:
    async with (
        site("a", tmp_path, 0.0, vouched=True) as (a, _, _),
        site("new", tmp_path, None, vouched=False) as (new, timing, _),
    ):
        connect(a, new)
        to = new.id.service(SERVICE)
        for payload in (b"", pack([3, bytes(16)]), pack([2, bytes(16), 1]), pack([1, b"short"])):
            await a.agent.send(to, payload)
        await until(lambda: new.agent.counters["dropped_by_handler"] == 4)
        assert timing.keeper.quality() is Quality.NONE


def test_damage_is_one_clear_error_and_the_kernel_is_asked(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"x")
    with pytest.raises(UsageError, match=r"time\.msgpack is damaged"):
        Timing(MEMBERS.me("a"), tmp_path)
    assert is_vouched() in (True, False)
