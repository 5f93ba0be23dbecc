from __future__ import annotations

import pytest
import trio
from kademlia.node import Node
from trio.testing import MockClock

from radics_mesh.dht.crawl import ASKED_MAX, CheckedHeap, gather_dict
from tests.dht.world import node_id


def _heap(count: int, size: int = 8) -> CheckedHeap:
    heap = CheckedHeap(Node(bytes(20)), size)
    heap.push([Node(node_id(number), "10.0.0.1", 1) for number in range(count)])
    return heap


def test_who_failed_does_not_come_back_by_hearsay() -> None:
    heap = _heap(3)
    heap.remove([node_id(1)])
    heap.push([Node(node_id(1), "10.0.0.9", 9)])
    assert set(heap.get_ids()) == {node_id(0), node_id(2)}


def test_a_look_up_ends_whatever_it_is_told() -> None:
    heap = _heap(500, size=200)
    for node in heap.get_uncontacted():
        heap.mark_contacted(node)
    assert len(heap.contacted) == ASKED_MAX
    assert heap.have_contacted_all()


async def test_gathering_runs_side_by_side_and_keeps_the_order(
    autojump_clock: MockClock,
) -> None:
    async def after(seconds: float) -> float:
        await trio.sleep(seconds)
        return seconds

    with trio.fail_after(3.5):
        found = await gather_dict({"slow": after(3), "fast": after(1), "none": after(0)})
    assert list(found.items()) == [("slow", 3), ("fast", 1), ("none", 0)]
    assert await gather_dict({}) == {}


async def test_a_cancelled_look_up_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    ended = []

    async def linger(number: int) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(number)

    with trio.move_on_after(1):
        await gather_dict({number: linger(number) for number in range(3)})
        pytest.fail("not cancelled")
    assert sorted(ended) == [0, 1, 2]
