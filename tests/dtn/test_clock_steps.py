"""Clocks that are wrong, or step: no bundle ends before its lifetime has passed."""

from __future__ import annotations

from pathlib import Path

import pytest

from radics_mesh.clock import Wall
from radics_mesh.me import Me
from radics_mesh.timekeeping import SureClock, Timekeeper
from tests.dtn.world import START, Members, Node, TrioClock, connect, running

DAY_S = 86400.0
MEMBERS = Members(TrioClock())


class Stepping(TrioClock):
    """Off by so many seconds, which may change."""

    def __init__(self, off_s: float) -> None:
        self.off_s = off_s

    def wall(self) -> Wall:
        return Wall(super().wall() + self.off_s)


def member(name: str, clock: Stepping) -> Me:
    known = MEMBERS.me(name)
    return Me(known.identity, known.verifier, known.chain, clock)


async def send(node: Node, other: Node) -> None:
    await node.agent.send(other.id.service("inbox"), b"news", lifetime_s=3600)


@pytest.mark.parametrize(
    ("off_s", "step_s"),
    [(-START, 0.0), (-START, START), *((o, s) for o in (-DAY_S, DAY_S) for s in (0.0, -o, o))],
)
async def test_a_wrong_clock_and_its_step_end_no_bundle(
    tmp_path: Path, off_s: float, step_s: float
) -> None:
    """Neither where it waits, nor where it comes with a date of another day."""
    wrong, right = Stepping(off_s), Stepping(0.0)
    async with (
        running(member("a", wrong), tmp_path / "a") as a,
        running(member("b", right), tmp_path / "b") as b,
    ):
        b.agent.register(b.id.service("inbox"), b.collect)
        a.agent.register(a.id.service("inbox"), a.collect)
        await send(a, b)
        await send(b, a)
        wrong.off_s += step_s
        connect(a, b)
        await b.received(1)
        await a.received(1)
        for node in (a, b):
            assert node.agent.counters["expired"] == 0
            assert node.agent.counters["refused_expired"] == 0


@pytest.mark.parametrize("off_s", [-START, -DAY_S, DAY_S])
async def test_a_clock_that_was_set_while_the_node_was_off_ends_no_bundle(
    tmp_path: Path, off_s: float
) -> None:
    """As nobody had vouched for it before."""
    clock = Stepping(off_s)
    keeper = Timekeeper(clock)
    known = MEMBERS.me("a")
    me = Me(known.identity, known.verifier, known.chain, SureClock(clock, keeper))
    async with running(member("b", Stepping(0.0)), tmp_path / "b") as b:
        b.agent.register(b.id.service("inbox"), b.collect)
        async with running(me, tmp_path / "a") as a:
            await send(a, b)
        clock.off_s, keeper.vouched = 0.0, True
        async with running(me, tmp_path / "a") as a:
            connect(a, b)
            await b.received(1)
            assert a.agent.counters["expired"] == 0
