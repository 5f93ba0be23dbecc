from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from radics_mesh.clock import Wall
from radics_mesh.records import Kind
from tests.dht.world import TrioClock
from tests.directory.world import mesh
from tests.members import START, Members, announce_node

TTL_S = 60.0
PERIOD_S = TTL_S / 3


async def test_a_node_that_ends_takes_back_what_ends_with_it(
    members: Members, clock: MockClock
) -> None:
    a, b = await mesh(members, 2)
    await announce_node(a, "barn")
    await a.announce(Kind.SOURCE, "camera/door", {"rate": 1})
    await a.announce(Kind.CHECKPOINT, "x", {})
    await trio.sleep(2)
    key = b.key_of(a.me)
    assert key
    await a.leave()
    await members.kill(0)
    await trio.sleep(1)
    assert b.known(Kind.NODE) == b.known(Kind.SOURCE) == b.known(Kind.INDEX) == []
    assert [entry.stale for entry in b.known(Kind.CHECKPOINT)] == [False]
    # It can be written to all the same: by its name, and so that only it can read it.
    assert b.key_of(a.me) == key
    assert [one.body for one in b.members() if one.publisher == a.me] == [{"name": "barn"}]
    await trio.sleep(TTL_S + 10)
    assert [entry.stale for entry in b.known(Kind.CHECKPOINT)] == [True]
    back = await members.start(0)
    await announce_node(back, "barn")
    await trio.sleep(2)
    assert [entry.stale for entry in b.known(Kind.NODE)] == [False]


async def test_a_killed_node_goes_stale(members: Members, clock: MockClock) -> None:
    a, b = await mesh(members, 2)
    await announce_node(a, "barn")
    await a.announce(Kind.SOURCE, "camera/door", {"rate": 1})
    await trio.sleep(2)
    await members.kill(0)
    await trio.sleep(TTL_S + 10)
    assert [e.stale for kind in (Kind.NODE, Kind.SOURCE) for e in b.known(kind)] == [True, True]


async def test_who_holds_an_old_copy_hears_within_a_period(
    members: Members, clock: MockClock
) -> None:
    """A node that only looked it up, and is none of those that hold it."""
    nodes = await mesh(members, 11)
    await trio.sleep(5)
    await nodes[3].announce(Kind.SOURCE, "camera/door", {"rate": 1})
    await trio.sleep(5)
    for node in nodes:
        assert len(await node.lookup(Kind.SOURCE, "camera/door")) == 1
    await nodes[3].withdraw(Kind.SOURCE, "camera/door")
    await trio.sleep(PERIOD_S + 5)
    for node in nodes:
        assert await node.lookup(Kind.SOURCE, "camera/door") == []


async def test_what_a_crash_kept_from_being_withdrawn_is_withdrawn_later(
    members: Members, clock: MockClock
) -> None:
    a, b = await mesh(members, 2)
    await a.announce(Kind.SOURCE, "camera/door", {"rate": 1})
    await a.announce(Kind.SOURCE, "camera/attic", {"rate": 1})
    await trio.sleep(2)
    await members.kill(0)
    back = await members.start(0)
    await back.announce(Kind.SOURCE, "camera/attic", {"rate": 1})
    await trio.sleep(TTL_S + 5)
    assert [entry.record.subject for entry in b.known(Kind.SOURCE)] == ["camera/attic"]


async def test_a_step_of_the_wall_clock_expires_and_resurrects_nothing(
    members: Members, clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await mesh(members, 2)
    for name in ("camera/door", "camera/attic"):
        await a.announce(Kind.SOURCE, name, {"rate": 1})
    await trio.sleep(2)
    await a.withdraw(Kind.SOURCE, "camera/attic")
    await trio.sleep(2)
    for step_s in (-86400.0, 86400.0):
        monkeypatch.setattr(
            TrioClock, "wall", lambda self, s=step_s: Wall(START + s + trio.current_time())
        )
        assert [(e.record.subject, e.stale) for e in b.known(Kind.SOURCE)] == [
            ("camera/door", False)
        ]
        await trio.sleep(TTL_S + 30)
        assert [(e.record.subject, e.stale) for e in b.known(Kind.SOURCE)] == [
            ("camera/door", False)
        ]
