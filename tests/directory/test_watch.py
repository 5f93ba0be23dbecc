from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from radics_mesh.directory import watch as watch_module
from radics_mesh.directory.watch import Watch
from radics_mesh.errors import CapacityError
from radics_mesh.paths import Pattern
from radics_mesh.records import Kind
from tests.directory.world import EVERYTHING, mesh
from tests.members import Members
from tests.patience import PATIENCE_S

CAMERAS = Pattern.parse("camera/*")


async def _next(watch: Watch) -> tuple[str, str, object]:
    with trio.fail_after(PATIENCE_S):
        news = await watch.__anext__()
    return str(news.what), news.entry.record.subject, news.entry.record.body.get("rate")


async def test_a_watch_tells_what_is_and_then_what_happens(
    members: Members, clock: MockClock
) -> None:
    a, b = await mesh(members, 2)
    await a.announce(Kind.SOURCE, "camera/door", {"rate": 1})
    await a.announce(Kind.SOURCE, "clock", {"rate": 1})
    await trio.sleep(2)
    with b.watch(Kind.SOURCE, CAMERAS) as watch:
        assert await _next(watch) == ("added", "camera/door", 1)
        await a.announce(Kind.SOURCE, "camera/attic", {"rate": 2})
        assert await _next(watch) == ("added", "camera/attic", 2)
        await a.announce(Kind.SOURCE, "camera/attic", {"rate": 3})
        assert await _next(watch) == ("changed", "camera/attic", 3)
        await a.withdraw(Kind.SOURCE, "camera/door")
        assert await _next(watch) == ("withdrawn", "camera/door", 1)
        await trio.sleep(100)  # renewals are no news
        await members.kill(0)
        assert await _next(watch) == ("stale", "camera/attic", 3)
        back = await members.start(0)
        await back.announce(Kind.SOURCE, "camera/attic", {"rate": 3})
        assert await _next(watch) == ("changed", "camera/attic", 3)


async def test_an_unreachable_publisher_makes_it_stale(members: Members, clock: MockClock) -> None:
    a, b = await mesh(members, 2)
    await a.announce(Kind.SOURCE, "camera/door", {"rate": 1})
    await trio.sleep(2)
    gone = {a.me}
    b.is_unreachable = lambda node: node in gone
    assert [entry.stale for entry in b.known(Kind.SOURCE)] == [True]
    gone.clear()
    with b.watch(Kind.SOURCE, EVERYTHING) as watch:
        assert (await _next(watch))[0] == "added"
        for what in ("stale", "changed"):
            gone ^= {a.me}
            b.reach_changed(a.me)
            assert (await _next(watch))[0] == what


async def test_a_slow_reader_gets_each_fact_once_as_it_is(
    members: Members, clock: MockClock
) -> None:
    a, b = await mesh(members, 2)
    with b.watch(Kind.SOURCE, EVERYTHING) as watch:
        for number in range(20):
            await a.announce(Kind.SOURCE, "busy", {"rate": number})
            await trio.sleep(1)
        await a.announce(Kind.SOURCE, "came and went", {"rate": 1})
        await trio.sleep(1)
        await a.withdraw(Kind.SOURCE, "came and went")
        await a.announce(Kind.SOURCE, "last", {"rate": 1})
        await trio.sleep(1)
        assert await _next(watch) == ("added", "busy", 19)
        assert await _next(watch) == ("added", "last", 1)


async def test_memory_is_bounded(
    members: Members, clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "FACTS_MAX", 10)
    [a] = await mesh(members, 1)
    with a.watch(Kind.SOURCE, EVERYTHING) as watch:
        for number in range(30):
            await a.announce(Kind.SOURCE, f"{number:02}", {"rate": number})
        assert watch.missed == 20
        told = [await _next(watch) for _ in range(10)]
        assert told == [("added", f"{number:02}", number) for number in range(20, 30)]
        # What was let go is news when something happens to it.
        await a.announce(Kind.SOURCE, "00", {"rate": 7})
        assert await _next(watch) == ("added", "00", 7)


async def test_watches_end_and_are_counted(members: Members, clock: MockClock) -> None:
    [a] = await mesh(members, 1)
    opened = [a.watch(Kind.SOURCE, CAMERAS) for _ in range(watch_module.WATCHES_MAX)]
    with pytest.raises(CapacityError):
        a.watch(Kind.SOURCE, CAMERAS)
    for watch in opened:
        with watch:
            pass
    with a.watch(Kind.SOURCE, CAMERAS) as again, trio.move_on_after(1) as waited:
        await again.__anext__()
    assert waited.cancelled_caught


async def test_what_is_watched_is_looked_for(members: Members, clock: MockClock) -> None:
    """A node that holds none of these records is told of them all the same."""
    nodes = await mesh(members, 11)
    stranger = await members.start(50, bootstrap=[9])
    await trio.sleep(10)
    with stranger.watch(Kind.SOURCE, CAMERAS) as watch:
        await nodes[3].announce(Kind.SOURCE, "camera/door", {"rate": 1})
        assert await _next(watch) == ("added", "camera/door", 1)
        await nodes[3].withdraw(Kind.SOURCE, "camera/door")
        assert await _next(watch) == ("withdrawn", "camera/door", 1)
