from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import trio
from trio.testing import MockClock

from radics_mesh.directory import Directory
from radics_mesh.ids import Digest, Eid, NodeId
from radics_mesh.link_memory import MemoryNetwork
from radics_mesh.ownership import Ownership, born
from radics_mesh.records import Kind, dht_key, sign
from tests.members import Members, announce_node, member

PERIOD_S = 10.0


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


@pytest.fixture
async def members(
    clock: MockClock, nursery: trio.Nursery, tmp_path: Path
) -> AsyncIterator[Members]:
    yield Members(nursery, MemoryNetwork(Random(7), delay_s=(0.01, 0.08)), tmp_path)
    nursery.cancel_scope.cancel()


async def _line(members: Members) -> tuple[Directory, Directory, Directory]:
    """A - B - C: A and C cannot hear each other. C publishes a source."""
    a = await members.start(0, bootstrap=[1], reach=[1])
    b = await members.start(1)
    c = await members.start(2, bootstrap=[1], reach=[1])
    for number in range(3):
        members.nursery.start_soon(members.keep_announcing, number)
    await c.announce(Kind.SOURCE, "camera/door", {"rate": 1000, "format": "text"})
    return a, b, c


def _shown(directory: Directory, kind: Kind) -> dict[NodeId, bool]:
    return {entry.publisher: entry.stale for entry in directory.known(kind)}


async def test_records_pass_through_the_middle_of_a_line(
    members: Members, clock: MockClock
) -> None:
    a, b, c = await _line(members)
    await trio.sleep(PERIOD_S)
    [source] = await a.lookup(Kind.SOURCE, "camera/door")
    assert source.publisher == c.me
    assert not source.stale
    assert source.record.body["rate"] == 1000
    await trio.sleep(PERIOD_S)
    assert _shown(a, Kind.NODE) == {a.me: False, b.me: False, c.me: False}


async def test_the_middle_dies_and_comes_back_empty(members: Members, clock: MockClock) -> None:
    a, b, c = await _line(members)
    await trio.sleep(2 * PERIOD_S)
    await a.lookup(Kind.SOURCE, "camera/door")
    await members.kill(1)
    await trio.sleep(90)
    [source] = await a.lookup(Kind.SOURCE, "camera/door")
    assert source.stale
    assert source.age_s > 60
    assert _shown(a, Kind.NODE) == {a.me: False, b.me: True, c.me: True}
    back = await members.start(1, state="empty")
    members.nursery.start_soon(members.keep_announcing, 1)
    await trio.sleep(2 * PERIOD_S)
    for directory in (a, back, c):
        assert _shown(directory, Kind.NODE) == {a.me: False, b.me: False, c.me: False}
        [source] = await directory.lookup(Kind.SOURCE, "camera/door")
        assert not source.stale
